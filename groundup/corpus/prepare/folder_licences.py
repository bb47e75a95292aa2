"""The licence that a folder passes on to the files below it.

A folder's licence file applies to everything below it, down to the next folder that has one of its
own; what a file itself states takes precedence (see documents/licences/texts.py).
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

from groundup.core import Config
from groundup.documents import StepResult, join_expressions, licence_of

from ..engine.executors import Executor
from ..engine.shards import write_step_results

LICENCE_FILE_NAME = re.compile(
    r"(?:un)?licen[cs]es?(?:[._-][\w.-]*)?|copying(?:[._-][\w.-]*)?|copyright|notice(?:\.txt|\.md)?"
    r"|mit-license(?:\.\w+)?", re.IGNORECASE,
)  # fmt: skip
# Several files named after licences are a choice, as Rust's LICENSE-MIT and LICENSE-APACHE.
ALTERNATIVE_LICENCE_NAME = re.compile(
    r"licen[cs]e[._-](?:mit|apache|bsd|isc|zlib|unlicense|cc0|boost|mpl)", re.IGNORECASE
)
PACKAGE_MANIFEST_NAME = re.compile(
    r"package\.json|cargo\.toml|pyproject\.toml|setup\.cfg|composer\.json|.*\.gemspec|.*\.cabal",
    re.IGNORECASE,
)
MANIFEST_LICENCE_LINE = re.compile(
    r"^[^\n]{0,40}licen[cs]e[^\n]{0,200}", re.IGNORECASE | re.MULTILINE
)


class FolderLicencesConfig(Config):
    """Which files state a folder's licence."""

    manifests: bool = True
    """Also read package.json, Cargo.toml and similar files where a folder has no licence file."""


class FolderLicences:
    """Global step: adds the licence of the nearest folder above as `repository_licence`."""

    def __init__(self, config: FolderLicencesConfig) -> None:
        self.config = config

    def decide(self, shards: Sequence[Path], executor: Executor, scratch: Path) -> Sequence[Path]:
        """See `GlobalStep`."""
        scratch.mkdir(parents=True, exist_ok=True)
        folders: dict[str, dict[str, str]] = defaultdict(dict)
        for files in executor(partial(_find_licences, self.config.manifests), shards):
            for folder, name, expression in files:
                folders[folder][name] = expression
        licences = {folder: _combine_licences(files) for folder, files in sorted(folders.items())}
        (scratch / "folders.json").write_text(json.dumps(licences), encoding="utf-8")
        tasks = [(shard, scratch / f"results-{at:05}.parquet") for at, shard in enumerate(shards)]
        return executor(partial(_write_inherited_licences, scratch / "folders.json"), tasks)


def _read_rows(shard: Path, columns: Sequence[str]) -> Iterator[dict[str, str]]:
    import pyarrow.parquet as parquet

    with parquet.ParquetFile(shard) as file:
        for batch in file.iter_batches(batch_size=512, columns=[*columns]):
            yield from batch.to_pylist()


def _find_licences(manifests: bool, shard: Path) -> list[tuple[str, str, str]]:
    licences = []
    for row in _read_rows(shard, ("source", "path", "text")):
        path = PurePosixPath(row["path"])
        folder = f"{row['source']}:{path.parent.as_posix()}"
        if LICENCE_FILE_NAME.fullmatch(path.name):
            licences.append((folder, path.name, licence_of(row["text"]).expression))
        elif manifests and PACKAGE_MANIFEST_NAME.fullmatch(path.name):
            lines = "\n".join(MANIFEST_LICENCE_LINE.findall(row["text"]))
            if expression := licence_of(lines).expression:
                licences.append((folder, f"/{path.name}", expression))
    return licences


def _combine_licences(files: dict[str, str]) -> list[str]:
    """The SPDX expression of a folder's licence files, and their names.

    >>> _combine_licences({"LICENSE-MIT": "MIT", "LICENSE-APACHE": "Apache-2.0"})
    ['Apache-2.0 OR MIT', 'LICENSE-APACHE, LICENSE-MIT']
    """
    names = sorted(name for name in files if not name.startswith("/")) or sorted(files)
    stated = [files[name] for name in names if files[name]]
    if len(stated) > 1 and all(ALTERNATIVE_LICENCE_NAME.match(name) for name in names):
        expression = " OR ".join(dict.fromkeys(f"({s})" if " AND " in s else s for s in stated))
    else:
        expression = join_expressions(stated)
    return [expression, ", ".join(name.lstrip("/") for name in names)]


def _write_inherited_licences(said: Path, item: tuple[Path, Path]) -> Path:
    shard, out = item
    folders = json.loads(said.read_text(encoding="utf-8"))

    def results() -> Iterator[tuple[str, StepResult]]:
        for row in _read_rows(shard, ("id", "source", "path")):
            for folder in PurePosixPath(row["path"]).parents:
                licence = folders.get(f"{row['source']}:{folder.as_posix()}")
                if licence is not None:
                    file = "/".join(part for part in (folder.as_posix(), licence[1]) if part != ".")
                    added = {"repository_licence": licence[0], "repository_licence_file": file}
                    yield row["id"], StepResult(metadata=added)
                    break

    return write_step_results(out, results())
