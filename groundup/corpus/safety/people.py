"""People's names and postal addresses, told by what stands around them alone.

No list of names: a name is words with capitals behind a salutation, a title or a form's label,
under a greeting, before a mail's address or before `wrote:`; an address is a street's word with a
number and the place that follows, or a line that ends in a number above one that begins with a
postal code. So a name in running prose is not found, and that is said rather than guessed at:
recall is that of forms and letters. Seven languages. Off unless asked for.
"""

import regex

from .patterns import Pattern, Place, pattern, whole

WORD = r"\p{Lu}[\p{L}\p{M}'’]{1,24}+(?:-\p{Lu}[\p{L}\p{M}]{1,24}+)?"
LINK = r"(?:[ ](?:von|van|de|der|den|del|della|di|da|do|dos|du|la|le|el|y|ten|ter|zu|zum|af|bin))"
BEGIN = r"(?:(?:von|van|de|der|den|del|della|di|da|la|le|el|zu|ten|ter)[ ]){0,3}"
INITIAL = r"(?:[ ]\p{Lu}(?:\.|(?=[ ]\p{Lu}\p{L})))?"
PERSON = rf"(?P<it>{BEGIN}{WORD}{INITIAL}(?:{LINK}{{0,2}}[ ]{WORD}){{0,3}})"
FULL = rf"(?P<it>{WORD}{INITIAL}(?:{LINK}{{0,2}}[ ]{WORD}){{1,3}})"
TITLE = (
    r"(?:(?:Mr|Mrs|Ms|Miss|Dr|Prof|Herrn?|Frau|M|Mme|Mlle|Monsieur|Madame|Sr|Sra|Srta|Señora?|Don"
    r"|Doña|Sig|Signora?|Sig\.ra|Dott|Dott\.ssa|Dhr|Mevr|Mevrouw|Meneer|Heer|Panie|Pani|Pana|Pan"
    r"|Senhora?)"
    r"\.?[ ])"
)
GREETING = (
    r"(?i:dear|hi|hello|hey|sehr geehrter?|liebe[rs]?|hallo|guten tag|chère?|bonjour|salut"
    r"|estimad[oa]|querid[oa]|hola|buenos días|gentile|car[oa]|egregi[oa]|ciao|buongiorno|beste"
    r"|geachte"
    r"|prezad[oa]|olá|szanown[ya]|drog[ia]|cześć|dzień dobry)"
)
LABEL = (
    r"(?i:(?:full |first |last |contact |customer |patient |account holder|sur)?name"
    r"|contact(?: person)?"
    r"|employee|applicant|author|signed(?: by)?|(?:vor-?|nach|kunden|familien)name"
    r"|vor- und nachname"
    r"|ansprechpartner(?:in)?|kontoinhaber|(?:mit)?arbeiter(?:in)?|inhaber(?:in)?|unterzeichnet"
    r"|nom(?: complet| et prénom| de famille)?|prénom|titulaire|destinataire|nombre(?: completo)?"
    r"(?: y apellidos)?|apellidos?|titular|persona de contacto|nome(?: e cognome| completo)?"
    r"|cognome"
    r"|intestatario|referente|naam|volledige naam|voornaam|achternaam|contactpersoon"
    r"|imię i nazwisko"
    r"|imię|nazwisko|klient(?:ka)?|cliente?|kunde|kundin|client(?:e)?|paziente|paciente|patiente?)"
)
CLOSING = (
    r"(?i:(?:best |kind |warm )?regards|sincerely(?: yours)?|yours (?:sincerely|faithfully|truly)"
    r"|(?:many )?thanks|cheers|best wishes|best|mit (?:freundlichen|besten|herzlichen) grüßen"
    r"|(?:viele|beste|liebe|freundliche|herzliche) grüße|cordialement|bien à vous"
    r"|salutations distinguées"
    r"|bien cordialement|(?:un )?(?:cordial )?saludos?(?: cordiales)?|atentamente|un abrazo"
    r"|(?:cordiali|distinti) saluti|un saluto|met vriendelijke groet(?:en)?|hoogachtend|groeten"
    r"|atenciosamente|cumprimentos|pozdrawiam|z poważaniem|z wyrazami szacunku)"
)
NAMING = (
    r"(?i:my name is|i am called|mein name ist|ich heiße|je m['’]appelle|mon nom est|me llamo"
    r"|mi nombre es|mi chiamo|il mio nome è|mijn naam is|ik heet|meu nome é|chamo-me"
    r"|nazywam się|mam na imię)"
)
INTRODUCING = r"(?i:this is|ich bin|ik ben)"
"""What comes before a name, and before much else: only names of two words count."""
WROTE = r"(?:wrote|writes|schrieb|a écrit|escribió|ha scritto|schreef|escreveu|napisał(?:\(?a\)?)?)"
NOBODY = frozenset(
    """
    customer customers sir madam team all user users everyone colleague colleagues friend friends
    reader readers developer developers maintainer maintainers world there list kunde kunden
    kundin damen herren leser kollegen kolleginnen freunde team alle client clients utilisateur
    monsieur madame messieurs tous lecteur cliente clientes usuario señores señor señora todos
    equipo amigo lector utente signori signore tutti lettore klant klanten lezer allemaal heer
    mevrouw państwo panie panowie pani pan mr mrs ms dr the this that file name type
    value string none null true false id debian linux gnu ubuntu windows microsoft google apple
    kde gnome
    """.split()
)
"""What stands where a name might, and is none."""


def person(text: str, match: "regex.Match[str]") -> Place | None:
    """A name, unless its first word is one that greets anybody."""
    start, end = match.span("it")
    found = regex.search(r"\p{Lu}[^ -]*", text[start:end])
    assert found is not None, "a name has a capital"
    first = found.group()
    return None if first.lower() in NOBODY or first.isupper() else (start, end)


GIVEN = regex.compile(r"\p{Lu}[\p{L}\p{M}'’]{1,24}[ ]$")


def titled(text: str, match: "regex.Match[str]") -> Place | None:
    """A name behind a title; `M.` behind a word with a capital is an initial, not Monsieur."""
    place = person(text, match)
    if place and match.group().startswith("M"):
        before = text[max(0, match.start() - 27) : match.start()]
        if regex.match(r"M\.? ", match.group()) and (given := GIVEN.search(before)):
            return match.start() - len(given.group()), place[1]
    return place


STREET = (
    r"(?:(?:de|del|della|delle|dei|degli|di|da|do|dos|das|la|las|los|lo|el|le|les|des|du"
    r"|l['’]|d['’])"
    r"[ ]?){0,3}(?=\p{Lu})(?:\p{L}|[ .'’-]){1,40}"
)
TOWN = r"\p{Lu}[\p{L}\p{M}'’-]{1,30}+"
JOINED = (
    r"(?:[ ](?:de|del|della|dos|das|da|la|las|los|le|les|am|an[ ]der|di|do|sur|aan|den|ob|im)){0,2}"
)
CITY = rf"(?:St\.[ ])?{TOWN}(?:{JOINED}[ ]{TOWN}){{0,4}}"
BLOCK_WORD = r"(?:\p{L}|['’.-]){0,30}+"
CODE = (
    r"(?:[A-Z]{1,2}-)?(?:\d{5}(?:-\d{3})?|\d{4}(?:[ ][A-Z]{2}|-\d{3})?|\d{2}-\d{3}|\d{3}[ ]\d{2})"
)
BRITISH = r"[A-Z]{1,2}\d[A-Z\d]?[ ]\d[A-Z]{2}"
STATE = r"[A-Z]{2,3}[ ](?:\d{5}(?:-\d{4})?|[A-Z]\d[A-Z][ ]?\d[A-Z]\d|\d{4})"
ADDRESSES = (
    # Two lines of their own in most of Europe: a name with a number, a postal code with a town
    rf"(?m:^)[ \t]{{0,8}}(?P<it>(?:['’]t[ ])?\p{{Lu}}{BLOCK_WORD}(?:[ ]{BLOCK_WORD}){{0,5}},?[ ]"
    rf"\d{{1,4}}[ ]?[a-zA-Z]?\.?\n[ \t]{{0,8}}{CODE}[ ]{CITY})(?=[ \t]*(?:\n|$))",
    # Britain, the United States
    r"(?<![\w.])\d{1,5}[A-Za-z]?[ ](?:[NSEW]\.?[ ])?(?:\p{Lu}[\p{L}'’.-]{1,20}[ ]){1,4}(?:Street"
    r"|St|Avenue|Ave"
    r"|Road|Rd|Lane|Ln|Drive|Dr|Boulevard|Blvd|Court|Ct|Way|Place|Square|Terrace|Close|Crescent"
    r"|Gardens"
    r"|Grove|Parkway|Highway|Hill|Row)\b(?:(?<=St|Ave|Rd|Ln|Dr|Blvd|Ct)\.)?"
    r"(?:,?[ ](?:Apt|Suite|Unit|Flat|\#)\.?[ ]?\w{1,6})?"
    rf"(?:(?:,[ ]|,?\n[ \t]{{0,8}}){CITY}(?:,?[ ]{STATE}|(?:,?[ ]|,?\n[ \t]{{0,8}}){BRITISH})"
    rf"|,?\n[ \t]{{0,8}}{CITY}[ \n]\d{{4}}(?=\n|$)|,[ ]{CITY})?",
    # Germany, Austria, the Netherlands: the street's word is the name's end
    r"(?<![\w.])(?:\p{Lu}[\p{L}.-]{1,30}[ ]){0,2}\p{Lu}?[\p{L}-]{0,40}(?:straße|strasse|Straße"
    r"|Strasse|str\.|Str\."
    r"|weg|Weg|platz|Platz|allee|Allee|gasse|Gasse|(?<![aeiou])(?<!\b[Ss]t)ring|\bRing|damm|Damm|ufer|Ufer|straat|laan"
    r"|plein|gracht|kade|dijk"
    r"|singel|dreef|hof|markt)[ ]\d{1,4}[ ]?(?:[a-zA-Z]\b)?(?:[-/]\d{1,4})?"
    rf"(?:(?:,[ ]?|[ ]|\n)(?:[A-Z]{{1,2}}-)?(?:\d{{5}}|\d{{4}}[ ]?[A-Z]{{2}}|\d{{4}})[ ]{CITY})?",
    # France
    r"(?<![\w.])\d{1,4}(?:[ ]?(?:bis|ter))?,?[ ](?i:rue|avenue|av\.|boulevard|bd|place|allée"
    r"|chemin|impasse|quai"
    rf"|route|cours|square|passage)[ ]{STREET}?(?=,|\n|[ ]\d{{5}}|\.|$)(?:(?:,[ ]?|[ ]"
    rf"|\n)(?:\d{{5}}[ ]{CITY}|{CITY}[ ]{STATE}))?",
    # Spain, Portugal, Italy, Poland: the street's word, the name, the number
    r"(?<![\w.])(?:Calle|C/|Avenida|Avda?\.|Plaza|Paseo|Carrer|Camino|Ronda|Travesía|Via|Viale"
    r"|V\.le|Piazza"
    r"|P\.za|Corso|Largo|Vicolo|Strada|Rua|Praça|Travessa|Alameda|ul\.|al\.|pl\.|os\.)"
    rf"[ ]?{STREET}?(?:,[ ]?|[ ])(?:n\.?[ºo°]?[ ]?|nº[ ]?"
    rf"|núm\.?[ ]?)?\d{{1,4}}(?:[ ]?[a-zA-Z]\b)?(?:/\d{{1,4}}|[-–]\d{{1,4}})?"
    r"(?:,[ ]?\d{1,2}(?![\d-])[ºª.o°]{0,2}[ ]?(?:[A-Za-z]{1,4}\b)?)?"
    rf"(?:(?:,[ ]?|[ ]|\n|[ ][-–][ ])(?:\d{{2}}-\d{{3}}|\d{{4}}-\d{{3}}|\d{{5}}-\d{{3}}"
    rf"|\d{{5}})[ ]{CITY}(?:[ ]\([A-Z]{{2}}\))?"
    rf"|(?:,[ ]|\n){CITY}[ ]?[-–/][ ]?[A-Z]{{2}}(?:,?[ ]|\n)\d{{5}}-?\d{{3}})?",
)

PEOPLE: tuple[Pattern, ...] = (
    *(pattern("address", written, whole) for written in ADDRESSES),
    pattern("name", rf"(?<!\w)(?=\p{{Lu}}){GREETING},?[ ]{TITLE}{{0,3}}+{PERSON}", person),
    pattern("name", rf"(?<!\w){NAMING}[ ]{TITLE}{{0,3}}+{PERSON}", person),
    pattern(
        "name",
        rf"(?<!\w)(?!Quoting\b){FULL}\"?[ \t]{{1,3}}[<\[(](?:mailto:)?(?=[\w.+-]{{1,64}}@)",
        person,
        "@",
    ),
    pattern("name", rf"(?<!\w){FULL}(?:[ ][<(\[][^\n<>]{{3,80}}[>)\]])?,?[ ]{WROTE}\b", person),
    pattern("name", rf"(?<![\w.]){TITLE}{{1,3}}+{PERSON}", titled),
    pattern("name", rf"(?<!\w){LABEL}[ ]?:[ \t]{{0,4}}{TITLE}{{0,3}}+{PERSON}", person, ":"),
    pattern("name", rf"(?<!\w){INTRODUCING}[ ]{TITLE}{{0,3}}+{FULL}", person),
    pattern(
        "name",
        rf"(?m:^[ \t]{{0,8}}{CLOSING}[,.!]?[ \t]{{0,4}}\n{{1,3}}[ \t]{{0,8}}(?!{CLOSING})"
        rf"{TITLE}{{0,3}}+{PERSON}(?=[ \t]*(?:\n|$|,)))",
        person,
    ),
)
"""Addresses before names, because streets are named after people."""
