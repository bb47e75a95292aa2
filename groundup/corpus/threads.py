"""Global steps for threads: `conversations.threads` adds each message's position in its thread,
`conversations.join` merges a thread into one record.

Workers read their shard in row groups and keep a few hashes and the date of each message; one
process links them, because a reply may be in any shard. To join, every shard writes the texts of
its replies to a file for the shard where their thread starts, and drops the records.
The files of many shards are first partitioned by target shard in rounds, so that no task opens more
than `MAX_OPEN_FILES` of them. The joined record keeps the map of its first message; the origin of
each turn is in the metadata.
"""

import contextlib
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from groundup.core import Config
from groundup.documents import (
    ExtractedText,
    Record,
    Segment,
    SourceMap,
    StepResult,
    TextSpan,
    ThreadMessage,
    ThreadPosition,
    build_threads,
    canonical_json,
    extract_message,
    import_pyarrow,
)

from .engine.executors import Executor
from .engine.shards import read_shard, write_step_results

TURN_SEPARATOR = "\n\n"
MAX_OPEN_FILES = 64
"""Files that a task reads or writes at once. Own choice: one round partitions 4,096 shards."""


class ThreadsConfig(Config):
    """How messages are linked into threads."""

    headers: bool = True
    """Use Message-ID, In-Reply-To and References; off: only quotes and subjects."""
    kinds: tuple[str, ...] = ("mail", "conversation")
    """Kinds of records that are messages; others are ignored."""


class ThreadPositions:
    """The global step `conversations.threads`: add each message's position in its thread."""

    def __init__(self, config: ThreadsConfig) -> None:
        self.config = config

    def rulings(self, shards: Sequence[Path], each: Executor, scratch: Path) -> Sequence[Path]:
        """Write one file of results per shard."""
        written = []
        for number, (names, places) in enumerate(_link_messages(shards, each, self.config)):
            rulings = [
                (name, StepResult(metadata=_position_metadata(places[name]))) for name in names
            ]
            written.append(write_step_results(scratch / f"threads-{number:06d}.parquet", rulings))
        return written


class JoinThreadsConfig(ThreadsConfig):
    """Which threads are merged into one record."""

    max_characters: int = 500_000
    """Characters above which a thread is not joined. Own choice: a mail a day for a year."""
    speaker: str = "from"
    """Metadata key of a message's speaker."""


class RoutedMessage(NamedTuple):
    """A reply, sent to the shard where its thread starts."""

    home: int
    """Number of that shard."""
    thread: str
    position: int
    id: str
    source: str
    path: str
    licence: str
    speaker: str
    text: str
    spans: str
    """As JSON."""


class ShardTask(NamedTuple):
    """The work on one shard."""

    shard: Path
    positions: dict[str, ThreadPosition]
    """Thread positions of its messages, by record id."""
    start_shards: dict[str, int]
    """Thread to the shard where it starts."""
    replies_file: Path
    """File for the replies that it sends."""
    number: int
    speaker: str
    out: Path
    too_long: frozenset[str] = frozenset()
    """Threads that are not joined."""
    reply_files: tuple[Path, ...] = ()
    """Files that contain the replies sent to it."""


class PartitionTask(NamedTuple):
    """A task: partition the replies of files into one file per range of target shards."""

    files: tuple[Path, ...]
    bounds: tuple[int, ...]
    """First shard of each range, and the end of the last."""
    outs: tuple[Path, ...]
    """Output file of each range."""


class JoinThreads:
    """The global step `conversations.join`: merge each thread into one record."""

    def __init__(self, config: JoinThreadsConfig) -> None:
        self.config = config

    def rulings(self, shards: Sequence[Path], each: Executor, scratch: Path) -> Sequence[Path]:
        """Write one file of results per shard: joined texts of first messages, drops of replies."""
        linked = _link_messages(shards, each, self.config)
        home = {name: number for number, (names, _) in enumerate(linked) for name in names}
        tasks = []
        for number, (names, places) in enumerate(linked):
            threaded = {name: places[name] for name in names if places[name].size > 1}
            homes = {one.thread: home[one.thread] for one in threaded.values()}
            files = (scratch / f"{name}-{number:06d}.parquet" for name in ("parts", "join"))
            part, out = files
            tasks.append(
                ShardTask(shards[number], threaded, homes, part, number, self.config.speaker, out)
            )
        sizes: Counter[str] = Counter()
        for lengths in each(_write_replies, tasks):
            sizes.update(lengths)
        most = self.config.max_characters
        sources = _partition_replies([task.replies_file for task in tasks], each, scratch)
        return each(
            _join_shard,
            [
                task._replace(
                    too_long=frozenset(one for one in task.start_shards if sizes[one] > most),
                    reply_files=sources[task.number],
                )
                for task in tasks
            ],
        )


def _partition_replies(
    files: Sequence[Path], each: Executor, scratch: Path
) -> list[tuple[Path, ...]]:
    """For each shard the files, at most `MAX_OPEN_FILES`, that contain the replies sent to it."""
    buckets, round_number = [PartitionTask(tuple(files), (0, len(files)), ())], 0
    while any(
        len(one.files) > MAX_OPEN_FILES and one.bounds[-1] - one.bounds[0] > 1 for one in buckets
    ):
        tasks: list[PartitionTask] = []
        next_buckets: list[PartitionTask] = []
        for files_here, (low, *_, high), _ in buckets:
            ranges = min(MAX_OPEN_FILES, high - low)
            bounds = tuple(low + (high - low) * index // ranges for index in range(ranges + 1))
            first = len(tasks)
            for index in range(0, len(files_here), MAX_OPEN_FILES):
                stem = f"spread-{round_number}-{len(tasks):06d}"
                outs = tuple(scratch / f"{stem}-{to:03d}.parquet" for to in range(ranges))
                tasks.append(
                    PartitionTask(files_here[index : index + MAX_OPEN_FILES], bounds, outs)
                )
            for to, ends in enumerate(zip(bounds, bounds[1:], strict=False)):
                next_buckets.append(
                    PartitionTask(tuple(one.outs[to] for one in tasks[first:]), ends, ())
                )
        each(_write_partition, tasks)
        buckets, round_number = next_buckets, round_number + 1
    return [one.files for one in buckets for _ in range(one.bounds[0], one.bounds[-1])]


def _write_partition(task: PartitionTask) -> None:
    """Write each reply to the file of the range of its target shard."""
    import pyarrow.parquet as parquet

    with contextlib.ExitStack() as stack:
        writers = [
            stack.enter_context(parquet.ParquetWriter(out, _reply_schema())) for out in task.outs
        ]
        for path in task.files:
            with _open_replies(path) as file:
                for batch in file.iter_batches(1_000):
                    places = np.searchsorted(batch["home"], task.bounds, "left").tolist()
                    for writer, low, high in zip(writers, places, places[1:], strict=False):
                        if high > low:  # a file's rows are sorted by target shard
                            writer.write_batch(batch.slice(low, high - low))


def _open_replies(path: Path) -> Any:
    """Open a file of replies."""
    import pyarrow.parquet as parquet

    return parquet.ParquetFile(path)


def _reply_schema() -> Any:
    """The schema of a file of replies."""
    kinds = [(name, import_pyarrow().int64() if kind is int else import_pyarrow().string())
             for name, kind in RoutedMessage.__annotations__.items()]  # fmt: skip
    return import_pyarrow().schema(kinds)


def _read_replies(number: int, files: Sequence[Path]) -> dict[str, list[RoutedMessage]]:
    """The replies sent to a shard, by thread."""
    by_thread: dict[str, list[RoutedMessage]] = {}
    for path in files:
        with _open_replies(path) as file:
            for group in range(file.num_row_groups):
                statistics = file.metadata.row_group(group).column(0).statistics
                if statistics is None or statistics.min <= number <= statistics.max:
                    for row in file.read_row_group(group).to_pylist():
                        if row["home"] == number:
                            by_thread.setdefault(row["thread"], []).append(RoutedMessage(**row))
    return by_thread


def _link_messages(
    shards: Sequence[Path], each: Executor, config: ThreadsConfig
) -> list[tuple[list[str], dict[str, ThreadPosition]]]:
    """The message ids of every shard, and the thread positions of all messages."""
    lists = each(_read_messages, [(str(shard), config.kinds) for shard in shards])
    parsed = [[ThreadMessage(*row) for row in rows] for rows in lists]
    places = build_threads((one for rows in parsed for one in rows), config.headers)
    return [([one.record for one in rows], places) for rows in parsed]


def _position_metadata(place: ThreadPosition) -> dict[str, Any]:
    """A message's position in its thread, as metadata."""
    return {
        "thread": place.thread, "thread_parent": place.parent, "thread_by": place.evidence,
        "thread_position": place.position, "thread_size": place.size,
    }  # fmt: skip


def _read_messages(task: tuple[str, tuple[str, ...]]) -> list[ThreadMessage]:
    """The messages of one shard, without their texts."""
    path, kinds = task
    return [extract_message(record) for record in read_shard(Path(path)) if record.kind in kinds]


def _write_replies(task: ShardTask) -> dict[str, int]:
    """Write a shard's replies sorted by target shard; return the characters of each thread."""
    import pyarrow.parquet as parquet

    sizes: Counter[str] = Counter()
    replies = []
    for record in read_shard(task.shard):
        place = task.positions.get(record.id)
        if place is None:
            continue
        sizes[place.thread] += len(record.text) + len(TURN_SEPARATOR)
        if place.position:
            replies.append(_routed_message(record, place, task))
    replies.sort(key=lambda reply: (reply.home, reply.thread, reply.position))
    rows = [reply._asdict() for reply in replies]
    table = import_pyarrow().Table.from_pylist(rows, schema=_reply_schema())
    parquet.write_table(table, task.replies_file, row_group_size=1_000)
    return dict(sizes)


def _routed_message(record: Record, place: ThreadPosition, task: ShardTask) -> RoutedMessage:
    """The parts of a message that its thread needs."""
    metadata = record.metadata
    licence = metadata.get("licence") or ""
    licence = ", ".join(map(str, licence)) if isinstance(licence, list) else str(licence)
    return RoutedMessage(
        task.start_shards[place.thread], place.thread, place.position, record.id, record.source,
        record.path, licence, f"{metadata.get(task.speaker) or ''}",
        record.text, canonical_json(record.spans),
    )  # fmt: skip


def _join_shard(task: ShardTask) -> Path:
    """Write the results of a shard's threads."""
    replies, rulings = _read_replies(task.number, task.reply_files), []
    for record in read_shard(task.shard):
        place = task.positions.get(record.id)
        if place is None or place.thread in task.too_long:
            continue
        if place.position:
            why = StepResult(
                "joined to its thread", float(place.position), f"record {place.thread}"
            )
            rulings.append((record.id, why))
        else:
            first = _routed_message(record, place, task)
            turns = sorted(replies.get(record.id, []), key=lambda one: one.position)
            rulings.append((record.id, _joined_result(record, place, [first, *turns])))
    return write_step_results(task.out, rulings)


def _joined_result(
    record: Record, place: ThreadPosition, turns: Sequence[RoutedMessage]
) -> StepResult:
    """The result that replaces the first message's text by the thread's."""
    last = record.map.byte_range(len(record.text), len(record.text))[1]
    line = record.map.line(len(record.text))
    text, segments = record.text, list(record.map.segments)
    spans, texts, offset = _turn_spans(turns[0], 0), [text], len(text)
    for turn in turns[1:]:
        start = offset + len(TURN_SEPARATOR)
        end = start + len(turn.text)
        segments.append(
            Segment(offset, end, last, last, line, False)
        )  # the bytes are in another record's file
        texts += [TURN_SEPARATOR, turn.text]
        spans += _turn_spans(turn, start)
        offset = end
    sources = [
        {"id": one.id, "source": one.source, "path": one.path, "licence": one.licence}
        for one in turns
    ]
    extracted = ExtractedText(SourceMap("".join(texts), tuple(segments)), tuple(spans))
    metadata = {"thread": place.thread, "thread_size": place.size, "messages": sources}
    return StepResult(metadata=metadata, extracted=extracted)


def _turn_spans(turn: RoutedMessage, start: int) -> list[TextSpan]:
    """A message's spans in the thread's text; a turn around all of it if it has none."""
    inner = [TextSpan(*one) for one in json.loads(turn.spans)]
    if all(one.kind != "turn" for one in inner):
        inner.append(TextSpan("turn", 0, len(turn.text), turn.speaker))
    return [one._replace(start=one.start + start, end=one.end + start) for one in inner]
