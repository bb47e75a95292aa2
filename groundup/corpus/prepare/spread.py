"""Some records of each source for a dry run: from all over it, the same ones each time.

Parts are drawn by the pipeline's seed, of each some records are looked at and fewer taken, so that
reading is bounded however large the source is. A worker reads, so what hangs ends at its limit.
"""

import math
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any, NamedTuple

from groundup.documents import Record, Rejected

from ..engine.job import Origin, Skip, complete, configured, originals
from ..engine.survey import Each
from ..engine.worker import Place
from .inputs import Found
from .pipeline import Pipeline, Source, reader_use

PART_BYTES = 2**20
"""Parts of large files for a dry run: smaller than a run's, so that a sample lies closer."""
LOOKED_AT = 4_000
LOOKED_AT_BYTES = 64 * 2**20
"""Records of a source that are looked at, and their size: some seconds of work. Own choice."""
SPARE = 2
"""Parts drawn for each record that is wanted, since some hold none."""


class Sampling(NamedTuple):
    """A part of a source, and how many records of it are taken of how many."""

    origin: Origin
    wanted: int
    looked_at: int
    bytes: int
    seed: str
    skips: tuple[Skip, ...] = ()

    def without(self, place: Place, reason: str) -> "Sampling":
        """The same, a record that hung left out."""
        return self._replace(skips=(*self.skips, Skip(place, reason)))


class Drawn(NamedTuple):
    """What a sample of a source holds, and what it saw on the way."""

    records: list[Record]
    seen: int
    """Records that could be read, taken or not."""
    unread: list[Rejected]
    """What could not be read."""
    parts: int
    """Parts of the source that were looked at."""


def in_small_parts(pipeline: Pipeline) -> Pipeline:
    """The pipeline with sources planned in smaller parts, where their readers can do that."""
    return pipeline.model_copy(update={"sources": tuple(map(finer, pipeline.sources))})


def finer(source: Source) -> Source:
    """A source in small parts, unless it says how large they are."""
    if "part_bytes" not in type(configured(reader_use(source))).model_fields:
        return source
    settings = {"part_bytes": PART_BYTES} | source.settings
    return source.model_copy(update={"settings": settings})


def spread(config: Pipeline, one: Found, records: int, each: Each) -> Drawn:
    """Records from all over a source, in its order, and what could not be read on the way."""
    chance = Random(f"{config.seed}/{one.source.name}")
    count = min(len(one.parts), SPARE * records)
    numbers = sorted(chance.sample(range(len(one.parts)), count))
    wanted = math.ceil(records / max(min(count, records), 1))
    tasks = [
        Sampling(
            Origin(one.source.name, str(one.root), reader_use(one.source), (one.parts[number],),
                   one.source.licence),
            wanted, max(wanted, LOOKED_AT // count), LOOKED_AT_BYTES // count,
            f"{config.seed}/{one.source.name}/{number}",
        )
        for number in numbers
    ]  # fmt: skip
    parts = each(read_some, tasks)
    found = [record for part in parts for record in part.records]
    unread = dict.fromkeys(row for part in parts for row in part.unread)  # parts meet at a damage
    seen = sum(part.seen for part in parts)
    return Drawn(chosen(found, records, chance), seen, list(unread), count)


def read_some(task: Sampling) -> Drawn:
    """Records of a part, a few of the first ones."""
    rows = list(first(task))
    found = [one for one in rows if isinstance(one, Record)]
    unread = [one for one in rows if isinstance(one, Rejected)]
    return Drawn(chosen(found, task.wanted, Random(task.seed)), len(found), unread, 1)


def first(task: Sampling) -> Iterator[Record | Rejected]:
    """Yield the first records of a part, and what cannot be read, up to the bounds of a sample."""
    skips = {(*skip.place[:2], skip.place.is_reading): skip for skip in task.skips}
    count = size = 0
    for place, one in originals(task.origin, skips):
        if isinstance(one, Rejected):
            yield one
            count += 1
        elif (*place[:2], False) not in skips:
            yield complete(one, task.origin)
            count, size = count + 1, size + len(one.text) + len(one.data)
        if count >= task.looked_at or size >= task.bytes:
            return


def chosen(rows: Sequence[Any], count: int, chance: Random) -> list[Any]:
    """Some of the rows, in their order.

    >>> chosen("abc", 5, Random(0))
    ['a', 'b', 'c']
    """
    numbers = chance.sample(range(len(rows)), min(count, len(rows)))
    return [rows[number] for number in sorted(numbers)]
