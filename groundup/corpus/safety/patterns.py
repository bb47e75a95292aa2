"""Recognises personal data: a pattern, then a check, then a nearby word where those prove little.

Patterns are bounded and start where no earlier character could have started them, so matching is
linear in the text. A check accepts, shortens or rejects each match: an address that is not global,
a card number without its check digit and a version number are rejected. Knows nothing of
placeholders or records.
"""

import ipaddress
from collections.abc import Callable
from typing import NamedTuple

import regex

from . import numbers, phones
from .tables import PERSONAL

TextRange = tuple[int, int]
Check = Callable[[str, "regex.Match[str]"], TextRange | None]

TOP_LEVEL = frozenset(PERSONAL.data["words"]["top_level"].split())
NOT_NAMES = frozenset(PERSONAL.data["words"]["nobody"].split())
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


def accept(text: str, match: "regex.Match[str]") -> TextRange:
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


IP_WORD = regex.compile(PERSONAL.expand(PERSONAL.data["ip"]["word"]))
VERSION_WORD = regex.compile(PERSONAL.expand(PERSONAL.data["ip"]["version"]))


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


def _check_card(text: str, match: "regex.Match[str]") -> TextRange | None:
    """A payment card number, by prefix, length and check digit."""
    digits = "".join(c for c in match.group() if c.isdigit())
    return match.span() if numbers.is_card(digits) else None


def _check_iban(text: str, match: "regex.Match[str]") -> TextRange | None:
    """An IBAN, cut at its country's length."""
    size = numbers.IBAN_LENGTHS.get(match.group()[:2].upper())
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
    return (match.start(), at) if is_whole and numbers.is_iban(code.upper()) else None


def _national_id_check(
    valid: Callable[[str], bool], word: str = "", require_word: str = ""
) -> Check:
    """Create the check of a national number.

    valid         whether a number without separators can be one
    word          pattern of the words of which one must precede it
    require_word  "always" to require the word always; else only for a number without separators
    """
    nearby = regex.compile(rf"(?i)(?:{word})[^\n]{{0,40}}$") if word else None

    def check(text: str, match: "regex.Match[str]") -> TextRange | None:
        written = match.group()
        code = "".join(c for c in written if c.isalnum()).upper()
        is_bare = require_word == "always" or len(code) == len(written)
        if (
            nearby
            and is_bare
            and not nearby.search(text[max(0, match.start() - 70) : match.start()])
        ):
            return None
        return match.span() if valid(code) else None

    return check


def _check_phone(text: str, match: "regex.Match[str]") -> TextRange | None:
    """A telephone number."""
    return phones.find_phone(text, match.start(), match.end())


COORDINATES_WORD = regex.compile(PERSONAL.expand(PERSONAL.data["coordinates"]["word"]))


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
    "phone": _check_phone,
    "whole": accept,
}
"""By name in personal.toml; the functions of numbers.py are wrapped by `_national_id_check`."""


def _load_patterns() -> tuple[PersonalPattern, ...]:
    """The patterns of personal.toml, the most reliable first."""
    patterns = []
    for row in PERSONAL.data["patterns"]:
        check = CHECKS.get(row["check"]) or _national_id_check(
            getattr(numbers, row["check"]), row.get("word", ""), row.get("require", "")
        )
        compiled = regex.compile(PERSONAL.expand(row["pattern"]))
        patterns.append(PersonalPattern(row["kind"], compiled, check, row.get("needs", "")))
    return tuple(patterns)


PATTERNS = _load_patterns()
