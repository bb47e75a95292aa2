"""The step: which works an allowed licence covers, and on what evidence."""

import re
from collections.abc import Iterator, Sequence
from typing import Literal

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
        told = record.metadata.get("licence")
        if told:
            said.insert(0, Statement(str(told), "metadata", 0, 0, "granted"))
        said = self.without_choices(said)
        years = sorted({int(y) for w in windows for y in years_of(text, *w)})
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
        return ("rights: unknown" if self.config.unknown == "exclude" else ""), why


def years_of(text: str, start: int, end: int) -> Iterator[str]:
    """Yield the years of copyright lines."""
    for match in COPYRIGHT.finditer(text, start, end):
        yield from YEAR.findall(match.group("years"))
