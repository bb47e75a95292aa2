"""Checks of numbers that identify a person or an account, by their check digits.

Each function takes a number without separators. A check digit accepts one in ten or eleven random
numbers, so personal.toml says which numbers also need a word nearby.
Sources: ISO/IEC 7812 (cards), ISO 13616 (IBAN), ISO 7064, and the rule named in each docstring.
"""

import re
from collections import Counter
from datetime import date

from .tables import PERSONAL

IBAN_LENGTHS = {
    country: int(length)
    for country, length in re.findall(r"([A-Z]{2}):(\d+)", PERSONAL.data["iban"]["lengths"])
}
"""Characters of an IBAN by country."""

CARD_PREFIXES = (
    (("4",), (13, 16, 19)),
    (tuple(str(n) for n in range(51, 56)), (16,)),
    (tuple(str(n) for n in range(2221, 2721)), (16,)),
    (("34", "37"), (15,)),
    (("6011", "65", *(str(n) for n in range(644, 650))), (16, 19)),
    (("36", "38", "39", *(str(n) for n in range(300, 306))), (14,)),
    (tuple(str(n) for n in range(3528, 3590)), (16,)),
    (("62",), (16, 17, 18, 19)),
)
"""Prefixes and lengths: Visa, Mastercard (2), American Express, Discover, Diners, JCB, UnionPay."""

DNI_CHECK_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"
CODICE_FISCALE_ODD_VALUES = dict(zip(
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6,
     8, 12, 14, 16, 10, 22, 25, 24, 23),
    strict=True,
))  # fmt: skip
CODICE_FISCALE_MONTHS = "ABCDEHLMPRST"


def is_card(digits: str) -> bool:
    """Whether this can be a payment card's number.

    >>> is_card("4111111111111111"), is_card("4111111111111112"), is_card("9111111111111110")
    (True, False, False)
    """
    has_prefix = any(
        digits.startswith(begin) and len(digits) in sizes for begin, sizes in CARD_PREFIXES
    )
    return has_prefix and _passes_luhn(digits) and len(set(digits)) > 1


def _passes_luhn(digits: str) -> bool:
    """The Luhn check: with every second digit from the right doubled, the sum ends in 0."""
    doubled = [sum(divmod(2 * int(d), 10)) for d in digits[-2::-2]]
    return (sum(doubled) + sum(int(d) for d in digits[::-2])) % 10 == 0


def is_iban(code: str) -> bool:
    """Whether this can be an account's number.

    >>> is_iban("DE89370400440532013000"), is_iban("DE88370400440532013000")
    (True, False)
    """
    if len(code) != IBAN_LENGTHS.get(code[:2]):
        return False
    return int("".join(str(int(c, 36)) for c in code[4:] + code[:4])) % 97 == 1


def is_ssn(digits: str) -> bool:
    """United States: no check digit, but areas and numbers that are never assigned (SSA, 2011)."""
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    is_unassigned = area in ("000", "666") or area >= "900" or group == "00" or serial == "0000"
    return not is_unassigned and digits not in ("123456789", "078051120", "219099999")


def is_steuer_id(digits: str) -> bool:
    """Germany: ISO 7064 mod 11, 10; one of the first ten digits occurs two or three times."""
    counts = sorted(Counter(digits[:10]).values())
    if digits[0] == "0" or counts[-1] not in (2, 3) or (len(counts) > 1 and counts[-2] > 1):
        return False
    product = 10
    for digit in digits[:10]:
        total = (int(digit) + product) % 10 or 10
        product = 2 * total % 11
    return (11 - product) % 10 == int(digits[10])


def is_nir(code: str) -> bool:
    """France: sex, year, month, place, order, and 97 minus the rest; Corsica's 2A and 2B."""
    body = code[:13].upper().replace("2A", "19").replace("2B", "18")
    month = code[3:5]
    if not (body + code[13:]).isdigit() or code[0] not in "12":
        return False
    return ("01" <= month <= "12" or "20" <= month <= "42") and 97 - int(body) % 97 == int(
        code[13:]
    )


def is_dni(code: str) -> bool:
    """Spain: eight digits, or X, Y, Z and seven, and a letter by the remainder of 23."""
    number = code[:-1].replace("X", "0").replace("Y", "1").replace("Z", "2")
    return DNI_CHECK_LETTERS[int(number) % 23] == code[-1]


def is_codice_fiscale(code: str) -> bool:
    """Italy: letters of the names, year, month, day, place, and a letter by a table."""
    if code[8] not in CODICE_FISCALE_MONTHS or not 1 <= int(code[9:11]) % 40 <= 31:
        return False
    total = sum(CODICE_FISCALE_ODD_VALUES[c] for c in code[0:15:2])
    total += sum(int(c, 36) - 10 if c.isalpha() else int(c) for c in code[1:15:2])
    return chr(ord("A") + total % 26) == code[15]


def is_bsn(digits: str) -> bool:
    """Netherlands: 9 8 7 6 5 4 3 2 -1 times the digits is a multiple of eleven."""
    weights = (9, 8, 7, 6, 5, 4, 3, 2, -1)
    total = sum(w * int(d) for w, d in zip(weights, digits, strict=True))
    return total % 11 == 0 and len(set(digits)) > 1


def is_nino(code: str) -> bool:
    """United Kingdom: two letters, six digits, A to D; some prefixes are never assigned."""
    return code[:2] not in ("BG", "GB", "KN", "NK", "NT", "TN", "ZZ")


def is_pesel(digits: str) -> bool:
    """Poland: a date of birth with the century in its month, and a weighted sum of ten."""
    year, month, day = int(digits[:2]), int(digits[2:4]), int(digits[4:6])
    century = {0: 1900, 1: 2000, 2: 2100, 3: 2200, 4: 1800}[month // 20]
    try:
        date(century + year, month % 20, day)
    except ValueError:
        return False
    weights = (1, 3, 7, 9, 1, 3, 7, 9, 1, 3)
    total = sum(w * int(d) for w, d in zip(weights, digits, strict=False))
    return (10 - total % 10) % 10 == int(digits[10]) and century < 2100


def is_cpf(digits: str) -> bool:
    """Brazil: two check digits by falling weights of eleven."""
    if len(set(digits)) == 1:
        return False
    for size in (9, 10):
        total = sum(int(d) * (size + 1 - i) for i, d in enumerate(digits[:size]))
        if total * 10 % 11 % 10 != int(digits[size]):
            return False
    return True
