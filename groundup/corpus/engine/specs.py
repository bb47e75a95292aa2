"""Specs: a step's class and settings, and the files that the settings name.

A setting of type `InputPath` (groundup.core), such as a list, a model, a key or a test set, affects
the result through its contents. So its path is made absolute before it goes to a worker, its
contents are hashed into the result's id, and of its path only the last component is kept. Knows no
file formats, and no files that third-party code opens without declaring them.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol, get_args, get_type_hints, runtime_checkable

from groundup.core import MANIFEST, Artifact, Config, ConfigError, InputFile, digest, hash_file
from groundup.documents import Record, import_object

from .executors import Executor


@runtime_checkable
class GlobalStep(Protocol):
    """A step that must see all records before it can decide on any, such as on duplicates.

    It reads the shards written by the steps before it and writes one file of results per shard,
    which the engine then applies like any other step's results.
    """

    config: Config

    def decide(self, shards: Sequence[Path], executor: Executor, scratch: Path) -> Sequence[Path]:
        """Write one file of results per shard under `scratch`; return the paths in shard order.

        See shards.py for the file. Memory must not grow with the size of the texts, and the
        results must not depend on how records are distributed over shards.
        """
        ...


class StepSpec(NamedTuple):
    """Class and settings of a step, global step or reader; workers instantiate it."""

    name: str
    """Name in logs and reports, such as `03 web.lines`."""
    target: str
    """`module:Class`."""
    settings: str = "{}"
    """Its configuration as JSON."""
    sources: tuple[str, ...] = ()
    """Sources that it applies to; empty means all."""
    kinds: tuple[str, ...] = ()
    """Kinds of record that it applies to; empty means all."""

    @property
    def is_global(self) -> bool:
        """Whether it is a global step, which sees all records together."""
        return callable(getattr(import_object(self.target), "decide", None))

    def applies_to(self, record: Record) -> bool:
        """Whether the step applies to this record."""
        return (not self.sources or record.source in self.sources) and (
            not self.kinds or record.kind in self.kinds
        )


@cache
def instantiate(spec: StepSpec) -> Any:
    """The object that a spec describes; one per process."""
    return import_object(spec.target)(step_config(spec))


def step_config(spec: StepSpec) -> Config:
    """The configuration of a spec; ConfigError if its settings do not fit its class."""
    try:
        config = get_type_hints(import_object(spec.target).__init__)["config"]
    except (ImportError, AttributeError, KeyError, ValueError) as error:
        raise ConfigError(
            f"{spec.name}: {spec.target} cannot be used ({error}); expected `module:Class` whose "
            "__init__ takes `config`, a Config."
        ) from None
    try:
        return config(**json.loads(spec.settings))
    except ConfigError as error:
        raise ConfigError(f"{spec.name}: {error}") from None


def _file_fields(kind: type[Config]) -> dict[str, InputFile | type[Config]]:
    marks: dict[str, InputFile | type[Config]] = {}
    for name, field in kind.model_fields.items():
        for part in (*field.metadata, *_annotation_parts(field.annotation)):
            is_inner = isinstance(part, type) and issubclass(part, Config) and _file_fields(part)
            if isinstance(part, InputFile) or is_inner:
                marks[name] = part
    return marks


def _annotation_parts(annotation: Any) -> Iterator[Any]:
    yield annotation
    for part in get_args(annotation):
        yield from _annotation_parts(part)


def _map_file_names(
    kind: type[Config], settings: Mapping[str, Any], form: Callable[[str, str], str]
) -> dict[str, Any]:
    def put(name: str, mark: InputFile | type[Config], value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [put(name, mark, item) for item in value]
        if isinstance(value, Mapping):
            if isinstance(mark, InputFile):
                return {key: put(name, mark, item) for key, item in value.items()}
            return _map_file_names(mark, value, lambda inner, path: form(f"{name}.{inner}", path))
        if not isinstance(value, str | Path) or not isinstance(mark, InputFile):
            return value
        text = os.fspath(value)
        if not text or not text.startswith(mark.prefix):
            return value
        return mark.prefix + form(name, text.removeprefix(mark.prefix))

    marks = _file_fields(kind)
    return {
        name: put(name, marks[name], value) if name in marks else value
        for name, value in settings.items()
    }


def with_absolute_paths(
    kind: type[Config], settings: Mapping[str, Any], home: Path
) -> dict[str, Any]:
    """Settings with absolute file names; relative ones are resolved against `home`."""
    return _map_file_names(
        kind, settings, lambda _, path: os.path.abspath(home / os.path.expanduser(path))
    )


def with_file_names_only(kind: type[Config], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with file names reduced to their last component."""
    return _map_file_names(kind, settings, lambda _, path: Path(path).name)


def file_digests(
    name: str, kind: type[Config], settings: Mapping[str, Any]
) -> tuple[tuple[str, str], ...]:
    """(setting, content hash) of every file that the settings name, in their order.

    Raises ConfigError, with the step's name, for a file that is missing or unreadable.
    """
    digests: list[tuple[str, str]] = []

    def hashed(setting: str, path: str) -> str:
        try:
            digests.append((f"{setting}: {Path(path).name}", _content_digest(Path(path))))
        except OSError as error:
            reason = error.strerror or error
            raise ConfigError(
                f"{name}: {setting} names {path}, which cannot be read ({reason}); relative names "
                "are relative to the pipeline's file."
            ) from None
        return path

    _map_file_names(kind, dict(sorted(settings.items())), hashed)
    return tuple(digests)


def _content_digest(path: Path) -> str:
    if not path.is_dir():
        return hash_file(path)
    if (path / MANIFEST).is_file():
        return Artifact.open(path).id
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return digest([[file.relative_to(path).as_posix(), hash_file(file)] for file in files])
