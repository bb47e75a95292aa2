"""Global steps for threads: `conversations.threads` adds each message's position in its thread,
`conversations.join` merges a thread into one record.

Workers read their shard in row groups and keep a few hashes and the date of each message; one
process links them, because a reply may be in any shard. To join, every shard writes the texts of
its replies to a file for the shard where their thread starts, and drops the records.
The files of many shards are first partitioned by target shard in rounds, so that no task opens more
than `FAN` of them. The joined record keeps the map of its first message; the origin of each turn is
in the metadata.
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
    Made,
    Message,
    Place,
    Record,
    Ruling,
    Segment,
    SourceMap,
    Span,
    arrow,
    message_of,
    plain_json,
    threads,
)

from .engine.rulings import write_rulings
from .engine.shards import read_shard
from .engine.survey import Each

BETWEEN = "\n\n"
FAN = 64
"""Files that a task reads or writes at once. Own choice: one round partitions 4,096 shards."""


class ThreadsConfig(Config):
    """How messages are linked into threads."""

    headers: bool = True
    """Use Message-ID, In-Reply-To and References; off: only quotes and subjects."""
    kinds: tuple[str, ...] = ("mail", "conversation")
    """Kinds of records that are messages; others are ignored."""


class Threads:
    """The global step `conversations.threads`: add each message's position in its thread."""

    def __init__(self, config: ThreadsConfig) -> None:
        self.config = config

    def rulings(self, shards: Sequence[Path], each: Each, scratch: Path) -> Sequence[Path]:
        """Write one file of results per shard."""
        written = []
        for number, (names, places) in enumerate(placed(shards, each, self.config)):
            rulings = [(name, Ruling(metadata=facts_of(places[name]))) for name in names]
            written.append(write_rulings(scratch / f"threads-{number:06d}.parquet", rulings))
        return written


class JoinConfig(ThreadsConfig):
    """Which threads are merged into one record."""

    max_characters: int = 500_000
    """Characters above which a thread is not joined. Own choice: a mail a day for a year."""
    speaker: str = "from"
    """Metadata key of a message's speaker."""


class Part(NamedTuple):
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


class Task(NamedTuple):
    """The work on one shard."""

    shard: Path
    places: dict[str, Place]
    """Thread positions of its messages, by record id."""
    homes: dict[str, int]
    """Thread to the shard where it starts."""
    handed_on: Path
    """File for the replies that it sends."""
    number: int
    speaker: str
    out: Path
    too_long: frozenset[str] = frozenset()
    """Threads that are not joined."""
    sources: tuple[Path, ...] = ()
    """Files that contain the replies sent to it."""


class Spread(NamedTuple):
    """A task: partition the replies of files into one file per range of target shards."""

    files: tuple[Path, ...]
    bounds: tuple[int, ...]
    """First shard of each range, and the end of the last."""
    outs: tuple[Path, ...]
    """Output file of each range."""


class Join:
    """The global step `conversations.join`: merge each thread into one record."""

    def __init__(self, config: JoinConfig) -> None:
        self.config = config

    def rulings(self, shards: Sequence[Path], each: Each, scratch: Path) -> Sequence[Path]:
        """Write one file of results per shard: joined texts of first messages, drops of replies."""
        linked = placed(shards, each, self.config)
        home = {name: number for number, (names, _) in enumerate(linked) for name in names}
        tasks = []
        for number, (names, places) in enumerate(linked):
            threaded = {name: places[name] for name in names if places[name].size > 1}
            homes = {one.thread: home[one.thread] for one in threaded.values()}
            files = (scratch / f"{name}-{number:06d}.parquet" for name in ("parts", "join"))
            part, out = files
            tasks.append(
                Task(shards[number], threaded, homes, part, number, self.config.speaker, out)
            )
        sizes: Counter[str] = Counter()
        for lengths in each(hand_on, tasks):
            sizes.update(lengths)
        most = self.config.max_characters
        sources = spread([task.handed_on for task in tasks], each, scratch)
        return each(
            join,
            [
                task._replace(
                    too_long=frozenset(one for one in task.homes if sizes[one] > most),
                    sources=sources[task.number],
                )
                for task in tasks
            ],
        )


def spread(files: Sequence[Path], each: Each, scratch: Path) -> list[tuple[Path, ...]]:
    """For each shard the files, at most `FAN`, that contain the replies sent to it."""
    buckets, round_number = [Spread(tuple(files), (0, len(files)), ())], 0
    while any(len(one.files) > FAN and one.bounds[-1] - one.bounds[0] > 1 for one in buckets):
        tasks: list[Spread] = []
        next_buckets: list[Spread] = []
        for files_here, (low, *_, high), _ in buckets:
            ranges = min(FAN, high - low)
            bounds = tuple(low + (high - low) * index // ranges for index in range(ranges + 1))
            first = len(tasks)
            for index in range(0, len(files_here), FAN):
                stem = f"spread-{round_number}-{len(tasks):06d}"
                outs = tuple(scratch / f"{stem}-{to:03d}.parquet" for to in range(ranges))
                tasks.append(Spread(files_here[index : index + FAN], bounds, outs))
            for to, ends in enumerate(zip(bounds, bounds[1:], strict=False)):
                next_buckets.append(Spread(tuple(one.outs[to] for one in tasks[first:]), ends, ()))
        each(write_spread, tasks)
        buckets, round_number = next_buckets, round_number + 1
    return [one.files for one in buckets for _ in range(one.bounds[0], one.bounds[-1])]


def write_spread(task: Spread) -> None:
    """Write each reply to the file of the range of its target shard."""
    import pyarrow.parquet as parquet

    with contextlib.ExitStack() as stack:
        writers = [stack.enter_context(parquet.ParquetWriter(out, columns())) for out in task.outs]
        for path in task.files:
            with opened(path) as file:
                for batch in file.iter_batches(1_000):
                    places = np.searchsorted(batch["home"], task.bounds, "left").tolist()
                    for writer, low, high in zip(writers, places, places[1:], strict=False):
                        if high > low:  # a file's rows are sorted by target shard
                            writer.write_batch(batch.slice(low, high - low))


def opened(path: Path) -> Any:
    """Open a file of replies."""
    import pyarrow.parquet as parquet

    return parquet.ParquetFile(path)


def columns() -> Any:
    """The schema of a file of replies."""
    kinds = [(name, arrow().int64() if kind is int else arrow().string())
             for name, kind in Part.__annotations__.items()]  # fmt: skip
    return arrow().schema(kinds)


def parts_for(number: int, files: Sequence[Path]) -> dict[str, list[Part]]:
    """The replies sent to a shard, by thread."""
    by_thread: dict[str, list[Part]] = {}
    for path in files:
        with opened(path) as file:
            for group in range(file.num_row_groups):
                statistics = file.metadata.row_group(group).column(0).statistics
                if statistics is None or statistics.min <= number <= statistics.max:
                    for row in file.read_row_group(group).to_pylist():
                        if row["home"] == number:
                            by_thread.setdefault(row["thread"], []).append(Part(**row))
    return by_thread


def placed(
    shards: Sequence[Path], each: Each, config: ThreadsConfig
) -> list[tuple[list[str], dict[str, Place]]]:
    """The message ids of every shard, and the thread positions of all messages."""
    lists = each(messages_of, [(str(shard), config.kinds) for shard in shards])
    parsed = [[Message(*row) for row in rows] for rows in lists]
    places = threads((one for rows in parsed for one in rows), config.headers)
    return [([one.record for one in rows], places) for rows in parsed]


def facts_of(place: Place) -> dict[str, Any]:
    """A message's position in its thread, as metadata."""
    return {
        "thread": place.thread, "thread_parent": place.parent, "thread_by": place.by,
        "thread_position": place.position, "thread_size": place.size,
    }  # fmt: skip


def messages_of(task: tuple[str, tuple[str, ...]]) -> list[Message]:
    """The messages of one shard, without their texts."""
    path, kinds = task
    return [message_of(record) for record in read_shard(Path(path)) if record.kind in kinds]


def hand_on(task: Task) -> dict[str, int]:
    """Write a shard's replies sorted by target shard; return the characters of each thread."""
    import pyarrow.parquet as parquet

    sizes: Counter[str] = Counter()
    replies = []
    for record in read_shard(task.shard):
        place = task.places.get(record.id)
        if place is None:
            continue
        sizes[place.thread] += len(record.text) + len(BETWEEN)
        if place.position:
            replies.append(part_of(record, place, task))
    replies.sort(key=lambda reply: (reply.home, reply.thread, reply.position))
    rows = [reply._asdict() for reply in replies]
    table = arrow().Table.from_pylist(rows, schema=columns())
    parquet.write_table(table, task.handed_on, row_group_size=1_000)
    return dict(sizes)


def part_of(record: Record, place: Place, task: Task) -> Part:
    """The parts of a message that its thread needs."""
    metadata = record.metadata
    licence = metadata.get("licence") or ""
    licence = ", ".join(map(str, licence)) if isinstance(licence, list) else str(licence)
    return Part(
        task.homes[place.thread], place.thread, place.position, record.id, record.source,
        record.path, licence, f"{metadata.get(task.speaker) or ''}",
        record.text, plain_json(record.spans),
    )  # fmt: skip


def join(task: Task) -> Path:
    """Write the results of a shard's threads."""
    replies, rulings = parts_for(task.number, task.sources), []
    for record in read_shard(task.shard):
        place = task.places.get(record.id)
        if place is None or place.thread in task.too_long:
            continue
        if place.position:
            why = Ruling("joined to its thread", float(place.position), f"record {place.thread}")
            rulings.append((record.id, why))
        else:
            first = part_of(record, place, task)
            turns = sorted(replies.get(record.id, []), key=lambda one: one.position)
            rulings.append((record.id, joined(record, place, [first, *turns])))
    return write_rulings(task.out, rulings)


def joined(record: Record, place: Place, turns: Sequence[Part]) -> Ruling:
    """The result that replaces the first message's text by the thread's."""
    last = record.map.byte_range(len(record.text), len(record.text))[1]
    line = record.map.line(len(record.text))
    text, segments = record.text, list(record.map.segments)
    spans, texts, offset = turn_spans(turns[0], 0), [text], len(text)
    for turn in turns[1:]:
        start = offset + len(BETWEEN)
        end = start + len(turn.text)
        segments.append(
            Segment(offset, end, last, last, line, False)
        )  # the bytes are in another record's file
        texts += [BETWEEN, turn.text]
        spans += turn_spans(turn, start)
        offset = end
    sources = [
        {"id": one.id, "source": one.source, "path": one.path, "licence": one.licence}
        for one in turns
    ]
    extracted = Made(SourceMap("".join(texts), tuple(segments)), tuple(spans))
    metadata = {"thread": place.thread, "thread_size": place.size, "messages": sources}
    return Ruling(metadata=metadata, made=extracted)


def turn_spans(turn: Part, start: int) -> list[Span]:
    """A message's spans in the thread's text; a turn around all of it if it has none."""
    inner = [Span(*one) for one in json.loads(turn.spans)]
    if all(one.kind != "turn" for one in inner):
        inner.append(Span("turn", 0, len(turn.text), turn.speaker))
    return [one._replace(start=one.start + start, end=one.end + start) for one in inner]
