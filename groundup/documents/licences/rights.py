"""The step `books.rights`: keep the works that an allowed licence covers, with the evidence.

Statements are searched for at the beginning and the end of a work (statements.py). A licence is the
work's own only if a sentence grants it to the work, or it is on a licence or badge line, or in the
metadata. Licences of parts, denied ones and mere mentions are reported as evidence but never allow
anything. Reserved rights and restrictions override a grant elsewhere. This is evidence, not legal
advice.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from pydantic import field_validator

from groundup.core import Config

from ..record import Record, StepResult
from .expressions import check_allow_list, is_licence_allowed
from .statements import RE, RightsStatement, find_statements

YEAR = re.compile(r"(?:1[5-9]|20)\d\d")


class RightsConfig(Config):
    """Which works may pass."""

    allow: tuple[str, ...] = (
        "CC0-1.0", "CC-BY-*", "CC-BY-SA-*", "LicenseRef-public-domain", "LicenseRef-Gutenberg",
        "MIT", "Apache-2.0", "BSD-*", "Latex2e", "PSF-2.0", "PostgreSQL",
    )  # fmt: skip
    """SPDX identifiers that pass; `*` matches any rest, but NC and ND must be named explicitly.
    Source: own; the free licences without conditions on trained models. Add GFDL and GPL knowingly.
    """
    unknown: Literal["drop", "keep"] = "drop"
    """What happens to works that name no licence; `exclude` is an alias of `drop`. Source: the
    issue, dropped by default."""
    public_domain_before: int = 0
    """Works whose copyright years are all earlier pass; 0 switches this off. Source: the local law,
    so ask someone who knows it; in the United States it is 95 years after publication."""
    reach: int = 20_000
    """Characters read from the beginning and from the end. Source: own judgement."""

    @field_validator("unknown", mode="before")
    @classmethod
    def read_former_value(cls, value: Any) -> Any:
        """Read the former value `exclude` as `drop`."""
        return "drop" if value == "exclude" else value


class Rights:
    """Drops works that no allowed licence covers and reports the evidence."""

    def __init__(self, config: RightsConfig) -> None:
        check_allow_list(config.allow)
        self.config = config

    def __call__(self, record: Record) -> StepResult:
        text, reach = record.text, self.config.reach
        windows = [(0, min(reach, len(text)))]
        if len(text) > reach:
            windows.append((max(reach, len(text) - reach), len(text)))
        evidence = [statement for window in windows for statement in find_statements(text, *window)]
        evidence = self._resolve_choices([*_statements_in_metadata(record.metadata), *evidence])
        sources = [*_metadata_values(record.metadata, "rights"), *(text[a:b] for a, b in windows)]
        notices = (notice for source in sources for notice in RE.copyright.finditer(source))
        years = {int(year) for notice in notices for year in YEAR.findall(notice["years"])}
        names = [m["name"].strip() for w in windows for m in RE.publisher.finditer(text, *w)]
        reason, why = self._drop_reason(evidence, max(years, default=0))
        evidence.sort(key=lambda statement: statement is not why)
        granted = [statement.licence for statement in evidence if statement.role == "granted"]
        metadata = {
            "licences": list(dict.fromkeys(granted)),
            "copyright_years": sorted(years),
            "publishers": names[:5],
            "rights_evidence": [list(statement) for statement in evidence[:20]],
        }
        details = f"{why.quote} (at {why.start}, {why.role})" if why else "no statement found"
        return StepResult(reason=reason, details=details if reason else "", metadata=metadata)

    def _is_allowed(self, statement: RightsStatement) -> bool:
        return is_licence_allowed(statement.licence, self.config.allow)

    def _resolve_choices(self, evidence: Sequence[RightsStatement]) -> list[RightsStatement]:
        choices = [statement for statement in evidence if statement.role == "choice"]
        resolved = {statement[1:4] for statement in choices if self._is_allowed(statement)}
        granted = [s for s in choices if s[1:4] not in resolved or self._is_allowed(s)]
        return [s._replace(role="granted") if s in granted else s for s in evidence]

    def _drop_reason(
        self, evidence: Sequence[RightsStatement], last_year: int
    ) -> tuple[str, RightsStatement | None]:
        """Why a work is dropped (empty if it is kept), and the deciding statement."""
        granted = [statement for statement in evidence if statement.role == "granted"]
        reserved = [statement for statement in granted if statement.licence == "reserved"]
        named = [statement for statement in granted if statement.licence != "reserved"]
        disallowed = [statement for statement in named if not self._is_allowed(statement)]
        if disallowed:
            is_mixed = len(disallowed) < len(named)
            what = "mixed" if is_mixed else "licence not on the allow list"
            return f"rights: {what}", disallowed[0]
        if not named and 0 < last_year < self.config.public_domain_before:
            return "", None
        if reserved:
            return "rights: reserved", reserved[0]
        if named:
            parts = [s for s in evidence if s.role == "part" and not self._is_allowed(s)]
            return ("rights: mixed", parts[0]) if parts else ("", named[0])
        why = evidence[0] if evidence else None
        return ("rights: unknown" if self.config.unknown == "drop" else ""), why


def _statements_in_metadata(metadata: Mapping[str, Any]) -> Iterator[RightsStatement]:
    """Yield the licences granted by metadata: ids, and `rights` in words as in EPUB."""
    for licence in _metadata_values(metadata, "licence"):
        yield RightsStatement(licence, "metadata", 0, 0, "granted")
    for rights in _metadata_values(metadata, "rights"):
        is_empty = True
        for statement in find_statements(f"{rights}\n", 0, len(rights) + 1):
            # A name that a text only mentions is a grant here: the field is about the work.
            is_name = statement.licence not in ("reserved", "restricted", "LicenseRef-CC")
            role = "granted" if statement.role == "named" and is_name else statement.role
            yield statement._replace(start=0, end=0, role=role)
            is_empty = False
        if is_empty and RE.public_domain.search(rights) and not RE.negating_word.search(rights):
            yield RightsStatement("LicenseRef-public-domain", rights[:400], 0, 0, "granted")


def _metadata_values(metadata: Mapping[str, Any], name: str) -> list[str]:
    value = metadata.get(name)
    return [str(item) for item in (value if isinstance(value, list) else [value]) if item]
