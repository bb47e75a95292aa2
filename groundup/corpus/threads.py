"""Surveys of threads: `conversations.threads` says where each message stands, `conversations.join`
makes one record of a thread.

Workers read their shard in row groups and keep of each message a few hashes and its date; one
process links them, for a reply may stand in any shard. To join, every shard hands the texts of its
replies to the shard where their thread begins, in a file, and drops them with the record they went
to. The joined record keeps the place of its first message; each turn's own is in the metadata.
"""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

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
    parts: list[Path]
    """What every shard hands on; the worker's own is the one to write in the first round."""
    number: int
    speaker: str
    too_long: frozenset[str]
    """Threads that stay apart."""
    out: Path


class Join:
    """Survey `conversations.join`."""

    def __init__(self, config: JoinConfig) -> None:
        self.config = config

    def rulings(self, shards: Sequence[Path], each: Each, scratch: Path) -> Sequence[Path]:
        """Write one file of rulings a shard: texts for first messages, a reason for the others."""
        found = placed(shards, each, self.config)
        home = {name: number for number, (names, _) in enumerate(found) for name in names}
        parts = [scratch / f"parts-{number:06d}.parquet" for number in range(len(shards))]
        tasks = []
        for number, (names, places) in enumerate(found):
            held = {name: places[name] for name in names if places[name].size > 1}
            homes = {one.thread: home[one.thread] for one in held.values()}
            out = scratch / f"join-{number:06d}.parquet"
            tasks.append(
                Task(
                    shards[number],
                    held,
                    homes,
                    parts,
                    number,
                    self.config.speaker,
                    frozenset(),
                    out,
                )
            )
        sizes: Counter[str] = Counter()
        for lengths in each(hand_on, tasks):
            sizes.update(lengths)
        too_long = frozenset(
            one for one, size in sizes.items() if size > self.config.max_characters
        )
        return each(join, [task._replace(too_long=too_long) for task in tasks])


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
    kinds = [(name, arrow().int64() if kind is int else arrow().string())
             for name, kind in Part.__annotations__.items()]  # fmt: skip
    table = arrow().Table.from_pylist(rows, schema=arrow().schema(kinds))
    parquet.write_table(table, task.parts[task.number], row_group_size=1_000)
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
    import pyarrow.parquet as parquet

    replies: dict[str, list[Part]] = {}
    for path in task.parts:
        for row in parquet.read_table(path, filters=[("home", "=", task.number)]).to_pylist():
            replies.setdefault(row["thread"], []).append(Part(**row))
    rulings = []
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
