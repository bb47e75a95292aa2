"""Recognises personal data: a pattern, then a check, then a nearby word where those prove little.

Patterns are bounded and start where no earlier character could have started them, so matching is
linear in the text. A check accepts, shortens or rejects each match: an address that is not global,
a card number without its check digit (python-stdnum) and a version number are rejected. Digits in
groups are also dates, prices and ISBNs, so they are a telephone number if they start with a country
code and have a length that occurs there, if their grouping is used for telephone numbers only, or
if they follow a word such as "Tel."; after a `+` the plans of all countries are checked too
(phonenumbers). Knows nothing of placeholders or records.
Sources: ITU-T E.164 and its list of assigned codes; the countries' numbering plans.
"""

import ipaddress
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import regex

from groundup.core import import_extra
from groundup.documents import join_lines, read_patterns

PERSONAL = read_patterns(Path(__file__).with_name("personal.toml"))

TextRange = tuple[int, int]
Check = Callable[[str, "regex.Match[str]"], TextRange | None]

TOP_LEVEL = frozenset(PERSONAL["words"]["top_level"].split())
NOT_NAMES = frozenset(PERSONAL["words"]["nobody"].split())
RESERVED_DOMAINS = ("example.com", "example.org", "example.net", "example.edu")
"""RFC 2606: reserved names, in addition to those under test, example, invalid and localhost."""
REPOSITORY_USERS = frozenset(("git", "hg", "svn"))
"""Users of code servers, as in `git@github.com:name/project.git`."""
HIDDEN_AT = regex.compile(r"(?i)\s?[(\[{<]\s?(?:at|@)\s?[)\]}>]\s?")
HIDDEN_DOT = regex.compile(r"(?i)\s?[(\[{<]\s?(?:dot|\.)\s?[)\]}>]\s?")
STRING_PREFIX = regex.compile(r"(?i)(?:br|rb|[bruf])'")
FILE_EXTENSION_DOMAINS = frozenset(("py", "sh", "so", "pl", "rs", "md", "cc", "js"))
"""Country domains that after an @ are mostly file endings."""


class PersonalPattern(NamedTuple):
    """A pattern of a kind of personal data."""

    kind: str
    pattern: "regex.Pattern[str]"
    check: Check
    needs: str = ""
    """A character without which the pattern cannot match, for a fast rejection."""


def _accept(text: str, match: "regex.Match[str]") -> TextRange:
    """Accept the match, or its group `it` if there is one."""
    return match.span("it") if "it" in match.re.groupindex else match.span()


def _check_email(text: str, match: "regex.Match[str]") -> TextRange | None:
    """A mail address that can exist; `git@host` is a repository."""
    written = HIDDEN_DOT.sub(".", HIDDEN_AT.sub("@", match.group()))
    local, _, domain = written.partition("@")
    ending = domain.rpartition(".")[2].lower()
    is_real_domain = ending in TOP_LEVEL or (ending not in FILE_EXTENSION_DOMAINS and (
        ending.isalpha() and (len(ending) == 2 or len(ending) > 2 and not ending.isascii())
        or ending.startswith("xn--")
    ))  # fmt: skip
    domain_lower = domain.lower()
    if not is_real_domain or ".." in written or local.lower() in REPOSITORY_USERS or any(
        domain_lower == name or domain_lower.endswith("." + name) for name in RESERVED_DOMAINS
    ):  # fmt: skip
        return None
    prefix = STRING_PREFIX.match(match.group())  # b'jo@acme.com' in code
    start = match.start() + (prefix.end() if prefix else 0)
    return (start, match.end()) if not local.endswith((".", "'")) else None


IP_WORD = regex.compile(join_lines(PERSONAL["ip"]["word"]))
VERSION_WORD = regex.compile(join_lines(PERSONAL["ip"]["version"]))


def _check_ipv4(text: str, match: "regex.Match[str]") -> TextRange | None:
    """A global address; four small numbers are a version unless a word such as `host` precedes."""
    try:
        if not ipaddress.IPv4Address(match.group()).is_global:
            return None
    except ValueError:
        return None
    before = text[max(0, match.start() - 40) : match.start()]
    octets = [int(part) for part in match.group().split(".")]
    if octets[0] == 0 or octets[0] >= 224 or VERSION_WORD.search(before):
        return None
    is_small = max(octets) < 64
    return match.span() if not is_small or IP_WORD.search(before) else None


def _check_ipv6(text: str, match: "regex.Match[str]") -> TextRange | None:
    """A global unicast address: all that are in use are in 2000::/3."""
    written = match.group()
    try:
        address = ipaddress.IPv6Address(written)
    except ValueError:
        return None
    is_unicast = address in ipaddress.IPv6Network("2000::/3") and address.is_global
    return match.span() if is_unicast and (written.count(":") == 7 or "::" in written) else None


EXAMPLE_MACS = ("000000000000", "ffffffffffff", "001122334455", "0123456789ab", "aabbccddeeff",
                "112233445566", "123456789abc", "00005e0053")  # fmt: skip


def _check_mac(text: str, match: "regex.Match[str]") -> TextRange | None:
    """A MAC address, except those common in documentation (the last is reserved by RFC 7042)."""
    hex_digits = match.group().replace(":", "").replace("-", "").replace(".", "").lower()
    if "." in match.group() and (hex_digits.isalpha() or hex_digits.isdigit()):
        return None  # dead.beef.cafe, 1234.5678.9012
    return None if hex_digits.startswith(EXAMPLE_MACS) else match.span()


@cache
def _is_valid(module: str) -> Callable[[str], bool]:
    return import_extra(f"stdnum.{module}", "corpus", "python-stdnum").is_valid


CARD_ISSUERS = regex.compile(join_lines(PERSONAL["card"]["issuers"]))


def _check_card(text: str, match: "regex.Match[str]") -> TextRange | None:
    digits = "".join(c for c in match.group() if c.isdigit())
    is_card = CARD_ISSUERS.fullmatch(digits) and len(set(digits)) > 1
    return match.span() if is_card and _is_valid("luhn")(digits) else None


IBAN_LENGTHS = {
    country: int(length)
    for country, length in re.findall(r"([A-Z]{2}):(\d+)", PERSONAL["iban"]["lengths"])
}
"""Characters of an IBAN by country."""


def _check_iban(text: str, match: "regex.Match[str]") -> TextRange | None:
    """An IBAN, cut at its country's length."""
    size = IBAN_LENGTHS.get(match.group()[:2].upper())
    if size is None:
        return None
    code, at = "", match.start()
    while len(code) < size and at < match.end():
        code += text[at] if text[at].isalnum() else ""
        at += 1
    follows = text[at : at + 1]
    if code != code.upper() and (code != code.lower() or 2 * sum(map(str.isdigit, code)) < size):
        return None  # words
    is_whole = len(code) == size and not (follows.isascii() and follows.isalnum())
    code = code.upper()
    has_check_digits = is_whole and _is_valid("iso7064.mod_97_10")(code[4:] + code[:4])
    return (match.start(), at) if has_check_digits else None


def _national_id_check(modules: str, word: str = "", require_word: str = "") -> Check:
    """Create the check of a national number.

    modules       modules of python-stdnum, of which one must accept its digits and dates
    word          pattern of the words of which one must precede it
    require_word  "always" to require the word always; else only for a number without separators
    """
    nearby = regex.compile(rf"(?i)(?:{word})[^\n]{{0,40}}$") if word else None

    def check(text: str, match: "regex.Match[str]") -> TextRange | None:
        written = match.group()
        code = "".join(c for c in written if c.isalnum()).upper()
        if nearby and (require_word == "always" or len(code) == len(written)):
            if not nearby.search(text[max(0, match.start() - 70) : match.start()]):
                return None
        is_valid = any(_is_valid(module)(code) for module in modules.split())
        is_valid = is_valid and len(set(code)) > 1  # 111.111.111-11 passes too
        return match.span() if is_valid else None

    return check


COUNTRY_CODE_LENGTHS: dict[str, tuple[int, int]] = {
    code: (int(least), int(most))
    for code, least, most in re.findall(r"(\d+):(\d+)-(\d+)", PERSONAL["phone"]["codes"])
}
"""Country code to the least and the most digits after it."""

NORMALISED_CHARACTERS = str.maketrans(
    {"\uff0b": "+", "\t": " ", "\u3000": " ", "\u00a0": " ", "\u202f": " "}
    | dict.fromkeys(range(0x2000, 0x200C), " ")
    | dict.fromkeys([0xAD, 0x2212, *range(0x2010, 0x2016)], "-")
)
"""Normalises spaces, dashes and the full-width + to those of the patterns."""

COUNTRY_GROUPINGS = tuple(regex.compile(grouping) for grouping in PERSONAL["phone"]["groupings"])
"""Groupings that are telephone numbers in some country and hardly anything else."""
PHONE_WORD = regex.compile(join_lines(PERSONAL["phone"]["word"]))
NOT_A_PHONE = regex.compile(join_lines(PERSONAL["phone"]["other"]))
THOUSANDS = regex.compile(rf"\d{{1,3}}(?:[ {PERSONAL['fragments']['SPACES']}]\d{{3}}){{3,}}")
POSTCODE = regex.compile(r"\d{5}-\d{4}")
"""A US ZIP+4 code; German numbers are written alike and then need a word before them."""
OTHER_NUMBERS = tuple(regex.compile(join_lines(x)) for x in PERSONAL["phone"]["none"])
"""Dates, lists of years, and octal file modes."""
MAX_TRIMMED_DIGITS = 3  # Maximum digits at either end that may belong to another number


def _find_phone(text: str, start: int, end: int) -> tuple[int, int] | None:
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
    """Whether a candidate is a telephone number, given the text before it."""
    number = number.translate(NORMALISED_CHARACTERS)
    digits = "".join(c for c in number if c.isdigit())
    if not 7 <= len(digits) <= 15 or len(set(digits)) < 3:
        return False
    if any(kind.fullmatch(number) for kind in OTHER_NUMBERS) or _is_arithmetic_sequence(number):
        return False
    if POSTCODE.fullmatch(number) and not PHONE_WORD.search(before):
        return False
    if number.lstrip("(").startswith("+"):
        return _has_country_code(digits) or _is_valid_in_plan(number)
    if NOT_A_PHONE.search(before):
        return False
    if digits.startswith("00") and number[2:3] in " 1234567890":
        abroad = number[2:].lstrip(" ")
        is_valid = abroad[:1] != "0" and _is_valid_in_plan(f"+{abroad}")
        if is_valid or _has_country_code(digits[2:].lstrip("0")):
            return len(number) > len(digits) or bool(PHONE_WORD.search(before))
    is_grouped = any(pattern.fullmatch(number) for pattern in COUNTRY_GROUPINGS)
    return is_grouped or bool(PHONE_WORD.search(before))


def _is_arithmetic_sequence(number: str) -> bool:
    """Whether four or more groups increase by equal steps, as in a table."""
    groups = [int(group) for group in regex.findall(r"\d+", number)]
    steps = {after - before for before, after in zip(groups, groups[1:], strict=False)}
    return len(groups) >= 4 and len(steps) == 1


def _is_valid_in_plan(number: str) -> bool:
    """Whether a number with a `+` is valid in its country's numbering plan."""
    phonenumbers = import_extra("phonenumbers", "corpus")
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


COORDINATES_WORD = regex.compile(join_lines(PERSONAL["coordinates"]["word"]))


def _check_coordinates(text: str, match: "regex.Match[str]") -> TextRange | None:
    """Latitude and longitude to ten metres; decimals need a word, as they are common in tables."""
    latitude, longitude = float(match["lat"]), float(match["lon"])
    if abs(latitude) > 90 or abs(longitude) > 180:
        return None
    before = text[max(0, match.start() - 50) : match.start()]
    return match.span() if COORDINATES_WORD.search(before) else None


def _check_name(text: str, match: "regex.Match[str]") -> TextRange | None:
    """A name after a salutation, unless its first word addresses anybody, as in `Dear customer`."""
    start, end = match.span("it")
    first = regex.search(r"\p{Lu}[^ -]*", text[start:end])
    assert first is not None, "the pattern demands a capital"
    word = first.group()
    return None if word.lower() in NOT_NAMES or word.isupper() else (start, end)


CHECKS: dict[str, Check] = {
    "card": _check_card,
    "coordinates": _check_coordinates,
    "email": _check_email,
    "iban": _check_iban,
    "ipv4": _check_ipv4,
    "ipv6": _check_ipv6,
    "mac": _check_mac,
    "name": _check_name,
    "phone": lambda text, match: _find_phone(text, *match.span()),
    "whole": _accept,
}
"""By name in personal.toml; any other name there is one of python-stdnum."""


def _load_patterns() -> tuple[PersonalPattern, ...]:
    """The patterns of personal.toml, the most reliable first."""
    patterns = []
    for row in PERSONAL["patterns"]:
        check = CHECKS.get(row["check"]) or _national_id_check(
            row["check"], row.get("word", ""), row.get("require", "")
        )
        compiled = regex.compile(join_lines(row["pattern"]))
        patterns.append(PersonalPattern(row["kind"], compiled, check, row.get("needs", "")))
    return tuple(patterns)


PATTERNS = _load_patterns()
