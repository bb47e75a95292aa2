"""Threads of messages: `conversations.threads` adds each message's position in its thread,
`conversations.join` merges a thread into one record.

A message replies to the one that In-Reply-To names or to the last known one in References
(Zawinski, jwz.org/doc/threading.html). Workers read their shard and keep a few hashes and the date
of each message; one process links them, because a reply may be in any shard. To join, every shard
writes its replies to a file, sorted by the shard where their thread starts, and drops the records.
The files of many shards are first partitioned by target shard in rounds, so that no task opens more
than `MAX_OPEN_FILES` of them.
The joined record keeps the map of its first message; the origin of each turn is in the metadata.
"""

import contextlib
import email.utils
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from groundup.core import Config
from groundup.documents import (
    ExtractedText,
    Record,
    Segment,
    SourceMap,
    StepResult,
    TextSpan,
    canonical_json,
)

from .engine.executors import Executor
from .engine.shards import read_shard, write_step_results

MESSAGE_ID = re.compile(r"<([^<>\s]{3,250})>")
TURN_SEPARATOR = "\n\n"
MAX_OPEN_FILES = 64
"""Files that a task reads or writes at once. Own choice: one round partitions 4,096 shards."""


class ThreadsConfig(Config):
    """Which records are messages."""

    headers: Literal[True] = True
    """Link by Message-ID, In-Reply-To and References, the only way: of the pairs that quotes and
    subjects joined in earlier versions, 39 % were wrong where headers were hidden."""
    kinds: tuple[str, ...] = ("mail", "conversation")
    """Kinds of records that are messages; others are ignored."""


class JoinThreadsConfig(ThreadsConfig):
    """Which threads are merged into one record."""

    max_characters: int = 500_000
    """Characters above which a thread is not joined. Own choice: a mail a day for a year."""
    speaker: str = "from"
    """Metadata key of a message's speaker."""


class ThreadMessage(NamedTuple):
    """What is stored of a message."""

    record: str
    """Its record's id."""
    message_id: int
    """Hash of its Message-ID; 0 if missing."""
    references: tuple[int, ...]
    """Hashes of the Message-IDs it refers to, nearest first."""
    time: float
    """Seconds since 1970; 0 if missing."""
    characters: int = 0


class ThreadPosition(NamedTuple):
    """Position of a message in its thread."""

    thread: str
    """Record id of the thread's earliest message."""
    parent: str
    """Record id of the message that it replies to; empty if that is unknown."""
    position: int
    """Index from 0, by date."""
    size: int
    """Number of messages in the thread."""


def extract_message(record: Record) -> ThreadMessage:
    """What the headers in a record's metadata say of its place in a thread."""
    headers = {key.lower().replace("-", "_"): value for key, value in record.metadata.items()}
    references = headers.get("references")
    above = references[::-1] if isinstance(references, list) else [references]
    names = [
        name for header in (headers.get("in_reply_to"), *above) for name in _message_ids(header)
    ]
    own = _message_ids(headers.get("message_id"))
    return ThreadMessage(
        record.id,
        _hash_text(own[-1]) if own else 0,
        tuple(dict.fromkeys(map(_hash_text, names))),
        _parse_time(headers.get("date")),
        len(record.text),
    )


def _message_ids(header: Any) -> list[str]:
    """Message-IDs of a header, the last first: in angle brackets, or bare as readers store them."""
    text = f"{header or ''}"
    ids = MESSAGE_ID.findall(text)
    return (ids or [word for word in text.split()[:50] if "@" in word or word == text])[::-1]


def _hash_text(text: str) -> int:
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1 | 1


def _parse_time(value: Any) -> float:
    if isinstance(value, int | float):
        return float(value)
    for read in (email.utils.parsedate_to_datetime, datetime.fromisoformat):
        try:
            parsed = read(f"{value or ''}")
            return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
        except (ValueError, TypeError, OverflowError, IndexError):
            continue
    return 0.0


def build_threads(messages: Iterable[ThreadMessage]) -> dict[str, ThreadPosition]:
    """Thread position of every message, by record id; the order of messages does not matter."""
    ordered = sorted(messages, key=lambda message: (message.time, message.record))
    numbers: dict[int, int] = {}
    for number, message in enumerate(ordered):
        numbers.setdefault(message.message_id, number)
    numbers.pop(0, None)
    parents = []
    for number, message in enumerate(ordered):
        known = (numbers[name] for name in message.references if name in numbers)
        parents.append(next((parent for parent in known if parent != number), -1))
    threads: dict[int, list[int]] = {}
    for number, root in enumerate(_thread_roots(parents)):
        threads.setdefault(root, []).append(number)
    positions = {}
    for members in threads.values():
        thread = ordered[members[0]].record
        for position, number in enumerate(members):
            parent = ordered[parents[number]].record if parents[number] >= 0 else ""
            place = ThreadPosition(thread, parent, position, len(members))
            positions[ordered[number].record] = place
    return positions


def _thread_roots(parents: list[int]) -> list[int]:
    """Index of each thread's message without a parent; loops are broken at their earliest."""
    roots = [-1] * len(parents)
    for number in range(len(parents)):
        path: dict[int, None] = {}
        current = number
        while current >= 0 and roots[current] < 0 and current not in path:
            path[current] = None
            current = parents[current]
        if current in path:
            visited = list(path)
            root = min(visited[visited.index(current) :])
            parents[root] = -1
        else:
            root = roots[current] if current >= 0 else next(reversed(path))
        for at in path:
            roots[at] = root
    return roots


class ThreadPositions:
    """The global step `conversations.threads`: add each message's position in its thread."""

    def __init__(self, config: ThreadsConfig) -> None:
        self.config = config

    def decide(self, shards: Sequence[Path], each: Executor, scratch: Path) -> Sequence[Path]:
        """Write one file of results per shard."""
        messages = _messages_by_shard(shards, each, self.config)
        positions = build_threads(chain.from_iterable(messages))
        written = []
        for number, in_shard in enumerate(messages):
            results = []
            for message in in_shard:
                thread, parent, position, size = positions[message.record]
                metadata = {
                    "thread": thread, "thread_parent": parent,
                    "thread_by": "header" if parent else "",
                    "thread_position": position, "thread_size": size,
                }  # fmt: skip
                results.append((message.record, StepResult(metadata=metadata)))
            written.append(write_step_results(scratch / f"threads-{number:06d}.parquet", results))
        return written


def _messages_by_shard(
    shards: Sequence[Path], each: Executor, config: ThreadsConfig
) -> list[list[ThreadMessage]]:
    rows_by_shard = each(_read_messages, [(str(shard), config.kinds) for shard in shards])
    return [[ThreadMessage(*row) for row in rows] for rows in rows_by_shard]


def _read_messages(task: tuple[str, tuple[str, ...]]) -> list[ThreadMessage]:
    path, kinds = task
    return [extract_message(record) for record in read_shard(Path(path)) if record.kind in kinds]


class _RoutedMessage(NamedTuple):
    home: int  # Number of that shard
    thread: str
    position: int
    id: str
    source: str
    path: str
    licence: str
    speaker: str
    text: str
    spans: str  # As JSON


class _ShardTask(NamedTuple):
    shard: Path
    number: int
    positions: dict[str, ThreadPosition]
    """Thread positions of its messages that are joined, by record id."""
    homes: dict[str, int]  # Thread to the shard where it starts
    speaker: str
    replies_file: Path  # File for the replies that it sends
    out: Path
    received_files: tuple[Path, ...] = ()  # Files that contain replies sent to it


class _PartitionTask(NamedTuple):
    files: tuple[Path, ...]
    bounds: tuple[int, ...]  # First shard of each range, and the end of the last
    outs: tuple[Path, ...]  # Output file of each range


class JoinThreads:
    """The global step `conversations.join`: merge each thread into one record."""

    def __init__(self, config: JoinThreadsConfig) -> None:
        self.config = config

    def decide(self, shards: Sequence[Path], each: Executor, scratch: Path) -> Sequence[Path]:
        """Write one file of results per shard: joined texts of first messages, drops of replies."""
        messages = _messages_by_shard(shards, each, self.config)
        positions = build_threads(chain.from_iterable(messages))
        sizes: Counter[str] = Counter()
        for message in chain.from_iterable(messages):
            thread = positions[message.record].thread
            sizes[thread] += message.characters + len(TURN_SEPARATOR)
        home = {m.record: at for at, in_shard in enumerate(messages) for m in in_shard}
        tasks: list[_ShardTask] = []
        for number, (shard, in_shard) in enumerate(zip(shards, messages, strict=True)):
            mine = {m.record: positions[m.record] for m in in_shard}
            mine = {
                name: position
                for name, position in mine.items()
                if position.size > 1 and sizes[position.thread] <= self.config.max_characters
            }
            homes = {position.thread: home[position.thread] for position in mine.values()}
            files = (scratch / f"{name}-{number:06d}.parquet" for name in ("parts", "join"))
            replies, out = files
            tasks.append(_ShardTask(shard, number, mine, homes, self.config.speaker, replies, out))
        each(_write_replies, tasks)
        received = _partition_replies([task.replies_file for task in tasks], each, scratch)
        return each(
            _join_shard, [task._replace(received_files=received[task.number]) for task in tasks]
        )


def _partition_replies(
    files: Sequence[Path], each: Executor, scratch: Path
) -> list[tuple[Path, ...]]:
    """For each shard the files, at most `MAX_OPEN_FILES`, that contain the replies sent to it."""
    buckets, round_number = [_PartitionTask(tuple(files), (0, len(files)), ())], 0
    while any(
        len(one.files) > MAX_OPEN_FILES and one.bounds[-1] - one.bounds[0] > 1 for one in buckets
    ):
        tasks: list[_PartitionTask] = []
        next_buckets: list[_PartitionTask] = []
        for files_here, (low, *_, high), _ in buckets:
            ranges = min(MAX_OPEN_FILES, high - low)
            bounds = tuple(low + (high - low) * index // ranges for index in range(ranges + 1))
            first = len(tasks)
            for index in range(0, len(files_here), MAX_OPEN_FILES):
                stem = f"spread-{round_number}-{len(tasks):06d}"
                outs = tuple(scratch / f"{stem}-{to:03d}.parquet" for to in range(ranges))
                tasks.append(
                    _PartitionTask(files_here[index : index + MAX_OPEN_FILES], bounds, outs)
                )
            for to, ends in enumerate(zip(bounds, bounds[1:], strict=False)):
                next_buckets.append(
                    _PartitionTask(tuple(one.outs[to] for one in tasks[first:]), ends, ())
                )
        each(_write_partition, tasks)
        buckets, round_number = next_buckets, round_number + 1
    return [one.files for one in buckets for _ in range(one.bounds[0], one.bounds[-1])]


def _write_partition(task: _PartitionTask) -> None:
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
    import pyarrow.parquet as parquet

    return parquet.ParquetFile(path)


def _reply_schema() -> Any:
    import pyarrow as pa

    return pa.schema(
        [(name, pa.int64() if kind is int else pa.string())
         for name, kind in _RoutedMessage.__annotations__.items()]
    )  # fmt: skip


def _write_replies(task: _ShardTask) -> None:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    replies = []
    for record in read_shard(task.shard):
        position = task.positions.get(record.id)
        if position is not None and position.position:
            replies.append(_routed_message(record, position, task))
    replies.sort(key=lambda reply: (reply.home, reply.thread, reply.position))
    rows = [reply._asdict() for reply in replies]
    table = pa.Table.from_pylist(rows, schema=_reply_schema())
    parquet.write_table(table, task.replies_file, row_group_size=1_000)


def _routed_message(record: Record, position: ThreadPosition, task: _ShardTask) -> _RoutedMessage:
    metadata = record.metadata
    licence = metadata.get("licence") or ""
    licence = ", ".join(map(str, licence)) if isinstance(licence, list) else str(licence)
    return _RoutedMessage(
        task.homes[position.thread], position.thread, position.position, record.id, record.source,
        record.path, licence, f"{metadata.get(task.speaker) or ''}",
        record.text, canonical_json(record.spans),
    )  # fmt: skip


def _join_shard(task: _ShardTask) -> Path:
    replies: dict[str, list[_RoutedMessage]] = {}
    for path in task.received_files:
        with _open_replies(path) as file:
            for group in range(file.num_row_groups):
                statistics = file.metadata.row_group(group).column(0).statistics
                if statistics is None or statistics.min <= task.number <= statistics.max:
                    for row in file.read_row_group(group).to_pylist():
                        if row["home"] == task.number:
                            replies.setdefault(row["thread"], []).append(_RoutedMessage(**row))
    results = []
    for record in read_shard(task.shard):
        position = task.positions.get(record.id)
        if position is None:
            continue
        if position.position:
            reason, details = "joined to its thread", f"record {position.thread}"
            results.append((record.id, StepResult(reason, float(position.position), details)))
        else:
            first = _routed_message(record, position, task)
            turns = sorted(replies.get(record.id, []), key=lambda turn: turn.position)
            results.append((record.id, _joined_result(record, [first, *turns])))
    return write_step_results(task.out, results)


def _joined_result(record: Record, turns: Sequence[_RoutedMessage]) -> StepResult:
    last = record.map.byte_range(len(record.text), len(record.text))[1]
    line = record.map.line(len(record.text))
    segments, spans, offset = list(record.map.segments), _turn_spans(turns[0], 0), len(record.text)
    for turn in turns[1:]:
        start = offset + len(TURN_SEPARATOR)
        end = start + len(turn.text)
        # An empty byte range: the bytes are in another record's file.
        segments.append(Segment(offset, end, last, last, line, False))
        spans += _turn_spans(turn, start)
        offset = end
    text = TURN_SEPARATOR.join(turn.text for turn in turns)
    sources = [
        {"id": turn.id, "source": turn.source, "path": turn.path, "licence": turn.licence}
        for turn in turns
    ]
    return StepResult(
        metadata={"thread": record.id, "thread_size": len(turns), "messages": sources},
        extracted=ExtractedText(SourceMap(text, tuple(segments)), tuple(spans)),
    )


def _turn_spans(turn: _RoutedMessage, start: int) -> list[TextSpan]:
    inner = [TextSpan(*span) for span in json.loads(turn.spans)]
    if all(span.kind != "turn" for span in inner):
        inner.append(TextSpan("turn", 0, len(turn.text), turn.speaker))
    return [span._replace(start=span.start + start, end=span.end + start) for span in inner]
