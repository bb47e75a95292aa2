"""Rights: what a work says about who may copy it, quoted with its place.

Statements are looked for where works make them, at the beginning and the end: licence tags, names
and links, public-domain dedications, Gutenberg's header, copyright lines with their years. A work
passes if a statement names a licence on the allow list; unknown is excluded unless asked otherwise.
Evidence, not advice: it does not know the law of any country.
"""

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

from groundup.core import Config

from ..record import Record, Ruling

CC_NAME = (
    r"(?P<cc>Attribution(?:[ -]{1,3}(?:Non-?Commercial|Share-?Alike|No-?Deriv\w{0,9})){0,2})"
    r"(?:\s+(?:Licen[sc]e,?\s+)?(?:version\s+)?(?P<version>\d\.\d))?"
)
VERSION = r"(?:,?\s+(?:either\s+)?version\s+(?P<version>\d(?:\.\d)?))?"
LICENCES: tuple[tuple[str, str], ...] = (
    (r"\bSPDX-License-Identifier:\s*(?P<id>[\w.+-]{2,40})", "="),
    (
        r"creativecommons\.org/(?:licenses|publicdomain)/(?P<cc>[a-z-]{2,12})"
        r"(?:/(?P<version>\d\.\d))?",
        "cc",
    ),
    (r"\bCC[ -](?P<cc>BY(?:[ -](?:NC|SA|ND)){0,2}|ZERO)(?:[ -](?P<version>\d\.\d))?\b", "cc"),
    (r"\bCC(?P<cc>0)(?:[ -](?P<version>\d\.\d))?\b", "cc"),
    (r"Creative\s+Commons\s+" + CC_NAME, "cc"),
    (r"no\s+restrictions\s+whatsoever.{0,160}Project\s+Gutenberg", "LicenseRef-Gutenberg"),
    (r"Project\s+Gutenberg(?:-tm|™)?\s+License", "LicenseRef-Gutenberg"),
    (
        r"(?:dedicated\s+to|released\s+into|placed\s+in|(?:is|are)\s+(?:now\s+)?in)\s+"
        r"the\s+public\s+domain",
        "LicenseRef-public-domain",
    ),
    (r"public[ -]domain\s+(?:book|work|text)", "LicenseRef-public-domain"),
    (r"GNU\s+Free\s+Documentation\s+Licen[sc]e" + VERSION, "GFDL"),
    (r"GNU\s+(?P<gnu>Lesser\s+|Affero\s+)?General\s+Public\s+Licen[sc]e" + VERSION, "GPL"),
    (r"Permission\s+is\s+granted\s+to\s+make\s+and\s+distribute\s+verbatim\s+copies", "Latex2e"),
    (r"Apache\s+License,?\s+(?:Version\s+)?2\.0", "Apache-2.0"),
    (r"\bMIT\s+Licen[sc]e\b|Permission\s+is\s+hereby\s+granted,\s+free\s+of\s+charge", "MIT"),
    (r"Redistribution\s+and\s+use\s+in\s+source\s+and\s+binary\s+forms", "BSD-3-Clause"),
)
"""Pattern, and SPDX identifier or the way to one."""
RESERVED = re.compile(
    r"(?<!not )all\s+rights\s+reserved|alle\s+rechte\s+vorbehalten|tous\s+droits\s+réservés|"
    r"no\s+part\s+of\s+this\s+(?:book|publication|work)\s+may\s+be\s+(?:reproduced|copied)",
    re.IGNORECASE,
)
COPYRIGHT = re.compile(
    r"(?:©|\(c\)|\bcopyright\b)(?:\s*(?:©|\(c\)|\bc\b))?[ \t]*"
    r"(?P<years>(?:1[5-9]|20)\d\d(?:[ ,–-]{1,3}(?:and )?(?:(?:1[5-9]|20)\d\d|\d\d\b)){0,40})",
    re.IGNORECASE,
)
YEAR = re.compile(r"(?:1[5-9]|20)\d\d")
PUBLISHER = re.compile(
    r"(?:published\s+by|publisher:|imprint\s+of|verlag:)[ \t]+(?P<name>[^\n.;]{3,80})",
    re.IGNORECASE,
)


class RightsConfig(Config):
    """Which works may pass."""

    allow: tuple[str, ...] = (
        "CC0-1.0", "CC-BY-*", "CC-BY-SA-*", "LicenseRef-public-domain", "LicenseRef-Gutenberg",
        "MIT", "Apache-2.0", "BSD-*", "Latex2e", "PSF-2.0", "PostgreSQL",
    )  # fmt: skip
    """SPDX identifiers that pass; `*` stands for any rest, but NC and ND must be named. Source:
    own; the free licences without conditions on what is trained. GFDL and GPL: add them knowingly.
    """
    unknown: Literal["exclude", "keep"] = "exclude"
    """What becomes of works that name no licence. Source: the issue, excluded by default."""
    public_domain_before: int = 0
    """Works whose every copyright year is earlier pass; 0 for none. Source: a person who knows the
    law of the place; in the United States 95 years after publication."""
    reach: int = 20_000
    """Characters from the beginning and from the end that are read. Source: own judgement."""


class Statement(NamedTuple):
    """A piece of evidence."""

    licence: str
    """SPDX identifier, or `reserved`."""
    quote: str
    start: int
    end: int


class Rights:
    """Excludes works that no allowed licence covers; says on what evidence."""

    def __init__(self, config: RightsConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> Ruling:
        """Judge the statements of a work together."""
        text, reach = record.text, self.config.reach
        windows = [(0, min(reach, len(text)))]
        if len(text) > reach:
            windows.append((max(reach, len(text) - reach), len(text)))
        said = [one for window in windows for one in statements(text, *window)]
        told = record.metadata.get("licence")
        licences = list(dict.fromkeys([told] * bool(told) + [one.licence for one in said]))
        years = sorted({int(y) for w in windows for y in years_of(text, *w)})
        names = [m.group("name").strip() for w in windows for m in PUBLISHER.finditer(text, *w)]
        metadata = {
            "licences": licences,
            "copyright_years": years,
            "publishers": names[:5],
            "rights_evidence": [list(one) for one in said[:20]],
        }
        reason = self.reason(licences, years)
        details = said[0].quote if said else "no statement found"
        return Ruling(reason=reason, details=details if reason else "", metadata=metadata)

    def reason(self, licences: list[str], years: list[int]) -> str:
        """Why a work is excluded, or nothing."""
        named = [one for one in licences if one != "reserved"]
        if any(allowed(one, self.config.allow) for one in named):
            return ""
        limit = self.config.public_domain_before
        if not named and years and years[-1] < limit:
            return ""
        if named:
            return "rights: licence not on the allow list"
        if "reserved" in licences:
            return "rights: reserved"
        return "rights: unknown" if self.config.unknown == "exclude" else ""


def statements(text: str, start: int, end: int) -> Iterator[Statement]:
    """Yield what a slice says about copying, licence by licence in their order."""
    for pattern, kind in compiled():
        for match in pattern.finditer(text, start, end):
            yield Statement(identifier(match, kind), quoted(match.group()), *match.span())
    for match in RESERVED.finditer(text, start, end):
        yield Statement("reserved", quoted(match.group()), *match.span())


def compiled() -> Iterator[tuple[re.Pattern[str], str]]:
    """Yield the table's patterns, compiled; `re` keeps them."""
    for pattern, kind in LICENCES:
        yield re.compile(pattern, re.IGNORECASE), kind


def identifier(match: re.Match[str], kind: str) -> str:
    """The SPDX identifier of a statement."""
    groups = match.groupdict()
    version = groups.get("version")
    if kind == "=":
        return groups["id"]
    if kind == "cc":
        return creative_commons(groups["cc"], version)
    if kind == "GPL":
        kind = {"l": "LGPL", "a": "AGPL"}.get((groups["gnu"] or " ")[0].lower(), "GPL")
    if kind in ("GFDL", "GPL", "LGPL", "AGPL") and version:
        return f"{kind}-{version}" if "." in version else f"{kind}-{version}.0"
    return kind


def creative_commons(words: str, version: str | None) -> str:
    """SPDX identifier of a Creative Commons licence by its letters or its words.

    >>> creative_commons("Attribution-ShareAlike", "4.0"), creative_commons("zero", None)
    ('CC-BY-SA-4.0', 'CC0-1.0')
    """
    low = re.sub(r"non-?commercial", "NC", words, flags=re.IGNORECASE)
    low = re.sub(r"share-?alike", "SA", low, flags=re.IGNORECASE)
    low = re.sub(r"no-?deriv\w*", "ND", low, flags=re.IGNORECASE)
    low = re.sub(r"attribution", "BY", low, flags=re.IGNORECASE)
    letters = [part.upper() for part in re.split(r"[ -]+", low) if part]
    if letters[0] in ("0", "ZERO"):
        return "CC0-1.0"
    if letters[0] in ("MARK", "PUBLICDOMAIN"):
        return "LicenseRef-public-domain"
    return "-".join(["CC", *letters, *([version] if version else [])])


def years_of(text: str, start: int, end: int) -> Iterator[str]:
    """Yield the years of copyright lines."""
    for match in COPYRIGHT.finditer(text, start, end):
        yield from YEAR.findall(match.group("years"))


def quoted(text: str) -> str:
    """A statement in one line."""
    return " ".join(text.split())[:300]


def allowed(licence: str, allow: tuple[str, ...]) -> bool:
    """Whether a licence is on the list; a star does not stand for NC or ND.

    >>> allowed("CC-BY-NC-4.0", ("CC-BY-*",)), allowed("CC-BY-4.0", ("CC-BY-*",))
    (False, True)
    """
    for one in allow:
        if one.endswith("*"):
            stem = one[:-1].rstrip("-")
            rest = licence.removeprefix(stem)
            if licence.startswith(stem) and re.fullmatch(r"(?:-[\d.]+(?:-\w+)?)?", rest):
                return True
        elif licence == one:
            return True
    return False
