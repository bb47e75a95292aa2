"""Surveys of threads: `conversations.threads` says where each message stands, `conversations.join`
makes one record of a thread.

Workers read their shard in row groups and keep of each message a few hashes and its date; one
process links them, for a reply may stand in any shard. To join, every shard hands the texts of its
replies to the shard where their thread begins, in a file, and drops them with the record they went
to. The files of many shards are first spread by the shards that they go to, some at a time, so that
no task opens more than `FAN` of them. The joined record keeps the place of its first message; each
turn's own is in the metadata.
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
"""Files that are read, or written, at once. Own choice: 4,096 shards are spread in one turn."""


class ThreadsConfig(Config):
    """How threads are found."""

    headers: bool = True
    """Believe Message-ID, In-Reply-To and References; off, only quotes and subjects tell."""
    kinds: tuple[str, ...] = ("mail", "conversation")
    """Kinds of record that are messages; others are left alone."""


class Threads:
    """Survey `conversations.threads`."""

    def __init__(self, config: ThreadsConfig) -> None:
        self.config = config

    def rulings(self, shards: Sequence[Path], each: Each, scratch: Path) -> Sequence[Path]:
        """Write one file of rulings a shard."""
        written = []
        for number, (names, places) in enumerate(placed(shards, each, self.config)):
            rulings = [(name, Ruling(metadata=facts_of(places[name]))) for name in names]
            written.append(write_rulings(scratch / f"threads-{number:06d}.parquet", rulings))
        return written


class JoinConfig(ThreadsConfig):
    """Which threads become one record."""

    max_characters: int = 500_000
    """Characters of a joined thread; the messages of a longer one stay apart. Own choice: a mail a
    day for a year."""
    speaker: str = "from"
    """What in a message's metadata names its speaker, such as `from`."""


class Part(NamedTuple):
    """A message on its way to the shard where its thread begins."""

    home: int
    """That shard's number."""
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
    """What a worker needs to know about one shard."""

    shard: Path
    places: dict[str, Place]
    """Of its messages, by record."""
    homes: dict[str, int]
    """Of their threads: the shard where each begins."""
    handed_on: Path
    """Where it writes what it hands on."""
    number: int
    speaker: str
    out: Path
    too_long: frozenset[str] = frozenset()
    """Threads that stay apart."""
    sources: tuple[Path, ...] = ()
    """Files in which what goes to it is."""


class Spread(NamedTuple):
    """A task: parts of some files into a file for each range of shards."""

    files: tuple[Path, ...]
    bounds: tuple[int, ...]
    """Where ranges of shards begin, and the end of the last."""
    outs: tuple[Path, ...]
    """One a range."""


class Join:
    """Survey `conversations.join`."""

    def __init__(self, config: JoinConfig) -> None:
        self.config = config

    def rulings(self, shards: Sequence[Path], each: Each, scratch: Path) -> Sequence[Path]:
        """Write one file of rulings a shard: texts for first messages, a reason for the others."""
        found = placed(shards, each, self.config)
        home = {name: number for number, (names, _) in enumerate(found) for name in names}
        tasks = []
        for number, (names, places) in enumerate(found):
            held = {name: places[name] for name in names if places[name].size > 1}
            homes = {one.thread: home[one.thread] for one in held.values()}
            files = (scratch / f"{name}-{number:06d}.parquet" for name in ("parts", "join"))
            part, out = files
            tasks.append(Task(shards[number], held, homes, part, number, self.config.speaker, out))
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
    """For each shard the files, `FAN` at most, that hold what goes to it."""
    buckets, turn = [Spread(tuple(files), (0, len(files)), ())], 0
    while any(len(one.files) > FAN and one.bounds[-1] - one.bounds[0] > 1 for one in buckets):
        tasks: list[Spread] = []
        following: list[Spread] = []
        for files_here, (low, *_, high), _ in buckets:
            ranges = min(FAN, high - low)
            bounds = tuple(low + (high - low) * at // ranges for at in range(ranges + 1))
            first = len(tasks)
            for at in range(0, len(files_here), FAN):
                stem = f"spread-{turn}-{len(tasks):06d}"
                outs = tuple(scratch / f"{stem}-{to:03d}.parquet" for to in range(ranges))
                tasks.append(Spread(files_here[at : at + FAN], bounds, outs))
            for to, ends in enumerate(zip(bounds, bounds[1:], strict=False)):
                following.append(Spread(tuple(one.outs[to] for one in tasks[first:]), ends, ()))
        each(write_spread, tasks)
        buckets, turn = following, turn + 1
    return [one.files for one in buckets for _ in range(one.bounds[0], one.bounds[-1])]


def write_spread(task: Spread) -> None:
    """Write each part of some files to the file of the range that its shard is in."""
    import pyarrow.parquet as parquet

    with contextlib.ExitStack() as stack:
        writers = [stack.enter_context(parquet.ParquetWriter(out, columns())) for out in task.outs]
        for path in task.files:
            with opened(path) as file:
                for batch in file.iter_batches(1_000):
                    places = np.searchsorted(batch["home"], task.bounds, "left").tolist()
                    for writer, low, high in zip(writers, places, places[1:], strict=False):
                        if high > low:  # a file's rows are in the order of their shards
                            writer.write_batch(batch.slice(low, high - low))


def opened(path: Path) -> Any:
    """A file of parts."""
    import pyarrow.parquet as parquet

    return parquet.ParquetFile(path)


def columns() -> Any:
    """The columns of a file of parts."""
    kinds = [(name, arrow().int64() if kind is int else arrow().string())
             for name, kind in Part.__annotations__.items()]  # fmt: skip
    return arrow().schema(kinds)


def parts_for(number: int, files: Sequence[Path]) -> dict[str, list[Part]]:
    """What goes to a shard, by thread."""
    found: dict[str, list[Part]] = {}
    for path in files:
        with opened(path) as file:
            for group in range(file.num_row_groups):
                told = file.metadata.row_group(group).column(0).statistics
                if told is None or told.min <= number <= told.max:
                    for row in file.read_row_group(group).to_pylist():
                        if row["home"] == number:
                            found.setdefault(row["thread"], []).append(Part(**row))
    return found


def placed(
    shards: Sequence[Path], each: Each, config: ThreadsConfig
) -> list[tuple[list[str], dict[str, Place]]]:
    """The messages of every shard, and the places of all."""
    lists = each(messages_of, [(str(shard), config.kinds) for shard in shards])
    parsed = [[Message(*row) for row in rows] for rows in lists]
    places = threads((one for rows in parsed for one in rows), config.headers)
    return [([one.record for one in rows], places) for rows in parsed]


def facts_of(place: Place) -> dict[str, Any]:
    """A message's place as metadata."""
    return {
        "thread": place.thread, "thread_parent": place.parent, "thread_by": place.by,
        "thread_position": place.position, "thread_size": place.size,
    }  # fmt: skip


def messages_of(task: tuple[str, tuple[str, ...]]) -> list[Message]:
    """What is kept of the messages of one shard."""
    path, kinds = task
    return [message_of(record) for record in read_shard(Path(path)) if record.kind in kinds]


def hand_on(task: Task) -> dict[str, int]:
    """Write a shard's replies, by the shard that they go to; how long each thread's part is."""
    import pyarrow.parquet as parquet

    sizes: Counter[str] = Counter()
    found = []
    for record in read_shard(task.shard):
        place = task.places.get(record.id)
        if place is None:
            continue
        sizes[place.thread] += len(record.text) + len(BETWEEN)
        if place.position:
            found.append(part_of(record, place, task))
    found.sort(key=lambda one: (one.home, one.thread, one.position))
    rows = [one._asdict() for one in found]
    table = arrow().Table.from_pylist(rows, schema=columns())
    parquet.write_table(table, task.handed_on, row_group_size=1_000)
    return dict(sizes)


def part_of(record: Record, place: Place, task: Task) -> Part:
    """What of a message goes to its thread."""
    known = record.metadata
    licence = known.get("licence") or ""
    licence = ", ".join(map(str, licence)) if isinstance(licence, list) else str(licence)
    return Part(
        task.homes[place.thread], place.thread, place.position, record.id, record.source,
        record.path, licence, f"{known.get(task.speaker) or ''}",
        record.text, plain_json(record.spans),
    )  # fmt: skip


def join(task: Task) -> Path:
    """Write the rulings about a shard's threads."""
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
    """The text of a thread in place of its first message's."""
    last = record.map.byte_range(len(record.text), len(record.text))[1]
    line = record.map.line(len(record.text))
    text, segments = record.text, list(record.map.segments)
    spans, pieces, at = turn_spans(turns[0], 0), [text], len(text)
    for turn in turns[1:]:
        start = at + len(BETWEEN)
        end = start + len(turn.text)
        segments.append(Segment(at, end, last, last, line, False))  # of another record's bytes
        pieces += [BETWEEN, turn.text]
        spans += turn_spans(turn, start)
        at = end
    sources = [
        {"id": one.id, "source": one.source, "path": one.path, "licence": one.licence}
        for one in turns
    ]
    made = Made(SourceMap("".join(pieces), tuple(segments)), tuple(spans))
    facts = {"thread": place.thread, "thread_size": place.size, "messages": sources}
    return Ruling(metadata=facts, made=made)


def turn_spans(turn: Part, start: int) -> list[Span]:
    """A message's spans in the thread's text; one around all of it if it marks no turn."""
    inner = [Span(*one) for one in json.loads(turn.spans)]
    if all(one.kind != "turn" for one in inner):
        inner.append(Span("turn", 0, len(turn.text), turn.speaker))
    return [one._replace(start=one.start + start, end=one.end + start) for one in inner]
