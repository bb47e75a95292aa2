"""A pipeline: sources, steps and split shares, as users write them in TOML, and its inputs.

    [[sources]]                         [[steps]]
    name = "manuals"                    use = "web.lines"
    path = "manuals/**/*.html"          only = { sources = ["manuals"] }
    reader = "html"                     settings = { window = 3 }

Names, settings and source references are checked before anything is read. Paths, including those in
settings, are relative to the file. The configuration that identifies a result has content hashes in
place of absolute paths, so that the same files elsewhere give the same corpus.

Small files are grouped and large ones are read by byte ranges, as their reader plans; jobs are in
the order of sources and paths, so the result does not depend on scheduling. All files are hashed
before they are read: a corpus is identified by its inputs, and a resumed run detects changes.
"""

import glob
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field

from groundup.core import (
    Config,
    ConfigError,
    DataError,
    digest,
    format_toml,
    hash_file,
    load_config,
    record,
)
from groundup.documents import DERIVERS, STEPS, reader_target, step_target

from ..engine.executors import Executor
from ..engine.job import READ_STEP, JobInput, file_state
from ..engine.specs import (
    StepSpec,
    file_digests,
    instantiate,
    step_config,
    with_absolute_paths,
    with_file_names_only,
)

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$"
DEFAULT_STEPS = ("documents.read", "dedup.exact", "dedup.minhash")
"""Steps of `prepare FOLDER`: extract text, then remove duplicates."""
HASH_TASK_BYTES = 256 * 2**20
HASH_TASK_FILES = 1_000
"""Limits of a hashing task: a few seconds of work."""
MIN_SHARD_BYTES = 4 * 2**20
TARGET_SHARDS = 64
"""A small collection becomes this many shards of at least so many bytes, so that 100 MB of pages
keep 8 cores busy. The number of cores must not affect the result."""


class PipelineSource(Config):
    """A source of documents."""

    name: str = Field(pattern=NAME_PATTERN)
    """Name in logs and reports."""
    path: str
    """A folder, a file or a pattern such as `pages/**/*.html`, relative to the pipeline's file."""
    reader: str = "folder"
    """Name of a reader, or `module:Class`."""
    licence: str = ""
    """SPDX expression for documents that state none; empty if unknown."""
    whole_files: bool = False
    """Keep all records of one file in one split: for books read by chapter or files read by
    page."""
    settings: dict[str, Any] = {}
    """Settings of the reader."""
    digest: str = ""
    """Hash of the files' paths and contents; filled in by the stage."""


class StepScope(Config):
    """Which records a step applies to."""

    sources: tuple[str, ...] = ()
    """Names of sources; empty means all."""
    kinds: tuple[str, ...] = ()
    """Kinds such as html or code; empty means all."""


class PipelineStep(Config):
    """A step of the pipeline."""

    use: str
    """Name of the step, or `module:Class`."""
    name: str = Field(default="", pattern=r"^[^|]*$")
    """Name in logs and reports, after its number; default: the step's own name."""
    only: StepScope = StepScope()
    """Records that it applies to; others pass unchanged."""
    settings: dict[str, Any] = {}
    """Settings of the step; file names are relative to the pipeline's file."""
    digests: tuple[tuple[str, str], ...] = ()
    """Content hash of each file that the settings name; filled in by the stage."""


class SplitShares(Config):
    """Held-out shares."""

    validation_share: float = Field(default=0.05, ge=0, lt=1)
    """Share of documents for validation, used during training."""
    test_share: float = Field(default=0.05, ge=0, lt=1)
    """Share of documents for the final test."""


class CorpusPipeline(Config):
    """Everything that determines a corpus."""

    sources: tuple[PipelineSource, ...] = Field(min_length=1)
    """Sources, in the order of the result."""
    steps: tuple[PipelineStep, ...] = ()
    """Steps, in order of application."""
    derive: tuple[PipelineStep, ...] = ()
    """Derivers of further training records: see mixture.py."""
    split: SplitShares = SplitShares()
    """Shares of the held-out splits."""
    seed: int = 0
    """Seed of the split."""
    shard_bytes: int = Field(default=128 * 2**20, ge=1)
    """Bytes of a source that one job reads. Source: 128 to 512 MB keep a scan parallel without many
    small files (Daft issue 6126)."""


def read_pipeline(path: Path) -> CorpusPipeline:
    """The validated pipeline of a TOML file, or the default pipeline for a folder."""
    if path.is_dir():
        steps = tuple(PipelineStep(use=name) for name in DEFAULT_STEPS)
        name = "".join(c if c.isalnum() and c.isascii() else "-" for c in path.resolve().name)
        source = PipelineSource(name=name.strip("-") or "folder", path=os.fspath(path.resolve()))
        return _validate_pipeline(CorpusPipeline(sources=(source,), steps=steps))
    home = path.parent
    return _update_steps(
        _validate_pipeline(load_config(CorpusPipeline, path)),
        lambda step, use: {
            "settings": with_absolute_paths(type(step_config(use)), step.settings, home)
        },
    )


def _update_steps(
    pipeline: CorpusPipeline, update: Callable[[PipelineStep, StepSpec], dict[str, Any]]
) -> CorpusPipeline:
    rows = {
        table: tuple(
            step.model_copy(update=update(step, use))
            for step, use in zip(steps, step_specs(steps), strict=True)
        )
        for table, steps in (("steps", pipeline.steps), ("derive", pipeline.derive))
    }
    return pipeline.model_copy(update=rows)


def _validate_pipeline(pipeline: CorpusPipeline) -> CorpusPipeline:
    """The pipeline itself; ConfigError for an invalid name or setting."""
    names = [source.name for source in pipeline.sources]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"Two sources have the name {name}; names must be unique.")
    if pipeline.split.validation_share + pipeline.split.test_share >= 1:
        raise ConfigError("validation_share + test_share must be less than 1.")
    for step in pipeline.steps:
        if step.use in DERIVERS or step.use in DERIVERS.values():
            raise ConfigError(f"{step.use} derives records; write it under [[derive]].")
    for step in pipeline.derive:
        if step.use in STEPS:
            raise ConfigError(f"{step.use} derives no records; write it under [[steps]].")
    for step in (*pipeline.steps, *pipeline.derive):
        for name in step.only.sources:
            if name not in names:
                known = ", ".join(names)
                raise ConfigError(f"{step.use}: only.sources has {name}; the sources are {known}.")
    for use in (
        *step_specs(pipeline.steps),
        *step_specs(pipeline.derive),
        *map(reader_spec, pipeline.sources),
    ):
        step_config(use)
    return pipeline


def step_specs(steps: Sequence[PipelineStep]) -> tuple[StepSpec, ...]:
    """Specs of the steps, numbered from 01."""
    return tuple(
        StepSpec(
            f"{number:02d} {step.name or step.use}",
            step_target(step.use),
            json.dumps(step.settings, sort_keys=True),
            step.only.sources,
            step.only.kinds,
        )
        for number, step in enumerate(steps, start=1)
    )


def reader_spec(source: PipelineSource) -> StepSpec:
    """Spec of a source's reader."""
    return StepSpec(
        READ_STEP, reader_target(source.reader), json.dumps(source.settings, sort_keys=True)
    )


def portable_pipeline(pipeline: CorpusPipeline) -> CorpusPipeline:
    """The pipeline without absolute paths, with content hashes of the files that settings name.

    Raises ConfigError for a missing file.
    """
    sources = (
        source.model_copy(update={"path": Path(source.path).name})
        if os.path.isabs(os.path.expanduser(source.path))
        else source
        for source in pipeline.sources
    )
    return _update_steps(
        pipeline.model_copy(update={"sources": tuple(sources)}),
        lambda step, use: {
            "settings": with_file_names_only(kind := type(step_config(use)), step.settings),
            "digests": file_digests(use.name, kind, step.settings),
        },
    )


def pipeline_toml(pipeline: CorpusPipeline) -> str:
    """The pipeline as TOML, including every default.

    >>> print(pipeline_toml(CorpusPipeline(sources=(PipelineSource(name="a", path="a"),)))[:41])
    seed = 0
    shard_bytes = 134217728
    <BLANKLINE>
    [split]
    """
    plain = pipeline.to_dict()
    lines = [f"{key} = {format_toml(plain[key])}" for key in ("seed", "shard_bytes")]
    lines += ["", "[split]", *(f"{k} = {format_toml(v)}" for k, v in plain["split"].items())]
    for table in ("sources", "steps", "derive"):
        for row in plain[table]:
            row.pop("digest", None)
            row.pop("digests", None)
            lines += ["", f"[[{table}]]", *(f"{k} = {format_toml(v)}" for k, v in row.items())]
    return "\n".join(lines) + "\n"


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
        known = fingerprints[number].file_states if fingerprints else {}
        for group in _batches(parts, [part.bytes for part in parts], most):
            states = tuple(known[part.path] for part in group) if known else ()
            reader = reader_spec(source)
            yield JobInput(source.name, os.fspath(root), reader, group, source.licence, states)


def _batches(
    items: Sequence[Any], sizes: Sequence[int], max_bytes: int, max_items: int = sys.maxsize
) -> Iterator[tuple[Any, ...]]:
    """Yield groups of consecutive items of at most so many bytes and items, or of one larger item.

    >>> [len(group) for group in _batches("abcde", (3, 3, 3, 20, 1), 8)]
    [2, 1, 1, 1]
    """
    group: list[Any] = []
    total = 0
    for item, size in zip(items, sizes, strict=True):
        if group and (total + size > max_bytes or len(group) >= max_items):
            yield tuple(group)
            group, total = [], 0
        group.append(item)
        total += size
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
        for paths in _batches([*sizes], [*sizes.values()], HASH_TASK_BYTES, HASH_TASK_FILES):
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


def _hash_files(task: tuple[str, tuple[str, ...]]) -> list[tuple[str, str, str]]:
    """(path, hash, state before hashing) of files, or of folders that a reader takes as a unit."""
    root, rows = Path(task[0]), []
    for path in task[1]:
        file = root if root.is_file() else root / path
        state = file_state(file)
        rows.append((ascii(path), _hash_path(file), state))
    return rows


def _hash_path(path: Path) -> str:
    try:
        if path.is_symlink():
            return f"link to {os.readlink(path)!a}"
        if path.is_dir():
            inner = sorted(p for p in path.rglob("*") if p.is_file() and not p.is_symlink())
            return digest([[ascii(str(p.relative_to(path))), _hash_path(p)] for p in inner])
        return hash_file(path) if path.is_file() else "not a regular file"
    except OSError as error:
        return f"unreadable: {error.errno}"
