"""Reads files into documents and their passages, on all cores.

Files that have not changed since the previous snapshot come from there, with the words that were
indexed: an update costs what changed, and a new index of the same files is the same byte for byte.
"""

import ctypes
import gc
import hashlib
import json
import os
import signal
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache, partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pydantic import Field, model_validator

from groundup.core import Artifact, ArtifactError, Config, ConfigError
from groundup.documents import (
    ReadConfig,
    Record,
    Rejected,
    file_bytes,
    file_of,
    read_data,
    with_titles,
)

from ..lexical import LexicalIndex, PreparedPassage, prepare_passages
from ..models import ReaderChoice, RerankerChoice, TextEncoderConfig
from ..search import DocumentEntry, read_entries, read_rejected
from ..wording.language import language_of
from .chunk import ChunkConfig, chunk_document

if TYPE_CHECKING:
    import concurrent.futures

    from groundup.embeddings import StaticEncoder
    from groundup.model import TextEncoder


CHANGED = "changed while it was being indexed"
BATCH_BYTES = 2**21
"""Bytes of files that one process reads at a time."""


class IndexConfig(Config):
    """How documents are indexed."""

    chunk: ChunkConfig = Field(default_factory=ChunkConfig)
    """Sizes of passages."""
    read: ReadConfig = Field(default_factory=ReadConfig)
    """Which files are read."""
    encoder: TextEncoderConfig = Field(default_factory=TextEncoderConfig)
    """By which passages are found in other words too."""
    reader: ReaderChoice = Field(default_factory=ReaderChoice)
    """Which says whether what was found answers."""
    reranker: RerankerChoice = Field(default_factory=RerankerChoice)
    """Which orders what words find."""
    source_digest: str = ""
    """Hash of every document's path and content; set by the stage."""

    @model_validator(mode="after")
    def check(self) -> "IndexConfig":
        """Compare the sizes of passages."""
        least, most = self.chunk.min_characters, self.chunk.max_characters
        if least > most:
            raise ConfigError(f"min_characters={least} is above max_characters={most}; set both.")
        return self


class PreparedDocument(NamedTuple):
    """A document read and split, as made in any process."""

    line: bytes
    """The document as a line of JSON."""
    entry: DocumentEntry
    """What a snapshot knows of it, but for where it puts the line."""
    passages: list[PreparedPassage]


Prepared = PreparedDocument | Rejected


@cache
def _encoder(
    path: str, digest: str
) -> "TextEncoder | StaticEncoder":  # one in each process that reads
    from ..encoders.vectors import open_encoder  # imports numpy

    return open_encoder(TextEncoderConfig(path=path, digest=digest))


def prepare_document(document: Record, config: IndexConfig) -> PreparedDocument:
    """Split a document into passages and stem their words."""
    document, language = with_titles(document), language_of(document.text)
    encoder, is_by_meaning = config.encoder, config.chunk.strategy == "semantic"
    has_encoder = is_by_meaning and encoder.path
    embed = _encoder(encoder.path, encoder.digest).embed if has_encoder else None
    passages = prepare_passages(chunk_document(document, config.chunk, embed), language)
    line = document.to_json().encode("utf-8", "surrogatepass") + b"\n"
    file = document.metadata.get("file", "")
    place = (document.path, document.id, document.sha256, 0, len(line))
    return PreparedDocument(line, DocumentEntry(*place, language, file), passages)


class EarlierSnapshot:
    """What a snapshot made of the files that it knew."""

    def __init__(self, snapshot: Artifact) -> None:
        # Opened after the workers are forked: they would keep a lock that is held then.
        self.lexical = cache(lambda: LexicalIndex(snapshot.path / "lexical"))
        self.hashes: dict[str, str] = json.loads((snapshot.path / "files.json").read_bytes())
        self.entries: dict[str, list[DocumentEntry]] = defaultdict(list)
        self.rejected: dict[str, list[Rejected]] = defaultdict(list)
        for entry in read_entries(snapshot.file("documents.json")):
            self.entries[entry.file or entry.path].append(entry)
        for item in read_rejected(snapshot.path):
            self.rejected[file_of(item.path, self.hashes.__contains__)].append(item)
        self.file = open(snapshot.file("documents.jsonl"), "rb")  # noqa: SIM115  closed by index

    def has(self, path: str, expected: Rejected | str) -> bool:
        """Whether a file of this hash was read."""
        return isinstance(expected, str) and self.hashes.get(path) == expected

    def documents(self, path: str) -> Iterator[Prepared]:
        """Yield what was made of a file."""
        for entry in self.entries[path]:
            self.file.seek(entry.start)
            line = self.file.read(entry.length)
            yield PreparedDocument(line, entry, self.lexical().prepared(entry.id))
        yield from self.rejected[path]


def earlier_snapshot(snapshot: Path, version: int, config: IndexConfig) -> EarlierSnapshot | None:
    """What can be taken from a snapshot; None if it is damaged, or was made in another way."""
    try:
        artifact = Artifact.open(snapshot, kind="index")
        own = config.to_dict()
        alike = {"source_digest", "reader", "reranker"}  # models that only read what is found
        if config.chunk.strategy != "semantic":  # the encoder splits no document then
            alike.add("encoder")
        before = artifact.config | {name: own[name] for name in alike}
        if artifact.version != version or before != own:
            return None
        return EarlierSnapshot(artifact)
    except (ArtifactError, OSError, ValueError, KeyError, TypeError):
        return None


Batch = tuple[tuple[str, Rejected | str], ...]
"""Files that one process reads: path, and why it is left out or the hash of its content."""


@contextmanager
def read_files(
    source: Path,
    files: Mapping[str, Rejected | str],
    config: IndexConfig,
    earlier: EarlierSnapshot | None = None,
) -> Iterator[Iterator[Prepared]]:
    """Context with the documents of files in order; `files` has each one's hash or refusal."""
    new = {path: each for path, each in files.items() if not earlier or not earlier.has(path, each)}
    batches, read = list(_batches(source, list(new.items()))), partial(_read_batch, source, config)
    workers = min(len(os.sched_getaffinity(0)), len(batches))
    if workers < 2 or config.chunk.strategy == "semantic":  # its encoder uses all cores
        yield _in_order(files, new, chain.from_iterable(map(read, batches)), earlier)
        return
    import concurrent.futures
    import multiprocessing

    context = multiprocessing.get_context("fork")  # spawned ones import from the current folder
    others = set(multiprocessing.active_children())
    with concurrent.futures.ProcessPoolExecutor(workers, context, _begin_worker) as pool:
        try:
            pool.submit(os.getpid).result()  # forks all, before the caller opens the new index
            yield _in_order(files, new, _read_batches(pool, read, batches, 2 * workers), earlier)
        except BaseException:  # also Ctrl-C: nothing that the workers hold is needed
            # The pool's thread waits for the rest of a result as long as a writer is open.
            pool._result_queue._writer.close()  # pyright: ignore[reportAttributeAccessIssue]
            for worker in set(multiprocessing.active_children()) - others:
                worker.kill()  # the pool's SIGTERM may meet a handler that they inherited
            raise


def _in_order(
    files: Iterable[str],
    new: Mapping[str, Rejected | str],
    read: Iterator[list[Prepared]],
    earlier: EarlierSnapshot | None,
) -> Iterator[Prepared]:
    for path in files:
        if path in new or earlier is None:
            yield from next(read)
        else:
            yield from earlier.documents(path)


def _begin_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's
    gc.freeze()  # what the parent made is neither searched for cycles nor copied
    gc.set_threshold(50_000)
    with suppress(OSError, AttributeError):  # Linux: a killed parent leaves no orphans
        ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)


def _batches(source: Path, files: Sequence[tuple[str, Rejected | str]]) -> Iterator[Batch]:
    """Yield files in groups of about BATCH_BYTES bytes."""
    batch: list[tuple[str, Rejected | str]] = []
    size = 0
    for file in files:
        batch.append(file)
        with suppress(OSError):
            size += 0 if isinstance(file[1], Rejected) else os.lstat(source / file[0]).st_size
        if size >= BATCH_BYTES:
            yield tuple(batch)
            batch, size = [], 0
    if batch:
        yield tuple(batch)


def _read_batches(
    pool: "concurrent.futures.ProcessPoolExecutor",
    read: Callable[[Batch], list[list[Prepared]]],
    batches: Sequence[Batch],
    window: int,
) -> Iterator[list[Prepared]]:
    """Yield what is made of each file, in order; at most `window` batches wait for their reader."""
    waiting: deque[concurrent.futures.Future[list[list[Prepared]]]] = deque()
    for batch in batches:
        if len(waiting) == window:
            yield from waiting.popleft().result()
        waiting.append(pool.submit(read, batch))
    while waiting:
        yield from waiting.popleft().result()


def _read_batch(source: Path, config: IndexConfig, files: Batch) -> list[list[Prepared]]:
    return [list(_read_file(source, config, *file)) for file in files]


def _read_file(
    source: Path, config: IndexConfig, path: str, expected: Rejected | str
) -> Iterator[Prepared]:
    is_refused = isinstance(expected, Rejected)
    data = expected if is_refused else file_bytes(source, path, config.read.max_bytes)
    if isinstance(data, Rejected):
        yield data
        return
    if hashlib.sha256(data).hexdigest() != expected:
        yield Rejected(path, CHANGED, "run the command again to read it")
        return
    for item in read_data(path, data, config.read):
        yield item if isinstance(item, Rejected) else prepare_document(item, config)


def hash_source(source: Path, path: str, config: ReadConfig) -> str:
    """Hash of a file, or why it cannot be read."""
    data = file_bytes(source, path, config.max_bytes)
    return data.reason if isinstance(data, Rejected) else hashlib.sha256(data).hexdigest()


def read_corpus(corpus: Artifact, config: IndexConfig) -> Iterator[PreparedDocument]:
    """Yield the documents of a corpus, which map to the files that it was made from."""
    from groundup.corpus import SPLITS, read_split

    for split in SPLITS:
        yield from (prepare_document(document, config) for document in read_split(corpus, split))
