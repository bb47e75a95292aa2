"""Telephone numbers, recognised by country code or by the country's way of grouping digits.

Grouped digits are also dates, prices, versions and ISBNs. So a number counts if it starts with a
country code and has a length that occurs there, if its grouping is used for telephone numbers only,
or if it follows a word such as "Tel.". After a `+` the numbering plans of all countries are checked
too, with the library phonenumbers.
Sources: ITU-T E.164 and its list of assigned codes; the countries' numbering plans.
"""

import re
from typing import Any

import regex

from groundup.core import MissingExtra

from .tables import PERSONAL

COUNTRY_CODE_LENGTHS: dict[str, tuple[int, int]] = {
    code: (int(least), int(most))
    for code, least, most in re.findall(r"(\d+):(\d+)-(\d+)", PERSONAL.data["phone"]["codes"])
}
"""Country code to the least and the most digits after it."""

NORMALISED_CHARACTERS = str.maketrans(
    {"\uff0b": "+", "\t": " ", "\u3000": " ", "\u00a0": " ", "\u202f": " "}
    | dict.fromkeys(range(0x2000, 0x200C), " ")
    | dict.fromkeys([0xAD, 0x2212, *range(0x2010, 0x2016)], "-")
)
"""Normalises spaces, dashes and the full-width + to those of the patterns."""

COUNTRY_GROUPINGS = tuple(
    regex.compile(grouping) for grouping in PERSONAL.data["phone"]["groupings"]
)
"""Groupings that are telephone numbers in some country and hardly anything else."""
PHONE_WORD = regex.compile(PERSONAL.expand(PERSONAL.data["phone"]["word"]))
NOT_A_PHONE = regex.compile(PERSONAL.expand(PERSONAL.data["phone"]["other"]))
YEAR_LIST = regex.compile(r"(?:1[5-9]|20)\d\d(?:[ ,/-]+(?:1[5-9]|20)\d\d)+")
THOUSANDS = regex.compile(PERSONAL.expand(r"\d{1,3}(?:[ <SPACES>]\d{3}){3,}"))
POSTCODE = regex.compile(r"\d{5}-\d{4}")
"""A US ZIP+4 code; German numbers are written alike and then need a word before them."""
FILE_MODES = regex.compile(r"0[0-7]{3}(?:[ ,/-]+0[0-7]{3})+")
"""Octal file modes."""
DATE = regex.compile(
    r"\d{1,2}([-./ ])\d{1,2}\1\d{4}|[12]\d{3}([-./ ])\d{1,2}\2\d{1,2}(?: \d.*)?|\d{4}(?:\.\d{4}){2}"
)


MAX_TRIMMED_DIGITS = 3
"""Maximum digits at either end that may belong to another number."""


def find_phone(text: str, start: int, end: int) -> tuple[int, int] | None:
    """Start and end of the number in a candidate, which may include parts of other numbers.

    Candidates are shortened at spaces only, the longest first, and only by short numbers: `room 12`
    and `2 times`, but not the inside of an account number.
    """
    if THOUSANDS.fullmatch(text, start, end) and not PHONE_WORD.search(
        text[max(0, start - 48) : start]
    ):
        return None
    breaks = [at for at in range(start, end) if text[at].translate(NORMALISED_CHARACTERS) == " "]
    firsts = [at + 1 for at in breaks[:2] if at - start <= MAX_TRIMMED_DIGITS]
    lasts = [at for at in breaks[-2:] if end - at - 1 <= MAX_TRIMMED_DIGITS]
    for first in [start, *firsts]:
        before = text[max(0, first - 48) : first]
        for last in [end, *reversed(lasts)]:
            if last - first >= 7 and _is_phone(text[first:last], before):
                return first, last
    return None


def _is_phone(number: str, before: str) -> bool:
    """Whether a candidate is a telephone number, given the text before it.

    >>> _is_phone("+49 30 901820", ""), _is_phone("01.02.2003", "")
    (True, False)
    >>> _is_phone("612 345 678", "Tel. ")
    True
    """
    number = number.translate(NORMALISED_CHARACTERS)
    digits = "".join(c for c in number if c.isdigit())
    if not 7 <= len(digits) <= 15 or len(set(digits)) < 3 or DATE.fullmatch(number):
        return False
    if (
        YEAR_LIST.fullmatch(number)
        or FILE_MODES.fullmatch(number)
        or _is_arithmetic_sequence(number)
    ):
        return False
    if POSTCODE.fullmatch(number) and not PHONE_WORD.search(before):
        return False
    if number.lstrip("(").startswith("+"):
        return _has_country_code(digits) or _is_valid_in_plan(number)
    if NOT_A_PHONE.search(before):
        return False
    if digits.startswith("00") and number[2:3] in " 1234567890":
        abroad = number[2:].lstrip(" ")
        if (
            _has_country_code(digits[2:].lstrip("0"))
            or abroad[:1] != "0"
            and _is_valid_in_plan(f"+{abroad}")
        ):
            return len(number) > len(digits) or bool(PHONE_WORD.search(before))
    if any(pattern.fullmatch(number) for pattern in COUNTRY_GROUPINGS):
        return True
    return bool(PHONE_WORD.search(before))


def _is_arithmetic_sequence(number: str) -> bool:
    """Whether four or more groups increase by equal steps, as in a table.

    >>> _is_arithmetic_sequence("01 02 03 04 05"), _is_arithmetic_sequence("01 42 68 53 00")
    (True, False)
    """
    groups = [int(group) for group in regex.findall(r"\d+", number)]
    steps = {after - before for before, after in zip(groups, groups[1:], strict=False)}
    return len(groups) >= 4 and len(steps) == 1


def import_phonenumbers() -> Any:
    """Import phonenumbers; MissingExtra with the command that installs it."""
    try:
        import phonenumbers
    except ImportError:
        raise MissingExtra("phonenumbers", "corpus") from None
    return phonenumbers


def _is_valid_in_plan(number: str) -> bool:
    """Whether a number with a `+` is valid in its country's numbering plan.

    >>> _is_valid_in_plan("+880 1812-345678"), _is_valid_in_plan("+880 1812-3456")
    (True, False)
    """
    phonenumbers = import_phonenumbers()
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(number))
    except phonenumbers.NumberParseException:
        return False


def _has_country_code(digits: str) -> bool:
    """Whether digits start with a country code and have a length that occurs there.

    A 0 after the code, as in +49 (0)30, is allowed.
    """
    for size in (1, 2, 3):
        limits = COUNTRY_CODE_LENGTHS.get(digits[:size])
        if limits:
            rest = digits[size:]
            return limits[0] <= len(rest.removeprefix("0")) and len(rest) <= limits[1] + 1
    return False
