# ruff: noqa: E501 — templates stand as they are read
"""Letters, tickets and forms with personal data in five languages, written without a look at what
finds it.

`make(language, seed, count)` gives texts and the places of what is personal: e-mail, phone, card,
iban, ip and the national number. Values are valid by their check digits and belong to nobody that
is known. Between them stand numbers that are none: orders, versions, dates, prices, parts, private
addresses, cards and accounts whose check digit is wrong.
"""

import random
import string
from typing import NamedTuple


class Place(NamedTuple):
    """A slice of a text that is personal."""

    start: int
    end: int
    kind: str


class Text(NamedTuple):
    """A text and what is personal in it."""

    text: str
    places: list[Place]


NAMES = {
    "en": ["Alice Porter", "John Meyers", "Priya Nair", "Tom O'Neill"],
    "de": ["Jürgen Krüger", "Anna Weiß", "Petra Schöne", "Max Lang"],
    "fr": ["Chloé Martin", "Jean-Luc Girard", "Zoé Lefèvre", "Hugo Petit"],
    "es": ["Íñigo Peña", "María López", "Lucía Gómez", "Javier Ruiz"],
    "it": ["Nicolò Rossi", "Giulia Bianchi", "Marco De Luca", "Elena Conti"],
}
DOMAINS = ["postbox", "kolibri-mail", "uni-werk", "nordnet", "casa-verde", "acme-tools"]
ENDS = {"en": ["co.uk", "com", "org"], "de": ["de", "net"], "fr": ["fr", "com"],
        "es": ["es", "com"], "it": ["it", "eu"]}  # fmt: skip

TEMPLATES = {
    "en": [
        "Dear support,\nmy order {order} never came. Write to {email} or ring {phone}.\n{name}",
        "Refund to {iban} was promised on {date}; version {version} of the app shows {amount}.",
        "Customer {name} paid with card {card}, expiry {expiry}. Ticket {order}.",
        "Login from {ip} at {time}; the gateway {private} was not involved. Contact: {email}",
        "SSN on file: {national}. Part no. {part}, {amount} due by {date}.",
        "Call me on {phone} after {time}, or at work: {phone}. Room {small}.",
        "{name} <{email}> wrote on {date}: the printer {part} needs firmware {version}.",
        "The account {badiban} and the card {badcard} were rejected as invalid.",
    ],
    "de": [
        "Sehr geehrte Damen und Herren,\nmeine Bestellung {order} fehlt. E-Mail: {email}, Tel. {phone}.",
        "Bitte überweisen Sie {amount} auf das Konto {iban} bis {date}.",
        "Steuer-ID: {national}, Kundin {name}, Teil {part}.",
        "Zugriff von {ip} um {time} Uhr, intern {private}; Version {version}.",
        "Rückruf unter {phone} erbeten, Zimmer {small}. {name}",
        "Kreditkarte {card}, gültig bis {expiry}; abgelehnt: {badcard}.",
        "IBAN {badiban} ist ungültig, bitte an {email} melden.",
    ],
    "fr": [
        "Madame, Monsieur,\nma commande {order} n'est pas arrivée. Courriel : {email}, tél. : {phone}.",
        "Le remboursement de {amount} sera versé sur {iban} avant le {date}.",
        "Numéro de sécurité sociale : {national}. Dossier {part}, {name}.",
        "Connexion depuis {ip} à {time}, passerelle {private}, version {version}.",
        "Carte {card}, expire {expiry}. La carte {badcard} a été refusée.",
        "Rappelez-moi au {phone}, bureau {small}.",
        "Le compte {badiban} n'existe pas ; écrire à {email}.",
    ],
    "es": [
        "Estimados señores:\nmi pedido {order} no llegó. Correo: {email}, teléfono {phone}.",
        "Se devolverán {amount} a la cuenta {iban} antes del {date}.",
        "DNI {national}, cliente {name}, pieza {part}.",
        "Acceso desde {ip} a las {time}; la puerta {private} no; versión {version}.",
        "Tarjeta {card}, caduca {expiry}; la {badcard} fue rechazada.",
        "Llámeme al {phone}, despacho {small}. {name}",
        "La cuenta {badiban} no es válida; escriba a {email}.",
    ],
    "it": [
        "Gentili signori,\nil mio ordine {order} manca. Posta: {email}, telefono {phone}.",
        "Il rimborso di {amount} andrà sul conto {iban} entro il {date}.",
        "Codice fiscale {national}, cliente {name}, pezzo {part}.",
        "Accesso da {ip} alle {time}; il gateway {private} no; versione {version}.",
        "Carta {card}, scadenza {expiry}; la {badcard} è stata rifiutata.",
        "Mi chiami al {phone}, stanza {small}. {name}",
        "Il conto {badiban} non è valido; scriva a {email}.",
    ],
}
PERSONAL = {"email", "phone", "card", "iban", "ip", "national"}


def make(language: str, seed: int, count: int) -> list[Text]:
    """So many texts of a language."""
    rng = random.Random(f"{language}:{seed}")
    return [fill(rng.choice(TEMPLATES[language]), language, rng) for _ in range(count)]


def fill(template: str, language: str, rng: random.Random) -> Text:
    """A template with values, and where the personal ones stand."""
    text, places = "", []
    for before, name, _, _ in string.Formatter().parse(template):
        text += before
        if name is None:
            continue
        value = value_of(name, language, rng)
        if name in PERSONAL:
            places.append(Place(len(text), len(text) + len(value), name))
        text += value
    return Text(text, places)


def value_of(name: str, language: str, rng: random.Random) -> str:
    """A value of a kind."""
    match name:
        case "name":
            return rng.choice(NAMES[language])
        case "email":
            return email(language, rng)
        case "phone":
            return phone(language, rng)
        case "card":
            return card(rng, True)
        case "badcard":
            return card(rng, False)
        case "iban":
            return iban(language, rng, True)
        case "badiban":
            return iban(language, rng, False)
        case "ip":
            first = rng.choice([n for n in range(11, 126) if n not in (100,)])
            return f"{first}.{rng.randint(0, 255)}.{rng.randint(0, 255)}.{rng.randint(1, 254)}"
        case "private":
            tail = f"{rng.randint(0, 255)}.{rng.randint(1, 254)}"
            return rng.choice([f"192.168.{tail}", f"10.0.{tail}", f"172.16.{tail}"])
        case "national":
            return NATIONAL[language](rng)
        case "order":
            return rng.choice(["#", "A-", "2024/"]) + digits(rng, rng.randint(5, 10))
        case "part":
            return f"{rng.choice('ABKX')}{digits(rng, 3)}-{digits(rng, 4)}-{digits(rng, 2)}"
        case "version":
            return f"{rng.randint(1, 12)}.{rng.randint(0, 20)}.{rng.randint(0, 9)}"
        case "date":
            return rng.choice(["12.03.2024", "2024-05-17", "7/11/2023", "1 June 2022"])
        case "expiry":
            return f"{rng.randint(1, 12):02d}/{rng.randint(25, 31)}"
        case "time":
            return f"{rng.randint(0, 23):02d}:{rng.randint(0, 59):02d}"
        case "amount":
            return f"{rng.randint(1, 9999):,}.{digits(rng, 2)} €"
    return str(rng.randint(1, 400))


def digits(rng: random.Random, count: int) -> str:
    """Random digits."""
    return "".join(rng.choice(string.digits) for _ in range(count))


def email(language: str, rng: random.Random) -> str:
    """An address in one of the usual shapes."""
    first = rng.choice(["anna", "m.ruiz", "jl_girard", "t.oneill+shop", "office", "petra99"])
    return f"{first}{rng.randint(1, 999)}@{rng.choice(DOMAINS)}.{rng.choice(ENDS[language])}"


def phone(language: str, rng: random.Random) -> str:
    """A number as people of the country write it."""

    def pairs(count: int, gap: str = " ") -> str:
        return gap.join(digits(rng, 2) for _ in range(count))

    match language:
        case "en":
            area = f"{rng.randint(2, 9)}{rng.randint(0, 8)}{rng.randint(0, 9)}"
            office = f"{rng.randint(2, 9)}{digits(rng, 2)}"
            us = [f"({area}) {office}-{digits(rng, 4)}", f"+1 {area}-{office}-{digits(rng, 4)}",
                  f"{area}-{office}-{digits(rng, 4)}"]  # fmt: skip
            uk = [
                f"+44 20 7{digits(rng, 3)} {digits(rng, 4)}",
                f"07{digits(rng, 3)} {digits(rng, 6)}",
            ]
            return rng.choice(us + uk)
        case "de":
            return rng.choice(
                [
                    f"+49 30 {digits(rng, 8)}",
                    f"0171 {digits(rng, 7)}",
                    f"030/{digits(rng, 8)}",
                    f"+49 (0)89 {digits(rng, 6)}-{digits(rng, 2)}",
                ]
            )
        case "fr":
            return rng.choice(
                [
                    f"0{rng.randint(1, 7)} {pairs(4)}",
                    f"+33 {rng.randint(1, 7)} {pairs(4)}",
                    f"0{rng.randint(1, 7)}.{pairs(4, '.')}",
                ]
            )
        case "es":
            return rng.choice(
                [
                    f"+34 9{digits(rng, 2)} {digits(rng, 3)} {digits(rng, 3)}",
                    f"6{digits(rng, 2)} {digits(rng, 3)} {digits(rng, 3)}",
                    f"91 {digits(rng, 3)} {pairs(2)}",
                ]
            )
    return rng.choice(
        [
            f"+39 06 {digits(rng, 8)}",
            f"02 {digits(rng, 8)}",
            f"+39 3{digits(rng, 2)} {digits(rng, 7)}",
            f"3{digits(rng, 2)} {digits(rng, 7)}",
        ]
    )


def card(rng: random.Random, right: bool) -> str:
    """A card's number, with a right check digit or a wrong one."""
    body = rng.choice(["4", "51", "55", "2221"])
    body += digits(rng, 15 - len(body))
    total = sum(sum(divmod(int(d) * (2 - i % 2), 10)) for i, d in enumerate(body))
    check = (-total) % 10
    number = body + str(check if right else (check + rng.randint(1, 9)) % 10)
    gap = rng.choice([" ", "-", ""])
    return gap.join(number[at : at + 4] for at in range(0, 16, 4))


def iban(language: str, rng: random.Random, right: bool) -> str:
    """An account's number, with right check digits or wrong ones."""
    country = {"en": "GB", "de": "DE", "fr": "FR", "es": "ES", "it": "IT"}[language]
    body = {
        "GB": "".join(rng.choice(string.ascii_uppercase) for _ in range(4)) + digits(rng, 14),
        "DE": digits(rng, 18), "FR": digits(rng, 23), "ES": digits(rng, 20),
        "IT": rng.choice(string.ascii_uppercase) + digits(rng, 22),
    }[country]  # fmt: skip
    value = int("".join(str(int(c, 36)) for c in body + country + "00"))
    check = 98 - value % 97
    if not right:
        check = 2 + (check + rng.randint(1, 90)) % 96
        if (int("".join(str(int(c, 36)) for c in f"{body}{country}{check:02d}"))) % 97 == 1:
            check = 2 + (check - 1) % 96
    whole = f"{country}{check:02d}{body}"
    return (
        " ".join(whole[at : at + 4] for at in range(0, len(whole), 4))
        if rng.random() < 0.6
        else whole
    )


def ssn(rng: random.Random) -> str:
    """United States: no area of 000, 666 or 9xx, no group of 00, no serial of 0000."""
    area = rng.choice([n for n in range(1, 900) if n != 666])
    return f"{area:03d}-{rng.randint(1, 99):02d}-{rng.randint(1, 9999):04d}"


def tax_id(rng: random.Random) -> str:
    """Germany: ten digits of which exactly one comes twice, and a check digit (ISO 7064 11,10)."""
    some = rng.sample("0123456789", 9)
    body = [*some, rng.choice(some)]
    rng.shuffle(body)
    if body[0] == "0":
        other = next(i for i, d in enumerate(body) if d != "0")
        body[0], body[other] = body[other], body[0]
    product = 10
    for digit in body:
        total = (int(digit) + product) % 10 or 10
        product = total * 2 % 11
    check = (11 - product) % 10
    whole = "".join(body) + str(check)
    return rng.choice([whole, f"{whole[:2]} {whole[2:5]} {whole[5:8]} {whole[8:]}"])


def nir(rng: random.Random) -> str:
    """France: sex, year, month, department, commune, order, key."""
    body = f"{rng.choice('12')}{digits(rng, 2)}{rng.randint(1, 12):02d}{rng.randint(1, 95):02d}{digits(rng, 6)}"
    key = 97 - int(body) % 97
    if rng.random() < 0.5:
        return f"{body}{key:02d}"
    return f"{body[0]} {body[1:3]} {body[3:5]} {body[5:7]} {body[7:10]} {body[10:]} {key:02d}"


def dni(rng: random.Random) -> str:
    """Spain: eight digits and a letter, or X, Y, Z and seven."""
    if rng.random() < 0.3:
        first = rng.choice("XYZ")
        body = digits(rng, 7)
        return f"{first}{body}{'TRWAGMYFPDXBNJZSQVHLCKE'[int(str('XYZ'.index(first)) + body) % 23]}"
    body = digits(rng, 8)
    return f"{body}{rng.choice(['', '-'])}{'TRWAGMYFPDXBNJZSQVHLCKE'[int(body) % 23]}"


def fiscal_code(rng: random.Random) -> str:
    """Italy: consonants, year, month's letter, day, town, check letter."""
    consonants = "BCDFGLMNPRSTVZ"
    body = (
        "".join(rng.choice(consonants) for _ in range(6))
        + digits(rng, 2)
        + rng.choice("ABCDEHLMPRST")
    )
    body += f"{rng.randint(1, 28):02d}" + rng.choice("ABCDEFGHL") + digits(rng, 3)
    odd = dict(zip(string.digits + string.ascii_uppercase, [
        1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6,
        8, 12, 14, 16, 10, 22, 25, 24, 23], strict=True))  # fmt: skip
    total = sum(
        odd[c] if i % 2 == 0 else int(c, 36) - (10 if c.isalpha() else 0)
        for i, c in enumerate(body)
    )
    return body + string.ascii_uppercase[total % 26]


NATIONAL = {"en": ssn, "de": tax_id, "fr": nir, "es": dni, "it": fiscal_code}
