"""A pipeline: sources, steps and split shares, as users write them in TOML.

    [[sources]]                         [[steps]]
    name = "manuals"                    use = "web.lines"
    path = "manuals/**/*.html"          only = { sources = ["manuals"] }
    reader = "html"                     settings = { window = 3 }

Names, settings and source references are checked before anything is read. Paths, including those in
settings, are relative to the file. The configuration that identifies a result has content hashes in
place of absolute paths, so that the same files elsewhere give the same corpus.
"""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from groundup.core import Config, ConfigError, format_toml, load_config
from groundup.documents import DERIVERS, STEPS, reader_target, step_target

from ..engine.job import READ_STEP, StepSpec, step_config
from ..engine.setting_files import file_digests, with_absolute_paths, with_file_names_only

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$"
DEFAULT_STEPS = ("documents.read", "dedup.exact", "dedup.minhash")
"""Steps of `prepare FOLDER`: extract text, then remove duplicates."""


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
    """Derivers of further training records: see engine/derive.py."""
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
    """The pipeline with some fields of its steps and derivers changed."""
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
    _check_tables(pipeline)
    for step in (*pipeline.steps, *pipeline.derive):
        for name in step.only.sources:
            if name not in names:
                raise ConfigError(
                    f"{step.use}: only.sources has {name}, which is not a source; expected one of "
                    f"{', '.join(names)}."
                )
    for use in (
        *step_specs(pipeline.steps),
        *step_specs(pipeline.derive),
        *map(reader_spec, pipeline.sources),
    ):
        step_config(use)
    return pipeline


def _check_tables(pipeline: CorpusPipeline) -> None:
    """Raise ConfigError for a deriver under [[steps]] or a step under [[derive]]."""
    for step in pipeline.steps:
        if step.use in DERIVERS or step.use in DERIVERS.values():
            raise ConfigError(
                f"{step.use} derives new training records; write it under [[derive]], not under "
                "[[steps]]."
            )
    for step in pipeline.derive:
        if step.use in STEPS:
            raise ConfigError(
                f"{step.use} derives no records; write it under [[steps]], not under [[derive]]."
            )


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
