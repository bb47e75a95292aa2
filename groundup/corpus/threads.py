"""The survey `conversations.threads`: every message's thread, parent and position as metadata.

Workers read their shard in row groups and keep of each message a few hashes and its date; one
process links them, for a reply may stand in any shard. Nothing is dropped. The engine may then sort
records by (thread, position) and give neighbours of a thread to one shard.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from groundup.core import Config
from groundup.documents import Message, Ruling, from_batch, message_of, threads

from .engine.rulings import write_rulings


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

    def rulings(
        self, shards: Sequence[Path], each: Callable[..., list[Any]], scratch: Path
    ) -> Sequence[Path]:
        """Write one file of rulings a shard."""
        lists = each(messages_of, [(str(shard), self.config.kinds) for shard in shards])
        parsed = [[Message(*row) for row in rows] for rows in lists]
        places = threads((one for rows in parsed for one in rows), self.config.headers)
        written = []
        for number, rows in enumerate(parsed):
            rulings = []
            for one in rows:
                place = places[one.record]
                facts = {
                    "thread": place.thread, "thread_parent": place.parent, "thread_by": place.by,
                    "thread_position": place.position, "thread_size": place.size,
                }  # fmt: skip
                rulings.append((one.record, Ruling(metadata=facts)))
            written.append(write_rulings(scratch / f"threads-{number:06d}.parquet", rulings))
        return written


def messages_of(task: tuple[str, tuple[str, ...]]) -> list[Message]:
    """What is kept of the messages of one shard."""
    import pyarrow.parquet as parquet

    path, kinds = task
    found = []
    with parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=256):
            found += [message_of(record) for record in from_batch(batch) if record.kind in kinds]
    return found
