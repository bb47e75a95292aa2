"""How personal data is written: a pattern, then a check, and where that proves little a word.

Patterns are bounded and begin where no earlier character could have begun them, so a text of n
characters costs n whatever it holds. What a pattern proposes, a check accepts, shortens or refuses:
an address that is not global, a card without its check digit and a version number stay.
Knows nothing of placeholders or records.
"""

import ipaddress
from collections.abc import Callable
from typing import NamedTuple

import regex

from . import numbers, phones

Place = tuple[int, int]
Check = Callable[[str, "regex.Match[str]"], Place | None]

TOP_LEVEL = frozenset(
    "com org net edu gov mil int info biz name pro aero coop museum mobi jobs travel cat asia post "
    "tel xxx app dev page blog shop store online site website tech cloud email live news world "
    "life today agency company group team work media digital studio design space fun club city "
    "berlin hamburg koeln bayern wien swiss paris bzh amsterdam london scot wales eus gal madrid "
    "moscow tokyo nyc global network systems solutions services support software host press "
    "academy university institute foundation science health care clinic law finance bank money "
    "xyz top icu vip technology engineering consulting marketing management photography graphics "
    "ventures capital partners holdings international enterprises industries legal energy church "
    "school college education training coach guru expert tools zone link click one plus pub bar "
    "restaurant cafe fitness fashion beauty care dental hospital insurance house homes estate land "
    "garden farm solar green earth eco bio social chat fm tv inc llc ltd gmbh srl bank law lgbt "
    "art gallery music band film video games team fans lat rio quebec ngo ong "
    "istanbul nrw saarland tirol vlaanderen brussels frl cymru alsace bretagne corsica".split()
)
"""Endings of mail addresses beside those of two letters; `.service` and `.conf` are none."""
RESERVED = ("example.com", "example.org", "example.net", "example.edu")
"""RFC 2606: names that nobody has, as are those under test, example, invalid and localhost."""
REPOSITORIES = frozenset(("git", "hg", "svn"))
"""Users of servers of code, as in `git@github.com:name/project.git`."""
HIDDEN_AT = regex.compile(r"(?i)\s?[(\[{<]\s?(?:at|@)\s?[)\]}>]\s?")
HIDDEN_DOT = regex.compile(r"(?i)\s?[(\[{<]\s?(?:dot|\.)\s?[)\]}>]\s?")
STRING_OPENS = regex.compile(r"(?i)(?:br|rb|[bruf])'")
SCRIPTS = frozenset(("py", "sh", "so", "pl", "rs", "md", "cc", "js"))
"""Countries' endings that are mostly files' behind an @."""


class Pattern(NamedTuple):
    """One way in which a kind of personal data is written."""

    kind: str
    pattern: "regex.Pattern[str]"
    check: Check
    needs: str = ""
    """A character without which the pattern cannot match; a quick look before a slow one."""


def whole(text: str, match: "regex.Match[str]") -> Place:
    """What matched, unchecked; the group `it` alone if there is one."""
    return match.span("it") if "it" in match.re.groupindex else match.span()


def email(text: str, match: "regex.Match[str]") -> Place | None:
    """A mail address that somebody may have; `git@host` is a repository's."""
    written = HIDDEN_DOT.sub(".", HIDDEN_AT.sub("@", match.group()))
    local, _, domain = written.partition("@")
    ending = domain.rpartition(".")[2].lower()
    real = ending in TOP_LEVEL or (ending not in SCRIPTS and (
        ending.isalpha() and (len(ending) == 2 or len(ending) > 2 and not ending.isascii())
        or ending.startswith("xn--")
    ))  # fmt: skip
    low = domain.lower()
    if not real or ".." in written or local.lower() in REPOSITORIES or any(
        low == name or low.endswith("." + name) for name in RESERVED
    ):  # fmt: skip
        return None
    opened = STRING_OPENS.match(match.group())  # b'jo@acme.com' in code
    start = match.start() + (opened.end() if opened else 0)
    return (start, match.end()) if not local.endswith((".", "'")) else None


IP_WORD = regex.compile(
    r"(?i)\b(?:ip(?:v4)?|addr\w*|adres\w*|host|server|serveur|servidor|inet|ping|dns|login|client|from"
    r"|von|desde|da|depuis|gateway|route|peer|remote)\b[^\n]{0,24}$"
)
VERSION_WORD = regex.compile(
    r"(?i)(?:version|versie|versión|versione|vers|ver|v|release|section|abschnitt|kapitel|chapter"
    r"|oid|build|firmware|[a-z]-|§)[\s.:]{0,2}$"
)


def ipv4(text: str, match: "regex.Match[str]") -> Place | None:
    """A global address; four small numbers are a version unless a word says otherwise."""
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


def ipv6(text: str, match: "regex.Match[str]") -> Place | None:
    """A global unicast address: those in use are all in 2000::/3."""
    written = match.group()
    try:
        address = ipaddress.IPv6Address(written)
    except ValueError:
        return None
    is_unicast = address in ipaddress.IPv6Network("2000::/3") and address.is_global
    return match.span() if is_unicast and (written.count(":") == 7 or "::" in written) else None


MADE_UP_MACS = ("000000000000", "ffffffffffff", "001122334455", "0123456789ab", "aabbccddeeff",
                "112233445566", "123456789abc", "00005e0053")  # fmt: skip


def mac(text: str, match: "regex.Match[str]") -> Place | None:
    """A network card's address, not one that books make up (RFC 7042 reserves the last)."""
    plain = match.group().replace(":", "").replace("-", "").replace(".", "").lower()
    if "." in match.group() and (plain.isalpha() or plain.isdigit()):
        return None  # dead.beef.cafe, 1234.5678.9012
    return None if plain.startswith(MADE_UP_MACS) else match.span()


def card(text: str, match: "regex.Match[str]") -> Place | None:
    """A payment card's number by prefix, length and check digit."""
    digits = "".join(c for c in match.group() if c.isdigit())
    return match.span() if numbers.is_card(digits) else None


def iban(text: str, match: "regex.Match[str]") -> Place | None:
    """An account's number; what stands behind its country's length is cut off."""
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


def national(valid: Callable[[str], bool], word: str = "", bare: str = "") -> Check:
    """A check of a national number.

    valid  says whether a number without separators can be one
    word   pattern of words of which one must stand before it
    bare   demanded only of a number without separators, or always if it is "always"
    """
    nearby = regex.compile(rf"(?i)(?:{word})[^\n]{{0,40}}$") if word else None

    def check(text: str, match: "regex.Match[str]") -> Place | None:
        written = match.group()
        code = "".join(c for c in written if c.isalnum()).upper()
        is_bare = bare == "always" or len(code) == len(written)
        if (
            nearby
            and is_bare
            and not nearby.search(text[max(0, match.start() - 70) : match.start()])
        ):
            return None
        return match.span() if valid(code) else None

    return check


def phone(text: str, match: "regex.Match[str]") -> Place | None:
    """A telephone number."""
    return phones.find_phone(text, match.start(), match.end())


PLACE_WORD = regex.compile(
    r"(?i)(?:lat\w*|lon\w*|lng|gps|geo\w*|coord\w*|koord\w*|coörd\w*|współrz\w*|position|posición"
    r"|posizione|standort|location|maps?|@|ll=|q=)[^\n]{0,30}$"
)


def coordinates(text: str, match: "regex.Match[str]") -> Place | None:
    """Latitude and longitude to ten metres; bare decimals need a word, tables are full of them."""
    latitude, longitude = float(match["lat"]), float(match["lon"])
    if abs(latitude) > 90 or abs(longitude) > 180:
        return None
    before = text[max(0, match.start() - 50) : match.start()]
    return match.span() if PLACE_WORD.search(before) else None


def pattern(kind: str, written: str, check: Check = whole, needs: str = "") -> Pattern:
    """A pattern, compiled."""
    return Pattern(kind, regex.compile(written), check, needs)


EDGE, END = r"(?<![\w.+-])", r"(?![\w-])"

PATTERNS = (
    pattern("iban", r"(?<![A-Za-z0-9])[A-Za-z]{2}\d\d(?:[ -]?[A-Za-z0-9]){11,32}+", iban),
    pattern(
        "email",
        r"(?<![\w.%+-])(?<!\w')[\w%+-][\w.%+'-]{0,63}@[^\W_][\w-]{0,62}(?:\.[\w-]{1,62}){1,6}",
        email,
        "@",
    ),
    pattern(
        "email",
        r"(?<![\w.%+-])[\w%+-][\w.%+-]{0,63}\s?[(\[{<]\s?(?i:at|@)\s?[)\]}>]\s?[^\W_][\w-]{0,62}"
        r"(?:(?:\.|\s?[(\[{<]\s?(?i:dot|\.)\s?[)\]}>]\s?)[\w-]{1,62}){1,6}",
        email,
    ),
    pattern("card", EDGE + r"\d(?:(?P<s>[ -]?)\d)(?:[ -]?\d){10,17}" + END, card),
    pattern("ip", r"(?<![\w.-])\d{1,3}(?:\.\d{1,3}){3}(?![\w-]|\.\d)", ipv4, "."),
    pattern("ip", r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:])", ipv6, ":"),
    pattern(
        "mac",
        r"(?<![\w:-])[0-9A-Fa-f]{2}([:-])(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}(?![\w:-])",
        mac,
    ),
    pattern("mac", r"(?<![\w.:-])[0-9A-Fa-f]{4}(?:\.[0-9A-Fa-f]{4}){2}(?![\w:-]|\.\w)", mac, "."),
    pattern("national_id", EDGE + r"\d{3}-\d\d-\d{4}" + END, national(numbers.is_ssn), "-"),
    pattern(
        "national_id",
        EDGE + r"\d{3} ?\d\d ?\d{4}" + END,
        national(numbers.is_ssn, r"\bSSN\b|social security", "always"),
    ),
    pattern(
        "national_id",
        EDGE + r"\d\d[ ]?\d{3}[ ]?\d{3}[ ]?\d{3}" + END,
        national(numbers.is_steuer_id, r"steuer|id-?nr|identifikations|\btin\b|tax id", "bare"),
    ),
    pattern(
        "national_id",
        EDGE + r"[12] ?\d\d ?\d\d ?\d[\dAB] ?\d{3} ?\d{3} ?\d\d" + END,
        national(numbers.is_nir),
    ),
    pattern(
        "national_id",
        EDGE + r"(?:\d{2}\.?\d{3}\.?\d{3}|[XYZ]-?\d{7}) ?-?[A-HJ-NP-TV-Z]" + END,
        national(numbers.is_dni),
    ),
    pattern(
        "national_id",
        EDGE + r"[A-Za-z]{6}\d\d[A-EHLMPRSTa-ehlmprst]\d\d[A-Za-z]\d{3}[A-Za-z]" + END,
        national(numbers.is_codice_fiscale),
    ),
    pattern(
        "national_id",
        EDGE + r"[A-Z]{3} [A-Z]{3} \d\d[A-EHLMPRST]\d\d [A-Z]\d{3}[A-Z]" + END,
        national(numbers.is_codice_fiscale),
    ),
    pattern(
        "national_id",
        EDGE + r"\d{4}\.?\d\d\.?\d{3}" + END,
        national(numbers.is_bsn, r"\bbsn\b|burgerservice|sofi", "always"),
    ),
    pattern(
        "national_id",
        EDGE + r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]( ?)\d\d\1\d\d\1\d\d\1[A-D]" + END,
        national(numbers.is_nino),
    ),
    pattern("national_id", EDGE + r"\d{11}" + END, national(numbers.is_pesel)),
    pattern(
        "national_id",
        EDGE + r"\d{3}\.\d{3}\.\d{3}-\d\d" + END,
        national(numbers.is_cpf),
        "-",
    ),
    pattern("national_id", EDGE + r"\d{11}" + END, national(numbers.is_cpf, r"\bcpf\b", "always")),
    pattern("phone", phones.CANDIDATE.pattern, phone),
    pattern(
        "coordinates",
        r"(?<![\w.])(?P<lat>[+-]?\d{1,2}\.\d{4,12}+)°?,?\s{0,2}(?P<lon>[+-]?\d{1,3}\.\d{4,12}+)(?![\w.])",
        coordinates,
        ".",
    ),
    pattern(
        "coordinates",
        r"(?<![\w.])\d{1,2}°\s?\d{1,2}(?:\.\d{1,6})?['′’]\s?(?:\d{1,2}(?:\.\d{1,6})?[\"″”]\s?)?[NSns],?"
        r"\s{0,2}\d{1,3}°\s?\d{1,2}(?:\.\d{1,6})?['′’]\s?(?:\d{1,2}(?:\.\d{1,6})?[\"″”]\s?)?[EWOewo]"
        r"(?!\w)",
        whole,
        "°",
    ),
)
"""In the order in which they may claim a place: the surest first."""
