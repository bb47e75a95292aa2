"""The step `safety.personal`: personal data becomes placeholders, each removal on the record.

Validated kinds are on by default; names and postal addresses, which context alone tells, are asked
for. Where two patterns want a place, the surer kind has it. Knows nothing of how data is written
(patterns.py, phones.py, numbers.py) or of what is put in its place (placeholders.py).
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from pydantic import Field

from groundup.core import Config, ConfigError, File
from groundup.documents import Edit, Record, Ruling

from .patterns import PATTERNS
from .phones import plans
from .placeholders import Placeholders, Style, read_key

VALIDATED = ("iban", "email", "card", "ip", "mac", "national_id", "phone", "coordinates")
BY_CONTEXT = ("address", "name")


class PersonalConfig(Config):
    """Which personal data is replaced, and by what."""

    kinds: tuple[str, ...] = VALIDATED
    """Any of iban, email, card, ip, mac, national_id, phone, coordinates; and name, address, which
    are told by context alone. Source of the first, fourth and fifth: datatrove's PII formatter."""
    placeholders: Style = "numbered"
    """`numbered` (<EMAIL_1>, within a record), `keyed` (<EMAIL_9f3c21>, in the whole corpus) or
    `shaped` (user9f3c21@example.com, likewise)."""
    key_file: File | None = None
    """File with the key of keyed and shaped placeholders: 16 random bytes or more. Not copied;
    its hash is in the corpus's name, from which random bytes cannot be told."""
    most: int | None = Field(default=None, ge=0)
    """Values of one record above which it is dropped, such as a directory; None: never."""


class Found(NamedTuple):
    """One value and its place."""

    start: int
    end: int
    kind: str


class Personal:
    """Replaces personal data in a record."""

    def __init__(self, config: PersonalConfig) -> None:
        unknown = sorted(set(config.kinds) - {*VALIDATED, *BY_CONTEXT})
        if unknown:
            raise ConfigError(
                f"kinds={unknown} are unknown; there are {', '.join((*VALIDATED, *BY_CONTEXT))}."
            )
        if "phone" in config.kinds:
            plans()
        self.config = config
        self.key = read_key(config.key_file, config.placeholders)

    def __call__(self, record: Record) -> Ruling:
        """Rule about one record."""
        found = find_personal(record.text, self.config.kinds)
        if not found:
            return Ruling()
        counts = Counter(one.kind for one in found)
        told = ", ".join(f"{counts[kind]} {kind}" for kind in sorted(counts))
        if self.config.most is not None and len(found) > self.config.most:
            return Ruling("personal: too much", float(len(found)), told)
        names = Placeholders(self.config.placeholders, self.key)
        edits = []
        for start, end, kind in found:
            put = names.stand_in(kind, record.text[start:end])
            edits.append(Edit(start, end, f"personal: {kind}", put, is_private=True))
        return Ruling(edits=tuple(edits), metadata={"personal": dict(sorted(counts.items()))})


def find_personal(text: str, kinds: Iterable[str] = VALIDATED) -> list[Found]:
    """Personal data in a text, in order and without overlaps.

    >>> find_personal("Mail jo@uni-mainz.de, card 4111 1111 1111 1111, version 1.2.3.4")
    [Found(start=5, end=20, kind='email'), Found(start=27, end=46, kind='card')]
    """
    wanted = set(kinds)
    taken: list[tuple[int, int]] = []
    found: list[Found] = []
    for one in PATTERNS:
        if one.kind not in wanted or one.needs not in text:
            continue
        fresh = []
        for match in one.pattern.finditer(text):
            place = one.check(text, match)
            if place is not None and is_free(taken, *place):
                fresh.append(place)
                found.append(Found(*place, one.kind))
        if fresh:
            taken = sorted([*taken, *fresh])
    return sorted(found)


def is_free(taken: list[tuple[int, int]], start: int, end: int) -> bool:
    """Whether a place overlaps none that is taken; those are sorted and do not overlap."""
    at = bisect_right(taken, (start, end))
    return (at == 0 or taken[at - 1][1] <= start) and (at == len(taken) or end <= taken[at][0])
