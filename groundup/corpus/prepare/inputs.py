"""Inputs: what the sources of a pipeline hold, shared out into jobs, and its fingerprint.

Many small files go together and one large one is read by ranges, as its reader plans; jobs follow
each other in the order of sources and paths, so the result does not depend on who does them. The
contents of all files are hashed before anything is read: a corpus is named by what it was made of,
and a run that is taken up again notices if that changed.
"""

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from groundup.core import DataError, digest, hash_file, record

from ..engine.job import Origin, made, state_of
from ..engine.survey import Each
from .pipeline import Pipeline, Source, reader_use

HASHED_TOGETHER_BYTES = 256 * 2**20
HASHED_TOGETHER_FILES = 1_000
"""Where a task of hashing ends: some seconds of work."""
SMALL_SHARD_BYTES = 4 * 2**20
MANY_SHARDS = 64
"""A collection that is not large becomes so many shards, if each has these bytes: 100 MB of pages
are half a minute of 8 cores, not minutes of one. The number of cores must not decide the result."""


class Found(NamedTuple):
    """A source as it lies on this disk."""

    source: Source
    root: Path
    parts: tuple[Any, ...]


class Hashed(NamedTuple):
    """What the files of a source held."""

    digest: str
    states: dict[str, str]
    """By path: what would tell that a file was written to since (`state_of`)."""


def look(pipeline: Pipeline, home: Path) -> list[Found]:
    """What each source holds, by its reader; DataError naming one that holds nothing."""
    found = []
    for source in pipeline.sources:
        root, wanted = located(source, home)
        parts = tuple(made(reader_use(source)).plan(root))
        if wanted is not None:
            parts = tuple(part for part in parts if part.path in wanted)
        if not parts:
            raise DataError(
                f"Source {source.name}: {source.path} holds nothing that the reader "
                f"{source.reader} reads; check the path."
            )
        found.append(Found(source, root, parts))
    return found


def located(source: Source, home: Path) -> tuple[Path, set[str] | None]:
    """A source's root and, if its path is a pattern, the paths below it that are wanted."""
    path = home / os.path.expanduser(source.path)
    if not glob.has_magic(source.path) or path.exists():
        return path, None
    parts = path.parts
    fixed = next(at for at, part in enumerate(parts) if glob.has_magic(part))
    root = Path(*parts[:fixed])
    pattern = os.path.join(*parts[fixed:])
    names = glob.iglob(pattern, root_dir=root, recursive=True)
    return root, {Path(name).as_posix() for name in names}


def origins(
    found: Sequence[Found], shard_bytes: int, hashed: Sequence[Hashed] = ()
) -> Iterator[Origin]:
    """Yield what one job reads, about `shard_bytes` each; less if cores would else be idle."""
    total = sum(part.bytes for _, _, parts in found for part in parts)
    most = min(shard_bytes, max(total // MANY_SHARDS, SMALL_SHARD_BYTES))
    for number, (source, root, parts) in enumerate(found):
        for group in together(parts, most):
            states = tuple(hashed[number].states[part.path] for part in group) if hashed else ()
            reader = reader_use(source)
            yield Origin(source.name, os.fspath(root), reader, group, source.licence, states)


def together(parts: Sequence[Any], shard_bytes: int) -> Iterator[tuple[Any, ...]]:
    """Yield parts that follow each other, as many as fit.

    >>> class Part(NamedTuple):
    ...     bytes: int
    >>> [len(group) for group in together([Part(n) for n in (3, 3, 3, 20, 1)], 8)]
    [2, 1, 1, 1]
    """
    group: list[Any] = []
    size = 0
    for part in parts:
        if group and size + part.bytes > shard_bytes:
            yield tuple(group)
            group, size = [], 0
        group.append(part)
        size += part.bytes
    if group:
        yield tuple(group)


def fingerprints(found: Sequence[Found], each: Each) -> list[Hashed]:
    """Hash of every source's paths and contents, files shared out over workers."""
    tasks, owners = [], []
    for number, (_, root, parts) in enumerate(found):
        sizes: dict[str, int] = {}
        for part in parts:
            sizes[part.path] = sizes.get(part.path, 0) + part.bytes
        for paths in batches(sizes):
            tasks.append((os.fspath(root), paths))
            owners.append(number)
    hashes: list[list[Any]] = [[] for _ in found]
    states: list[dict[str, str]] = [{} for _ in found]
    with record.progress("hash", sum(len(paths) for _, paths in tasks), "files") as bar:
        results = each(hash_all, tasks, lambda rows: bar.advance(len(rows)))
    for number, (_, paths), rows in zip(owners, tasks, results, strict=True):
        hashes[number] += [(name, content) for name, content, _ in rows]
        states[number] |= {path: row[2] for path, row in zip(paths, rows, strict=True)}
    return [Hashed(digest(rows), known) for rows, known in zip(hashes, states, strict=True)]


def batches(sizes: dict[str, int]) -> Iterator[tuple[str, ...]]:
    """Yield the paths that one task hashes."""
    batch: list[str] = []
    size = 0
    for path, bytes in sizes.items():
        batch.append(path)
        size += bytes
        if size >= HASHED_TOGETHER_BYTES or len(batch) >= HASHED_TOGETHER_FILES:
            yield tuple(batch)
            batch, size = [], 0
    if batch:
        yield tuple(batch)


def hash_all(task: tuple[str, tuple[str, ...]]) -> list[tuple[str, str, str]]:
    """Paths, hashes and, taken before, states of files; of a folder that a reader takes whole, of
    all that is in it."""
    root, rows = Path(task[0]), []
    for path in task[1]:
        file = root if root.is_file() else root / path
        state = state_of(file)
        rows.append((ascii(path), hash_one(file), state))
    return rows


def hash_one(path: Path) -> str:
    """The hash of a file or folder; why there is none, if it cannot be read."""
    try:
        if path.is_symlink():
            return f"link to {os.readlink(path)!a}"
        if path.is_dir():
            inner = sorted(p for p in path.rglob("*") if p.is_file() and not p.is_symlink())
            return digest([[ascii(str(p.relative_to(path))), hash_one(p)] for p in inner])
        return hash_file(path) if path.is_file() else "not a regular file"
    except OSError as error:
        return f"unreadable: {error.errno}"
