"""The step `safety.personal`: replace personal data by placeholders, with every edit in the log.

Validated kinds are on by default; names after salutations and postal addresses, which only context
shows, must be requested. Where two patterns overlap, the more reliable kind wins. How data is
recognised is in patterns.py, phones.py and numbers.py; what replaces it in placeholders.py.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from pydantic import Field

from groundup.core import Config, ConfigError, InputPath
from groundup.documents import Record, StepResult, TextEdit

from .patterns import PATTERNS
from .phones import import_phonenumbers
from .placeholders import Placeholders, PlaceholderStyle, read_placeholder_key

VALIDATED_KINDS = ("iban", "email", "card", "ip", "mac", "national_id", "phone", "coordinates")
CONTEXT_KINDS = ("address", "name")


class PersonalConfig(Config):
    """Which personal data is replaced, and by what."""

    kinds: tuple[str, ...] = VALIDATED_KINDS
    """Any of iban, email, card, ip, mac, national_id, phone, coordinates; and name, address, which
    only context shows. Source of the first, fourth and fifth: datatrove's PII formatter."""
    placeholders: PlaceholderStyle = "numbered"
    """`numbered` (<EMAIL_1>, within a record), `keyed` (<EMAIL_9f3c21>, in the whole corpus) or
    `shaped` (user9f3c21@example.com, likewise)."""
    key_file: InputPath | None = None
    """File with the key of keyed and shaped placeholders: 16 random bytes or more. Not copied;
    only its hash is part of the corpus id."""
    max_values: int | None = Field(default=None, ge=0)
    """Number of values above which a record is dropped, such as a directory; None: no limit."""


class PersonalValue(NamedTuple):
    """A value and its position."""

    start: int
    end: int
    kind: str


class ReplacePersonal:
    """The step `safety.personal`: replace personal data in a record."""

    def __init__(self, config: PersonalConfig) -> None:
        unknown = sorted(set(config.kinds) - {*VALIDATED_KINDS, *CONTEXT_KINDS})
        if unknown:
            raise ConfigError(
                f"kinds={unknown} are unknown; there are "
                f"{', '.join((*VALIDATED_KINDS, *CONTEXT_KINDS))}."
            )
        if "phone" in config.kinds:
            import_phonenumbers()
        self.config = config
        self.key = read_placeholder_key(config.key_file, config.placeholders)

    def __call__(self, record: Record) -> StepResult:
        """Replace the personal data of one record."""
        values = _find_personal(record.text, self.config.kinds)
        if not values:
            return StepResult()
        counts = Counter(value.kind for value in values)
        summary = ", ".join(f"{counts[kind]} {kind}" for kind in sorted(counts))
        if self.config.max_values is not None and len(values) > self.config.max_values:
            return StepResult("personal: too much", float(len(values)), summary)
        placeholders = Placeholders(self.config.placeholders, self.key)
        edits = []
        for start, end, kind in values:
            placeholder = placeholders.placeholder_for(kind, record.text[start:end])
            edits.append(TextEdit(start, end, f"personal: {kind}", placeholder, is_private=True))
        return StepResult(edits=tuple(edits), metadata={"personal": dict(sorted(counts.items()))})


def _find_personal(text: str, kinds: Iterable[str] = VALIDATED_KINDS) -> list[PersonalValue]:
    """Find personal data in a text, in order and without overlaps.

    >>> _find_personal("Mail jo@uni-mainz.de, card 4111 1111 1111 1111, version 1.2.3.4")
    [PersonalValue(start=5, end=20, kind='email'), PersonalValue(start=27, end=46, kind='card')]
    """
    enabled = set(kinds)
    taken: list[tuple[int, int]] = []
    found: list[PersonalValue] = []
    for pattern in PATTERNS:
        if pattern.kind not in enabled or pattern.needs not in text:
            continue
        fresh = []
        for match in pattern.pattern.finditer(text):
            span = pattern.check(text, match)
            if span is not None and _is_unclaimed(taken, *span):
                fresh.append(span)
                found.append(PersonalValue(*span, pattern.kind))
        if fresh:
            taken = sorted([*taken, *fresh])
    return sorted(found)


def _is_unclaimed(taken: list[tuple[int, int]], start: int, end: int) -> bool:
    """Whether a range overlaps none of `taken`, which are sorted and do not overlap."""
    index = bisect_right(taken, (start, end))
    return (index == 0 or taken[index - 1][1] <= start) and (
        index == len(taken) or end <= taken[index][0]
    )
