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

from ..engine.global_step import Executor
from ..engine.job import JobInput, file_state, instantiate
from .pipeline import CorpusPipeline, PipelineSource, reader_spec

HASH_TASK_BYTES = 256 * 2**20
HASH_TASK_FILES = 1_000
"""Limits of a hashing task: a few seconds of work."""
MIN_SHARD_BYTES = 4 * 2**20
TARGET_SHARDS = 64
"""A small collection becomes this many shards of at least so many bytes, so that 100 MB of pages
keep 8 cores busy. The number of cores must not affect the result."""


class SourceListing(NamedTuple):
    """A source on this disk."""

    source: PipelineSource
    root: Path
    input_splits: tuple[Any, ...]


class SourceFingerprint(NamedTuple):
    """Fingerprint of a source's files."""

    digest: str
    file_states: dict[str, str]
    """`file_state` by path, to detect later changes."""


def list_sources(pipeline: CorpusPipeline, base: Path) -> list[SourceListing]:
    """The input splits of each source, from its reader; DataError for an empty source."""
    listed = []
    for source in pipeline.sources:
        root, wanted = _resolve_path(source, base)
        parts = tuple(instantiate(reader_spec(source)).plan(root))
        if wanted is not None:
            parts = tuple(part for part in parts if part.path in wanted)
        if not parts:
            raise DataError(
                f"Source {source.name}: {source.path} has no input for the reader {source.reader}; "
                "check the path."
            )
        listed.append(SourceListing(source, root, parts))
    return listed


def _resolve_path(source: PipelineSource, base: Path) -> tuple[Path, set[str] | None]:
    """A source's root and, if its path is a pattern, the matching paths below it."""
    path = base / os.path.expanduser(source.path)
    if not glob.has_magic(source.path) or path.exists():
        return path, None
    parts = path.parts
    fixed = next(at for at, part in enumerate(parts) if glob.has_magic(part))
    root = Path(*parts[:fixed])
    pattern = os.path.join(*parts[fixed:])
    names = glob.iglob(pattern, root_dir=root, recursive=True)
    return root, {Path(name).as_posix() for name in names}


def plan_job_inputs(
    sources: Sequence[SourceListing],
    shard_bytes: int,
    fingerprints: Sequence[SourceFingerprint] = (),
) -> Iterator[JobInput]:
    """Yield job inputs of about `shard_bytes`, smaller for a small collection."""
    total = sum(part.bytes for _, _, parts in sources for part in parts)
    most = min(shard_bytes, max(total // TARGET_SHARDS, MIN_SHARD_BYTES))
    for number, (source, root, parts) in enumerate(sources):
        for group in _group_splits(parts, most):
            states = (
                tuple(fingerprints[number].file_states[part.path] for part in group)
                if fingerprints
                else ()
            )
            reader = reader_spec(source)
            yield JobInput(source.name, os.fspath(root), reader, group, source.licence, states)


def _group_splits(splits: Sequence[Any], shard_bytes: int) -> Iterator[tuple[Any, ...]]:
    """Yield groups of consecutive splits of at most `shard_bytes`.

    >>> class Part(NamedTuple):
    ...     bytes: int
    >>> [len(group) for group in _group_splits([Part(n) for n in (3, 3, 3, 20, 1)], 8)]
    [2, 1, 1, 1]
    """
    group: list[Any] = []
    size = 0
    for part in splits:
        if group and size + part.bytes > shard_bytes:
            yield tuple(group)
            group, size = [], 0
        group.append(part)
        size += part.bytes
    if group:
        yield tuple(group)


def fingerprint_sources(
    sources: Sequence[SourceListing], executor: Executor
) -> list[SourceFingerprint]:
    """Hash every source's paths and contents, in parallel."""
    tasks, owners = [], []
    for number, (_, root, parts) in enumerate(sources):
        sizes: dict[str, int] = {}
        for part in parts:
            sizes[part.path] = sizes.get(part.path, 0) + part.bytes
        for paths in _hash_batches(sizes):
            tasks.append((os.fspath(root), paths))
            owners.append(number)
    hashes: list[list[Any]] = [[] for _ in sources]
    states: list[dict[str, str]] = [{} for _ in sources]
    with record.progress("hash", sum(len(paths) for _, paths in tasks), "files") as bar:
        results = executor(_hash_files, tasks, lambda rows: bar.advance(len(rows)))
    for number, (_, paths), rows in zip(owners, tasks, results, strict=True):
        hashes[number] += [(name, content) for name, content, _ in rows]
        states[number] |= {path: row[2] for path, row in zip(paths, rows, strict=True)}
    return [
        SourceFingerprint(digest(rows), by_path)
        for rows, by_path in zip(hashes, states, strict=True)
    ]


def _hash_batches(sizes: dict[str, int]) -> Iterator[tuple[str, ...]]:
    """Yield the paths of each hashing task."""
    batch: list[str] = []
    size = 0
    for path, bytes in sizes.items():
        batch.append(path)
        size += bytes
        if size >= HASH_TASK_BYTES or len(batch) >= HASH_TASK_FILES:
            yield tuple(batch)
            batch, size = [], 0
    if batch:
        yield tuple(batch)


def _hash_files(task: tuple[str, tuple[str, ...]]) -> list[tuple[str, str, str]]:
    """(path, hash, state before hashing) of files, or of folders that a reader takes as a unit."""
    root, rows = Path(task[0]), []
    for path in task[1]:
        file = root if root.is_file() else root / path
        state = file_state(file)
        rows.append((ascii(path), _hash_path(file), state))
    return rows


def _hash_path(path: Path) -> str:
    """The hash of a file or folder, or why it cannot be read."""
    try:
        if path.is_symlink():
            return f"link to {os.readlink(path)!a}"
        if path.is_dir():
            inner = sorted(p for p in path.rglob("*") if p.is_file() and not p.is_symlink())
            return digest([[ascii(str(p.relative_to(path))), _hash_path(p)] for p in inner])
        return hash_file(path) if path.is_file() else "not a regular file"
    except OSError as error:
        return f"unreadable: {error.errno}"
