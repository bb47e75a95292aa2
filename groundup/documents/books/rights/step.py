"""The step: which works an allowed licence covers, and on what evidence."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from pydantic import field_validator

from groundup.core import Config

from ...code.expressions import allowed, checked
from ...record import Record, Ruling
from .licences import COPYRIGHT
from .statements import Statement, statements

YEAR = re.compile(r"(?:1[5-9]|20)\d\d")
PUBLISHER = re.compile(
    r"(?:published\s+by|publisher:|imprint\s+of|verlag:)[ \t]+(?P<name>[^\n.;]{3,80})",
    re.IGNORECASE,
)

PUBLIC_DOMAIN = re.compile(
    r"public[\s-]domain|gemeinfrei|domaine\s+public|dominio\s+p[úu]b+lico|pubblico\s+dominio"
    r"|dom[íi]nio\s+p[úu]blico|publiek\s+domein",
    re.IGNORECASE,
)
NOT = re.compile(
    r"(?i)\b(?:not?|nicht|kein\w*|pas|non|n[ãa]o|niet|geen|except|some|parts?|after|until)\b"
)
"""With any of these a field on rights does not say that the work is in the public domain."""


class RightsConfig(Config):
    """Which works may pass."""

    allow: tuple[str, ...] = (
        "CC0-1.0", "CC-BY-*", "CC-BY-SA-*", "LicenseRef-public-domain", "LicenseRef-Gutenberg",
        "MIT", "Apache-2.0", "BSD-*", "Latex2e", "PSF-2.0", "PostgreSQL",
    )  # fmt: skip
    """SPDX identifiers that pass; `*` stands for any rest, but NC and ND must be named. Source:
    own; the free licences without conditions on what is trained. GFDL and GPL: add them knowingly.
    """
    unknown: Literal["drop", "keep"] = "drop"
    """What becomes of works that name no licence; `exclude` is an older word for `drop`. Source:
    the issue, dropped by default."""
    public_domain_before: int = 0
    """Works whose every copyright year is earlier pass; 0 for none. Source: a person who knows the
    law of the place; in the United States 95 years after publication."""
    reach: int = 20_000
    """Characters from the beginning and from the end that are read. Source: own judgement."""

    @field_validator("unknown", mode="before")
    @classmethod
    def read_older(cls, value: Any) -> Any:
        """`exclude`, as it was called, is `drop`."""
        return "drop" if value == "exclude" else value


class Rights:
    """Excludes works that no allowed licence covers; says on what evidence."""

    def __init__(self, config: RightsConfig) -> None:
        checked(config.allow)
        self.config = config

    def __call__(self, record: Record) -> Ruling:
        """Judge the statements of a work together."""
        text, reach = record.text, self.config.reach
        windows = [(0, min(reach, len(text)))]
        if len(text) > reach:
            windows.append((max(reach, len(text) - reach), len(text)))
        said = [one for window in windows for one in statements(text, *window)]
        said = self.without_choices([*of_metadata(record.metadata), *said])
        rights = "\n".join(values_of(record.metadata, "rights"))
        years = sorted(
            {int(y) for w in windows for y in years_of(text, *w)}
            | {int(y) for y in years_of(rights, 0, len(rights))}
        )
        names = [m.group("name").strip() for w in windows for m in PUBLISHER.finditer(text, *w)]
        reason, why = self.reason(said, years)
        said.sort(key=lambda one: one is not why)
        metadata = {
            "licences": list(dict.fromkeys(one.licence for one in said if one.role == "granted")),
            "copyright_years": years,
            "publishers": names[:5],
            "rights_evidence": [list(one) for one in said[:20]],
        }
        details = f"{why.quote} (at {why.start}, {why.role})" if why else "no statement found"
        return Ruling(reason=reason, details=details if reason else "", metadata=metadata)

    def without_choices(self, said: Sequence[Statement]) -> list[Statement]:
        """Licences of which the reader has the choice: one that is allowed is enough."""
        chosen = [one for one in said if one.role == "choice"]
        good = {one[1:4] for one in chosen if allowed(one.licence, self.config.allow)}
        return [
            one._replace(role="granted")
            if one.role == "choice"
            and (one[1:4] not in good or allowed(one.licence, self.config.allow))
            else one
            for one in said
        ]

    def reason(
        self, said: Sequence[Statement], years: Sequence[int]
    ) -> tuple[str, Statement | None]:
        """Why a work is excluded, or nothing; and the statement that decided."""
        allow, limit = self.config.allow, self.config.public_domain_before
        granted = [one for one in said if one.role == "granted"]
        reserved = [one for one in granted if one.licence == "reserved"]
        named = [one for one in granted if one.licence != "reserved"]
        bad = [one for one in named if not allowed(one.licence, allow)]
        parts = [one for one in said if one.role == "part" and not allowed(one.licence, allow)]
        if bad:
            is_mixed = len(bad) < len(named)
            what = "mixed" if is_mixed else "licence not on the allow list"
            return f"rights: {what}", bad[0]
        if not named and years and years[-1] < limit:
            return "", None
        if reserved:
            return "rights: reserved", reserved[0]
        if named:
            return ("rights: mixed", parts[0]) if parts else ("", named[0])
        why = said[0] if said else None
        return ("rights: unknown" if self.config.unknown == "drop" else ""), why


def of_metadata(metadata: Mapping[str, Any]) -> Iterator[Statement]:
    """Yield what metadata grant: licences by their ids, and `rights` in words, as EPUB has them.

    >>> [one.licence for one in of_metadata({"licence": "MIT", "rights": "CC BY 4.0"})]
    ['MIT', 'CC-BY-4.0']
    """
    for licence in values_of(metadata, "licence"):
        yield Statement(licence, "metadata", 0, 0, "granted")
    for rights in values_of(metadata, "rights"):
        found = [
            # What only names a licence in a text grants it here: the field speaks of the work.
            one._replace(start=0, end=0, role="granted" if is_plain_name(one) else one.role)
            for one in statements(f"{rights}\n", 0, len(rights) + 1)
        ]
        if not found and PUBLIC_DOMAIN.search(rights) and not NOT.search(rights):
            found = [Statement("LicenseRef-public-domain", rights[:400], 0, 0, "granted")]
        yield from found


def is_plain_name(one: Statement) -> bool:
    """Whether a statement names one licence and says no more."""
    return one.role == "named" and one.licence not in ("reserved", "restricted", "LicenseRef-CC")


def values_of(metadata: Mapping[str, Any], name: str) -> list[str]:
    """The values under a name, of which there may be none, one or a list."""
    value = metadata.get(name)
    return [str(one) for one in (value if isinstance(value, list) else [value]) if one]


def years_of(text: str, start: int, end: int) -> Iterator[str]:
    """Yield the years of copyright lines."""
    for match in COPYRIGHT.finditer(text, start, end):
        yield from YEAR.findall(match.group("years"))
