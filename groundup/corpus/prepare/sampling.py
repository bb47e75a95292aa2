"""Sampling of each source for a dry run: spread over the source and reproducible.

Input splits are drawn with the pipeline's seed; of each, a bounded number of records is scanned and
fewer are kept, so reading is bounded for any source. Workers read, so the time limit applies.
"""

import math
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any, NamedTuple

from groundup.documents import Record, Rejected

from ..engine.global_step import Executor
from ..engine.job import JobInput, SkippedRecord, add_provenance, read_source_records, step_config
from ..engine.worker import RecordPosition
from .inputs import SourceListing
from .pipeline import CorpusPipeline, PipelineSource, reader_spec

SAMPLE_SPLIT_BYTES = 2**20
"""Split size of large files in a dry run: smaller than a run's, for an even sample."""
MAX_SCANNED_RECORDS = 4_000
MAX_SCANNED_BYTES = 64 * 2**20
"""Records and bytes of a source that are scanned: a few seconds of work. Own choice."""
SPLITS_PER_RECORD = 2
"""Splits drawn per requested record, since some have none."""


class SamplingTask(NamedTuple):
    """A sampling task over one input split."""

    origin: JobInput
    num_records: int
    max_scanned: int
    max_bytes: int
    seed: str
    skips: tuple[SkippedRecord, ...] = ()

    def without(self, position: RecordPosition, reason: str) -> "SamplingTask":
        """The same task without a record that hung."""
        return self._replace(skips=(*self.skips, SkippedRecord(position, reason)))


class SourceSample(NamedTuple):
    """The sample of a source and its scan statistics."""

    records: list[Record]
    num_scanned: int
    """Readable records scanned."""
    unreadable: list[Rejected]
    """Unreadable inputs."""
    num_splits: int
    """Input splits scanned."""


def with_small_splits(pipeline: CorpusPipeline) -> CorpusPipeline:
    """The pipeline with smaller input splits, where readers support it."""
    return pipeline.model_copy(update={"sources": tuple(map(_with_small_splits, pipeline.sources))})


def _with_small_splits(source: PipelineSource) -> PipelineSource:
    """A source with small splits, unless its settings fix their size."""
    if "part_bytes" not in type(step_config(reader_spec(source))).model_fields:
        return source
    settings = {"part_bytes": SAMPLE_SPLIT_BYTES} | source.settings
    return source.model_copy(update={"settings": settings})


def sample_source(
    config: CorpusPipeline, source: SourceListing, records: int, executor: Executor
) -> SourceSample:
    """Sample records evenly from a source, in its order; also collects unreadable inputs."""
    chance = Random(f"{config.seed}/{source.source.name}")
    count = min(len(source.input_splits), SPLITS_PER_RECORD * records)
    numbers = sorted(chance.sample(range(len(source.input_splits)), count))
    wanted = math.ceil(records / max(min(count, records), 1))
    tasks = [
        SamplingTask(
            JobInput(
                source.source.name,
                str(source.root),
                reader_spec(source.source),
                (source.input_splits[number],),
                source.source.licence,
            ),
            wanted,
            max(wanted, MAX_SCANNED_RECORDS // count),
            MAX_SCANNED_BYTES // count,
            f"{config.seed}/{source.source.name}/{number}",
        )
        for number in numbers
    ]
    parts = executor(_sample_split, tasks)
    found = [record for part in parts for record in part.records]
    unread = dict.fromkeys(
        row for part in parts for row in part.unreadable
    )  # adjacent splits report the same damage
    seen = sum(part.num_scanned for part in parts)
    return SourceSample(_random_subset(found, records, chance), seen, list(unread), count)


def _sample_split(task: SamplingTask) -> SourceSample:
    """Sample from the first records of a split."""
    rows = list(_scan_split(task))
    records = [row for row in rows if isinstance(row, Record)]
    unread = [row for row in rows if isinstance(row, Rejected)]
    return SourceSample(
        _random_subset(records, task.num_records, Random(task.seed)), len(records), unread, 1
    )


def _scan_split(task: SamplingTask) -> Iterator[Record | Rejected]:
    """Yield the first records and unreadable inputs of a split, up to the task's limits."""
    skips = {(*skip.position[:2], skip.position.is_reading): skip for skip in task.skips}
    count = size = 0
    for place, item in read_source_records(task.origin, skips):
        if isinstance(item, Rejected):
            yield item
            count += 1
        elif (*place[:2], False) not in skips:
            yield add_provenance(item, task.origin)
            count, size = count + 1, size + len(item.text) + len(item.data)
        if count >= task.max_scanned or size >= task.max_bytes:
            return


def _random_subset(rows: Sequence[Any], count: int, rng: Random) -> list[Any]:
    """A random subset of the rows, in their order.

    >>> _random_subset("abc", 5, Random(0))
    ['a', 'b', 'c']
    """
    numbers = rng.sample(range(len(rows)), min(count, len(rows)))
    return [rows[number] for number in sorted(numbers)]
