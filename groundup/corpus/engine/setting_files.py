"""Files named by settings: resolved relative to the pipeline's file, identified by their contents.

A setting of type `InputPath` (groundup.core), such as a list, a model, a key or a test set, affects
the result through its contents. So its path is made absolute before it goes to a worker, its
contents are hashed into the result's id, and of its path only the last component is kept. Knows no
file formats, and no files that third-party code opens without declaring them.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, get_args

from groundup.core import MANIFEST, Artifact, Config, ConfigError, InputFile, digest, hash_file


class SettingFile(NamedTuple):
    """A file that a setting names."""

    setting: str
    path: str


def _file_fields(kind: type[Config]) -> dict[str, InputFile | type[Config]]:
    """Fields of a configuration that name files, and nested configurations with such fields."""
    marks: dict[str, InputFile | type[Config]] = {}
    for name, field in kind.model_fields.items():
        for part in (*field.metadata, *_annotation_parts(field.annotation)):
            is_inner = isinstance(part, type) and issubclass(part, Config) and _file_fields(part)
            if isinstance(part, InputFile) or is_inner:
                marks[name] = part
    return marks


def _annotation_parts(annotation: Any) -> Iterator[Any]:
    """Yield a type and, recursively, its arguments."""
    yield annotation
    for part in get_args(annotation):
        yield from _annotation_parts(part)


def _map_file_names(
    kind: type[Config], settings: Mapping[str, Any], form: Callable[[SettingFile], str]
) -> dict[str, Any]:
    """Settings with `form` applied to every file name."""

    def put(name: str, mark: InputFile | type[Config], value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [put(name, mark, item) for item in value]
        if isinstance(value, Mapping):
            if isinstance(mark, InputFile):
                return {key: put(name, mark, item) for key, item in value.items()}
            return _map_file_names(
                mark, value, lambda file: form(SettingFile(f"{name}.{file[0]}", file[1]))
            )
        if not isinstance(value, str | Path) or not isinstance(mark, InputFile):
            return value
        text = os.fspath(value)
        if not text or not text.startswith(mark.prefix):
            return value
        return mark.prefix + form(SettingFile(name, text.removeprefix(mark.prefix)))

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
        kind, settings, lambda file: os.path.abspath(home / os.path.expanduser(file.path))
    )


def with_file_names_only(kind: type[Config], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with file names reduced to their last component."""
    return _map_file_names(kind, settings, lambda file: Path(file.path).name)


def file_digests(
    name: str, kind: type[Config], settings: Mapping[str, Any]
) -> tuple[tuple[str, str], ...]:
    """(setting, content hash) of every file that the settings name, in their order.

    Raises ConfigError, with the step's name, for a file that is missing or unreadable.
    """
    digests: list[tuple[str, str]] = []

    def hashed(file: SettingFile) -> str:
        try:
            path = Path(file.path)
            digests.append((f"{file.setting}: {path.name}", _content_digest(path)))
        except OSError as error:
            reason = error.strerror or error
            raise ConfigError(
                f"{name}: {file.setting} names {file.path}, which cannot be read ({reason}); "
                "relative names are relative to the pipeline's file."
            ) from None
        return file.path

    _map_file_names(kind, dict(sorted(settings.items())), hashed)
    return tuple(digests)


def _content_digest(path: Path) -> str:
    """An artifact's id, or a hash of a file or of a folder's file names and contents."""
    if not path.is_dir():
        return hash_file(path)
    if (path / MANIFEST).is_file():
        return Artifact.open(path).id
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return digest([[file.relative_to(path).as_posix(), hash_file(file)] for file in files])
