"""A pipeline: sources, steps and shares, as a person writes them in TOML.

    [[sources]]                         [[steps]]
    name = "manuals"                    use = "web.lines"
    path = "manuals/**/*.html"          only = { sources = ["manuals"] }
    reader = "html"                     settings = { window = 3 }

Everything is checked before anything is read: names, settings, sources that a step speaks of. Paths
are relative to the file, those in settings too. The configuration that names a result holds what
the files of settings contain and no absolute path, so that the same files in another place give
the same corpus.
"""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from groundup.core import Config, ConfigError, load_config, toml_value

from ..engine.files import file_digests, placed, unplaced
from ..engine.job import READ, Use, configured
from .steps import is_derivation, is_survey, reader_target, step_target

NAME = r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$"
DEFAULT_STEPS = ("documents.read", "dedup.exact", "dedup.minhash")
"""What `prepare FOLDER` does: text out of what the reader gives, then duplicates go."""


class Source(Config):
    """Where documents come from."""

    name: str = Field(pattern=NAME)
    """What log and report call it."""
    path: str
    """A folder, a file or a pattern such as `pages/**/*.html`, relative to the pipeline's file."""
    reader: str = "folder"
    """Name of the reader, or `module:Class`."""
    licence: str = ""
    """SPDX expression of documents that state none; empty if it is not known."""
    whole_files: bool = False
    """Keep all records of one file in one split: for books read by chapter, files by page."""
    settings: dict[str, Any] = {}
    """Of the reader."""
    digest: str = ""
    """Hash of the files' paths and contents; filled in by the stage."""


class Only(Config):
    """Which records a step concerns."""

    sources: tuple[str, ...] = ()
    """Names; none is all."""
    kinds: tuple[str, ...] = ()
    """Such as html or code; none is all."""


class StepUse(Config):
    """A step or survey in its place."""

    use: str
    """Name of the step, or `module:Class`."""
    name: str = Field(default="", pattern=r"^[^|]*$")
    """What log and report call it after its number; by default the step's own name."""
    only: Only = Only()
    """Other records pass."""
    settings: dict[str, Any] = {}
    """Of the step; files that they name are relative to the pipeline's file."""
    digests: tuple[tuple[str, str], ...] = ()
    """Hash of what each file holds that the settings name; filled in by the stage."""


class Shares(Config):
    """How much is held out."""

    validation_share: float = Field(default=0.05, ge=0, lt=1)
    """Share of documents for validation: looked at while training."""
    test_share: float = Field(default=0.05, ge=0, lt=1)
    """Share of documents for the test: looked at at the end."""


class Pipeline(Config):
    """All that decides a corpus."""

    sources: tuple[Source, ...] = Field(min_length=1)
    """In the order of the result."""
    steps: tuple[StepUse, ...] = ()
    """In the order in which they judge."""
    derive: tuple[StepUse, ...] = ()
    """What makes further records of those for training: see engine/derive.py."""
    split: Shares = Shares()
    """Held-out shares."""
    seed: int = 0
    """Of the split."""
    shard_bytes: int = Field(default=128 * 2**20, ge=1)
    """Bytes of a source that one job reads. Source: 128 to 512 MB keep a scan parallel without many
    small files (Daft issue 6126)."""


def read_pipeline(path: Path) -> Pipeline:
    """The pipeline of a TOML file, or the default one of a folder; checked throughout."""
    if path.is_dir():
        steps = tuple(StepUse(use=name) for name in DEFAULT_STEPS if is_known(name))
        name = "".join(c if c.isalnum() and c.isascii() else "-" for c in path.resolve().name)
        source = Source(name=name.strip("-") or "folder", path=os.fspath(path.resolve()))
        return checked(Pipeline(sources=(source,), steps=steps))
    home = path.parent
    return with_steps(
        checked(load_config(Pipeline, path)),
        lambda step, use: {"settings": placed(type(configured(use)), step.settings, home)},
    )


def with_steps(pipeline: Pipeline, change: Callable[[StepUse, Use], dict[str, Any]]) -> Pipeline:
    """The pipeline with some fields of its steps and derivations changed."""
    rows = {
        table: tuple(
            step.model_copy(update=change(step, use))
            for step, use in zip(steps, uses(steps), strict=True)
        )
        for table, steps in (("steps", pipeline.steps), ("derive", pipeline.derive))
    }
    return pipeline.model_copy(update=rows)


def is_known(name: str) -> bool:
    """Whether a table has the step."""
    try:
        return bool(step_target(name))
    except ConfigError:
        return False


def checked(pipeline: Pipeline) -> Pipeline:
    """The pipeline, if every name and setting in it is valid."""
    names = [source.name for source in pipeline.sources]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"Two sources are called {name}; give each its own name.")
    if pipeline.split.validation_share + pipeline.split.test_share >= 1:
        raise ConfigError("validation_share and test_share leave nothing to train on.")
    check_tables(pipeline)
    for step in (*pipeline.steps, *pipeline.derive):
        for name in step.only.sources:
            if name not in names:
                raise ConfigError(
                    f"{step.use}: only.sources has {name}, which is no source; there are "
                    f"{', '.join(names)}."
                )
    for use in (*uses(pipeline.steps), *uses(pipeline.derive), *map(reader_use, pipeline.sources)):
        configured(use)
    return pipeline


def check_tables(pipeline: Pipeline) -> None:
    """Raise ConfigError where a derivation stands among the steps, or a step among derivations."""
    for step in pipeline.steps:
        if is_derivation(step.use):
            raise ConfigError(
                f"{step.use} makes further records of those that train, it does not judge them: "
                "write it under [[derive]], not under [[steps]]."
            )
    for step in pipeline.derive:
        if ":" not in step.use and is_known(step.use) and not is_derivation(step.use):
            raise ConfigError(
                f"{step.use} judges records, it makes none of them: write it under [[steps]], not "
                "under [[derive]]."
            )


def uses(steps: Sequence[StepUse]) -> tuple[Use, ...]:
    """Steps as workers make them, numbered from 01."""
    return tuple(
        Use(
            f"{number:02d} {step.name or step.use}",
            step_target(step.use),
            json.dumps(step.settings, sort_keys=True),
            step.only.sources,
            step.only.kinds,
        )
        for number, step in enumerate(steps, start=1)
    )


def surveys(found: Sequence[Use]) -> tuple[Use, ...]:
    """Those that judge all records together."""
    return tuple(use for use in found if is_survey(use.target))


def reader_use(source: Source) -> Use:
    """A source's reader as workers make it."""
    return Use(READ, reader_target(source.reader), json.dumps(source.settings, sort_keys=True))


def portable(pipeline: Pipeline) -> Pipeline:
    """The pipeline without what depends on where this machine keeps its files.

    What the files hold that settings name is hashed; ConfigError naming one that is not there.
    """
    sources = (
        source.model_copy(update={"path": Path(source.path).name})
        if os.path.isabs(os.path.expanduser(source.path))
        else source
        for source in pipeline.sources
    )
    return with_steps(
        pipeline.model_copy(update={"sources": tuple(sources)}),
        lambda step, use: {
            "settings": unplaced(kind := type(configured(use)), step.settings),
            "digests": file_digests(use.name, kind, step.settings),
        },
    )


def to_toml(pipeline: Pipeline) -> str:
    """The pipeline as TOML, every default written out.

    >>> print(to_toml(Pipeline(sources=(Source(name="a", path="a"),)))[:41])
    seed = 0
    shard_bytes = 134217728
    <BLANKLINE>
    [split]
    """
    plain = pipeline.plain()
    lines = [f"{key} = {toml_value(plain[key])}" for key in ("seed", "shard_bytes")]
    lines += ["", "[split]", *(f"{k} = {toml_value(v)}" for k, v in plain["split"].items())]
    for table in ("sources", "steps", "derive"):
        for row in plain[table]:
            row.pop("digest", None)
            row.pop("digests", None)
            lines += ["", f"[[{table}]]", *(f"{k} = {toml_value(v)}" for k, v in row.items())]
    return "\n".join(lines) + "\n"
