"""Sampling of each source for a dry run: spread over the source and reproducible.

Input splits are drawn with the pipeline's seed; of each, a bounded number of records is scanned and
fewer are kept, so reading is bounded for any source. Workers read, so the time limit applies.
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
"""Split size of large files in a dry run: smaller than a run's, for an even sample."""
LOOKED_AT = 4_000
LOOKED_AT_BYTES = 64 * 2**20
"""Records and bytes of a source that are scanned: a few seconds of work. Own choice."""
SPARE = 2
"""Splits drawn per requested record, since some have none."""


class Sampling(NamedTuple):
    """A sampling task over one input split."""

    origin: Origin
    wanted: int
    looked_at: int
    bytes: int
    seed: str
    skips: tuple[Skip, ...] = ()

    def without(self, place: Place, reason: str) -> "Sampling":
        """The same task without a record that hung."""
        return self._replace(skips=(*self.skips, Skip(place, reason)))


class Drawn(NamedTuple):
    """The sample of a source and its scan statistics."""

    records: list[Record]
    seen: int
    """Readable records scanned."""
    unread: list[Rejected]
    """Unreadable inputs."""
    parts: int
    """Input splits scanned."""


def in_small_parts(pipeline: Pipeline) -> Pipeline:
    """The pipeline with smaller input splits, where readers support it."""
    return pipeline.model_copy(update={"sources": tuple(map(finer, pipeline.sources))})


def finer(source: Source) -> Source:
    """A source with small splits, unless its settings fix their size."""
    if "part_bytes" not in type(configured(reader_use(source))).model_fields:
        return source
    settings = {"part_bytes": PART_BYTES} | source.settings
    return source.model_copy(update={"settings": settings})


def spread(config: Pipeline, one: Found, records: int, each: Each) -> Drawn:
    """Sample records evenly from a source, in its order; also collects unreadable inputs."""
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
    unread = dict.fromkeys(
        row for part in parts for row in part.unread
    )  # adjacent splits report the same damage
    seen = sum(part.seen for part in parts)
    return Drawn(chosen(found, records, chance), seen, list(unread), count)


def read_some(task: Sampling) -> Drawn:
    """Sample from the first records of a split."""
    rows = list(first(task))
    records = [row for row in rows if isinstance(row, Record)]
    unread = [row for row in rows if isinstance(row, Rejected)]
    return Drawn(chosen(records, task.wanted, Random(task.seed)), len(records), unread, 1)


def first(task: Sampling) -> Iterator[Record | Rejected]:
    """Yield the first records and unreadable inputs of a split, up to the task's limits."""
    skips = {(*skip.place[:2], skip.place.is_reading): skip for skip in task.skips}
    count = size = 0
    for place, item in originals(task.origin, skips):
        if isinstance(item, Rejected):
            yield item
            count += 1
        elif (*place[:2], False) not in skips:
            yield complete(item, task.origin)
            count, size = count + 1, size + len(item.text) + len(item.data)
        if count >= task.looked_at or size >= task.bytes:
            return


def chosen(rows: Sequence[Any], count: int, chance: Random) -> list[Any]:
    """A random subset of the rows, in their order.

    >>> chosen("abc", 5, Random(0))
    ['a', 'b', 'c']
    """
    numbers = chance.sample(range(len(rows)), min(count, len(rows)))
    return [rows[number] for number in sorted(numbers)]
