"""Inputs: the sources of a pipeline, divided into jobs, and their fingerprints.

Small files are grouped and large ones are read by byte ranges, as their reader plans; jobs are in
the order of sources and paths, so the result does not depend on scheduling. All files are hashed
before they are read: a corpus is identified by its inputs, and a resumed run detects changes.
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
"""Limits of a hashing task: a few seconds of work."""
SMALL_SHARD_BYTES = 4 * 2**20
MANY_SHARDS = 64
"""A small collection becomes this many shards of at least so many bytes, so that 100 MB of pages
keep 8 cores busy. The number of cores must not affect the result."""


class Found(NamedTuple):
    """A source on this disk."""

    source: Source
    root: Path
    parts: tuple[Any, ...]


class Hashed(NamedTuple):
    """Fingerprint of a source's files."""

    digest: str
    states: dict[str, str]
    """`file_state` by path, to detect later changes."""


def look(pipeline: Pipeline, home: Path) -> list[Found]:
    """The input splits of each source, from its reader; DataError for an empty source."""
    listed = []
    for source in pipeline.sources:
        root, wanted = located(source, home)
        parts = tuple(made(reader_use(source)).plan(root))
        if wanted is not None:
            parts = tuple(part for part in parts if part.path in wanted)
        if not parts:
            raise DataError(
                f"Source {source.name}: {source.path} has no input for the reader {source.reader}; "
                "check the path."
            )
        listed.append(Found(source, root, parts))
    return listed


def located(source: Source, home: Path) -> tuple[Path, set[str] | None]:
    """A source's root and, if its path is a pattern, the matching paths below it."""
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
    """Yield job inputs of about `shard_bytes`, smaller for a small collection."""
    total = sum(part.bytes for _, _, parts in found for part in parts)
    most = min(shard_bytes, max(total // MANY_SHARDS, SMALL_SHARD_BYTES))
    for number, (source, root, parts) in enumerate(found):
        for group in together(parts, most):
            states = tuple(hashed[number].states[part.path] for part in group) if hashed else ()
            reader = reader_use(source)
            yield Origin(source.name, os.fspath(root), reader, group, source.licence, states)


def together(parts: Sequence[Any], shard_bytes: int) -> Iterator[tuple[Any, ...]]:
    """Yield groups of consecutive splits of at most `shard_bytes`.

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
    """Hash every source's paths and contents, in parallel."""
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
    return [Hashed(digest(rows), by_path) for rows, by_path in zip(hashes, states, strict=True)]


def batches(sizes: dict[str, int]) -> Iterator[tuple[str, ...]]:
    """Yield the paths of each hashing task."""
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
    """(path, hash, state before hashing) of files, or of folders that a reader takes as a unit."""
    root, rows = Path(task[0]), []
    for path in task[1]:
        file = root if root.is_file() else root / path
        state = state_of(file)
        rows.append((ascii(path), hash_one(file), state))
    return rows


def hash_one(path: Path) -> str:
    """The hash of a file or folder, or why it cannot be read."""
    try:
        if path.is_symlink():
            return f"link to {os.readlink(path)!a}"
        if path.is_dir():
            inner = sorted(p for p in path.rglob("*") if p.is_file() and not p.is_symlink())
            return digest([[ascii(str(p.relative_to(path))), hash_one(p)] for p in inner])
        return hash_file(path) if path.is_file() else "not a regular file"
    except OSError as error:
        return f"unreadable: {error.errno}"
