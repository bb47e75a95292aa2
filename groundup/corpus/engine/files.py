"""Files that settings name: found beside the file that names them, known by what they hold.

A setting marked as `File` (groundup.core) decides a result by its contents: a list, a model, a key,
a test set. So the name is made absolute before it goes to a worker, the contents are hashed into
what names the result, and of the place only the last part is kept. Knows nothing of what is in a
file, or of files that a scorer or a step of somebody else opens without saying so.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, get_args

from groundup.core import MANIFEST, Artifact, Config, ConfigError, InputFile, digest, hash_file


class NamedFile(NamedTuple):
    """A file that a setting names."""

    setting: str
    path: str


def marked(kind: type[Config]) -> dict[str, InputFile | type[Config]]:
    """Fields of a configuration that name files, and those whose own fields may."""
    found: dict[str, InputFile | type[Config]] = {}
    for name, field in kind.model_fields.items():
        for part in (*field.metadata, *parts_of(field.annotation)):
            is_inner = isinstance(part, type) and issubclass(part, Config) and marked(part)
            if isinstance(part, InputFile) or is_inner:
                found[name] = part
    return found


def parts_of(annotation: Any) -> Iterator[Any]:
    """Yield all that a type is put together of."""
    yield annotation
    for part in get_args(annotation):
        yield from parts_of(part)


def renamed(
    kind: type[Config], settings: Mapping[str, Any], form: Callable[[NamedFile], str]
) -> dict[str, Any]:
    """Settings with every file's name put through `form`; what else they hold is as it was."""

    def put(name: str, mark: InputFile | type[Config], value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [put(name, mark, one) for one in value]
        if isinstance(value, Mapping):
            if isinstance(mark, InputFile):
                return {key: put(name, mark, one) for key, one in value.items()}
            return renamed(
                mark, value, lambda found: form(NamedFile(f"{name}.{found[0]}", found[1]))
            )
        if not isinstance(value, str | Path) or not isinstance(mark, InputFile):
            return value
        text = os.fspath(value)
        if not text or not text.startswith(mark.sign):
            return value
        return mark.sign + form(NamedFile(name, text.removeprefix(mark.sign)))

    marks = marked(kind)
    return {
        name: put(name, marks[name], value) if name in marks else value
        for name, value in settings.items()
    }


def placed(kind: type[Config], settings: Mapping[str, Any], home: Path) -> dict[str, Any]:
    """Settings whose files are found from anywhere: relative names are relative to `home`."""
    return renamed(kind, settings, lambda one: os.path.abspath(home / os.path.expanduser(one.path)))


def unplaced(kind: type[Config], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings without the folders in which this machine keeps its files."""
    return renamed(kind, settings, lambda one: Path(one.path).name)


def file_digests(
    name: str, kind: type[Config], settings: Mapping[str, Any]
) -> tuple[tuple[str, str], ...]:
    """Setting and hash of what every file holds that settings name, in their order.

    Raises ConfigError, with the step's name, for one that is not there or cannot be read.
    """
    found: list[tuple[str, str]] = []

    def hashed(one: NamedFile) -> str:
        try:
            found.append((f"{one.setting}: {Path(one.path).name}", content_digest(Path(one.path))))
        except OSError as error:
            told = error.strerror or error
            raise ConfigError(
                f"{name}: {one.setting} names {one.path}, which cannot be read ({told}); relative "
                "names are relative to the pipeline's file."
            ) from None
        return one.path

    renamed(kind, dict(sorted(settings.items())), hashed)
    return tuple(found)


def content_digest(path: Path) -> str:
    """An artifact's id, or a hash of a file, or of the names and contents of a folder's files."""
    if not path.is_dir():
        return hash_file(path)
    if (path / MANIFEST).is_file():
        return Artifact.open(path).id
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return digest([[file.relative_to(path).as_posix(), hash_file(file)] for file in files])
