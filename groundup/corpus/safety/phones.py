"""Telephone numbers: a country's code, or the ways in which its people group digits.

Digits in groups are also dates, prices, versions and ISBNs. So a number counts if it begins with a
country's code and has a length that occurs there, or is grouped as numbers are in one country and
nothing else is, or is grouped less tellingly and stands behind a word such as "Tel.". Behind a `+`
the numbering plans of all countries are asked too, which the library phonenumbers has.
Sources: ITU-T E.164 and its list of assigned codes; the countries' numbering plans.
"""

from typing import Any

import regex

from groundup.core import MissingExtra

CODES = {
    "1": (10, 10), "7": (10, 10), "20": (8, 10), "27": (9, 9), "30": (10, 10), "31": (9, 9),
    "32": (8, 9), "33": (9, 9), "34": (9, 9), "36": (8, 9), "39": (6, 11), "40": (9, 9),
    "41": (9, 9), "43": (7, 13), "44": (9, 10), "45": (8, 8), "46": (7, 10), "47": (8, 8),
    "48": (9, 9), "49": (6, 12), "51": (8, 9), "52": (10, 10), "54": (10, 11), "55": (10, 11),
    "56": (9, 9), "57": (8, 10), "58": (10, 10), "60": (8, 10), "61": (9, 9), "62": (8, 12),
    "63": (9, 10), "64": (8, 10), "65": (8, 8), "66": (8, 9), "81": (9, 10), "82": (8, 10),
    "84": (9, 10), "86": (10, 11), "90": (10, 10), "91": (10, 10), "92": (9, 10), "98": (10, 10),
    "212": (9, 9), "213": (8, 9), "216": (8, 8), "234": (8, 10), "351": (9, 9), "352": (6, 11),
    "353": (7, 9), "354": (7, 9), "358": (6, 12), "359": (8, 9), "370": (8, 8), "371": (8, 8),
    "372": (7, 8), "380": (9, 9), "381": (8, 9), "385": (8, 9), "386": (8, 8), "420": (9, 9),
    "421": (9, 9), "852": (8, 8), "886": (8, 9), "966": (8, 9), "971": (8, 9), "972": (8, 9),
}  # fmt: skip
"""Country's code to the least and most digits after it: wider than the plans, whose numbers for
films (+1 212-555-0142) people use too, and enough where a number has no `+`."""

SPACES, DASHES = r"\u00a0\u2000-\u200b\u202f\u3000\t", r"\u00ad\u2010-\u2015\u2212"
"""Beside a space and a hyphen: as typesetters set them."""
CANDIDATE = regex.compile(
    r"(?:(?<![\w+/=.#-]|\d:)(?:\([+\uff0b]?)?|(?<![\w+])[+\uff0b]\s?)"
    rf"\d[\d ().\-/{SPACES}{DASHES}]{{5,24}}\d(?![\w-]|[.:]\d)"
)
"""Anything that may hold one: 7 to 26 digits and separators. A `+` may stand behind `=` or `/`, as
in settings and addresses."""
PLAIN = str.maketrans({"\uff0b": "+", "\t": " ", "\u3000": " ", "\u00a0": " ", "\u202f": " "}
                      | dict.fromkeys(range(0x2000, 0x200C), " ")
                      | dict.fromkeys([0xAD, 0x2212, *range(0x2010, 0x2016)], "-"))  # fmt: skip
"""Spaces, dashes and a full-width + as the patterns have them."""

TELLING = tuple(
    regex.compile(pattern)
    for pattern in (
        r"\([2-9]\d\d\) ?[2-9]\d\d[-. ]\d{4}",  # United States, Canada
        r"[2-9]\d\d([-.])[2-9]\d\d\1\d{4}",
        r"1([-.])[2-9]\d\d\1[2-9]\d\d\1\d{4}",
        r"0[1-9](?:[ .]\d\d){4}",  # France
        r"0[67]\d{8}|0[1-9]-\d\d-\d\d-\d\d-\d\d",
        r"0[1-9]\d{1,4}(?: ?/ ?| ?- ?)\d{4,9}(?:-\d{1,4})?",  # Germany, Austria
        r"0[1-9]\d{1,4} ?/ ?\d{2,4}(?: \d{2,4}){1,3}",
        r"\(0[1-9]\d{1,4}\) ?\d{2,9}(?:[ -]\d{2,6}){0,3}",
        r"01[5-7]\d{1,2}[ /-]?\d{3,4} ?\d{3,5}",
        r"0[2-9]\d{1,4} \d{3,5}(?: \d{2,5}){1,2}|0[2-9]\d{1,3} \d{6,8}",
        r"0\d{2,4} \d{3,4} \d{3,4}|07\d{3} ?\d{6}|\(0\d{2,4}\) \d{3,4} \d{3,4}",  # Britain
        r"0[1-9]\d?[- ]\d{7,8}|0[1-9]\d{2}[- ]\d{6}",  # Netherlands
        r"0[1-9](?:\d[- ]\d{3} \d\d \d\d|[- ]\d\d(?: \d\d){3}|[- ]\d{4} ?\d{4})",
        r"0\d{1,3}[ .-]\d{3,4}[ .-]?\d{3,4}",  # Italy
        r"3[2-9]\d([ .])?\d{3}\1\d{4}|3[2-9]\d \d{7}|3[2-9]\d \d{6}",
        r"[6789]\d\d([ .-])\d{3}\1\d{3}|[6789]\d\d([ .-])\d\d\2\d\d\2\d\d",  # Spain, Portugal
        r"[89]\d([ .-])\d{3}\1\d\d\1\d\d",
        r"\(\d\d\) ?9?\d{4}-\d{4}",  # Brazil
        r"8[ -]?\(\d{3,5}\)[ -]?\d{1,3}(?:[ -]\d\d){2}|8[ -]\d{3}[ -]\d{3}[ -]\d\d[ -]\d\d",
        r"0[1-9]\d{0,2}-\d{2,4}-\d{4}|0[1-9]\d{0,2}\(\d{2,4}\)\d{4}",  # Japan
    )
)
"""Groupings that are telephone numbers in some country and hardly anything else."""

WORD = regex.compile(
    r"(?i)(?:\bt[ée]l(?:[ée]f|efoon|efon|[ée]phone|[ée]fono|efone|efono)?\w*|\b(?:phone|fon|fax|mobile?"
    r"|mobiel|mobil|m[óo]vil|cell(?:ulare|ular)?|handy|handynummer|rufnummer|durchwahl|portable|call"
    r"|hotline|whatsapp|sms|komórk\w*|numer|gsm|telemóvel|ring|bel|llam\w*|appel\w*|chiam\w*|dzwoni\w*"
    r"|tlf|tfn|puh|тел(?:ефон)?|моб|contact\w*|kontakt\w*|nummer|número|numéro|numero|number)\b"
    r"|[☎✆📞]|电话|電話|手机|手機|携帯|전화|휴대폰)(?!\w*\s+(?:book|exchange|director|compan|line|system|box|booth|pole"
    r"|network|set\b))[^\n\d]{0,24}$"
)
NOT_A_PHONE = regex.compile(
    r"(?i)(?:isbn(?:-1[03])?|issn|rfc|version|vers\.|v|\bdoi|order|bestellung\w*|invoice|rechnung\w*"
    r"|facture|factura|fattura|ticket|bug|issue|case|ref\w*|\bid|\bpid|serial|artikel\w*|art\.?|£|\$|€"
    r"|eur|usd|port|page|seite)[\s.:#n°o-]{0,4}$"
)
YEARS = regex.compile(r"(?:1[5-9]|20)\d\d(?:[ ,/-]+(?:1[5-9]|20)\d\d)+")
THOUSANDS = regex.compile(rf"\d{{1,3}}(?:[ {SPACES}]\d{{3}}){{3,}}")
POSTCODE = regex.compile(r"\d{5}-\d{4}")
"""Of the United States; in Germany a number is written so too, which its word then tells."""
MODES = regex.compile(r"0[0-7]{3}(?:[ ,/-]+0[0-7]{3})+")
"""Of files, in octal."""
DATE = regex.compile(
    r"\d{1,2}([-./ ])\d{1,2}\1\d{4}|[12]\d{3}([-./ ])\d{1,2}\2\d{1,2}(?: \d.*)?|\d{4}(?:\.\d{4}){2}"
)


MOST_CUT = 3
"""Digits at an end that may belong to another number."""


def find_phone(text: str, start: int, end: int) -> tuple[int, int] | None:
    """The place of the number in a candidate, whose ends other numbers may have got into.

    Cut at spaces only, the longest first, and only short numbers are cut off: `room 12` and
    `2 times`, but not the inside of an account's number.
    """
    if THOUSANDS.fullmatch(text, start, end) and not WORD.search(text[max(0, start - 48) : start]):
        return None
    breaks = [at for at in range(start, end) if text[at].translate(PLAIN) == " "]
    firsts = [at + 1 for at in breaks[:2] if at - start <= MOST_CUT]
    lasts = [at for at in breaks[-2:] if end - at - 1 <= MOST_CUT]
    for first in [start, *firsts]:
        before = text[max(0, first - 48) : first]
        for last in [end, *reversed(lasts)]:
            if last - first >= 7 and is_phone(text[first:last], before):
                return first, last
    return None


def is_phone(number: str, before: str) -> bool:
    """Whether a candidate is a telephone number, given the text before it.

    >>> is_phone("+49 30 901820", ""), is_phone("01.02.2003", ""), is_phone("612 345 678", "Tel. ")
    (True, False, True)
    """
    number = number.translate(PLAIN)
    digits = "".join(c for c in number if c.isdigit())
    if not 7 <= len(digits) <= 15 or len(set(digits)) < 3 or DATE.fullmatch(number):
        return False
    if YEARS.fullmatch(number) or MODES.fullmatch(number) or is_counting(number):
        return False
    if POSTCODE.fullmatch(number) and not WORD.search(before):
        return False
    if number.lstrip("(").startswith("+"):
        return has_code(digits) or is_assigned(number)
    if NOT_A_PHONE.search(before):
        return False
    if digits.startswith("00") and number[2:3] in " 1234567890":
        abroad = number[2:].lstrip(" ")
        if has_code(digits[2:].lstrip("0")) or abroad[:1] != "0" and is_assigned(f"+{abroad}"):
            return len(number) > len(digits) or bool(WORD.search(before))
    if any(pattern.fullmatch(number) for pattern in TELLING):
        return True
    return bool(WORD.search(before))


def is_counting(number: str) -> bool:
    """Whether four groups or more rise by equal steps, as in a table.

    >>> is_counting("01 02 03 04 05"), is_counting("01 42 68 53 00")
    (True, False)
    """
    groups = [int(group) for group in regex.findall(r"\d+", number)]
    steps = {after - before for before, after in zip(groups, groups[1:], strict=False)}
    return len(groups) >= 4 and len(steps) == 1


def plans() -> Any:
    """phonenumbers, or the command that installs it."""
    try:
        import phonenumbers
    except ImportError:
        raise MissingExtra("phonenumbers", "corpus") from None
    return phonenumbers


def is_assigned(number: str) -> bool:
    """Whether a number with a `+` is in the plan of its country.

    >>> is_assigned("+880 1812-345678"), is_assigned("+880 1812-3456")
    (True, False)
    """
    known = plans()
    try:
        return known.is_valid_number(known.parse(number))
    except known.NumberParseException:
        return False


def has_code(digits: str) -> bool:
    """Whether digits begin with a country's code and have a length that occurs there.

    A 0 behind the code, as in +49 (0)30, is allowed for.
    """
    for size in (1, 2, 3):
        limits = CODES.get(digits[:size])
        if limits:
            rest = digits[size:]
            return limits[0] <= len(rest.removeprefix("0")) and len(rest) <= limits[1] + 1
    return False
