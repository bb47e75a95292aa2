"""The licence that a folder passes on to the files below it.

A folder's licence file applies to everything below it, down to the next folder that has one of its
own; what a file itself states takes precedence (see documents/code/licences.py).
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from groundup.core import Config
from groundup.documents import Ruling, arrow, join_all, licence_of

from ..engine.rulings import write_rulings
from ..engine.survey import Each

LICENCE_FILE = re.compile(
    r"(?:un)?licen[cs]es?(?:[._-][\w.-]*)?|copying(?:[._-][\w.-]*)?|copyright|notice(?:\.txt|\.md)?"
    r"|mit-license(?:\.\w+)?", re.IGNORECASE,
)  # fmt: skip
# Several files named after licences are a choice, as Rust's LICENSE-MIT and LICENSE-APACHE.
CHOICE = re.compile(
    r"licen[cs]e[._-](?:mit|apache|bsd|isc|zlib|unlicense|cc0|boost|mpl)", re.IGNORECASE
)
MANIFEST = re.compile(
    r"package\.json|cargo\.toml|pyproject\.toml|setup\.cfg|composer\.json|.*\.gemspec|.*\.cabal",
    re.IGNORECASE,
)
MANIFEST_LICENCE = re.compile(r"^[^\n]{0,40}licen[cs]e[^\n]{0,200}", re.IGNORECASE | re.MULTILINE)


class FolderLicencesConfig(Config):
    """Which files state a folder's licence."""

    manifests: bool = True
    """Also read package.json, Cargo.toml and similar files where a folder has no licence file."""


class Row(NamedTuple):
    """The columns of a record that are read here."""

    id: str
    source: str
    path: str
    text: str


class FolderLicences:
    """Global step: adds the licence of the nearest folder above as `repository_licence`."""

    def __init__(self, config: FolderLicencesConfig) -> None:
        self.config = config

    def rulings(self, shards: Sequence[Path], each: Each, scratch: Path) -> Sequence[Path]:
        """See `GlobalStep`."""
        scratch.mkdir(parents=True, exist_ok=True)
        folders: dict[str, dict[str, str]] = defaultdict(dict)
        for files in each(partial(licences_of_shard, self.config.manifests), shards):
            for folder, name, expression in files:
                folders[folder][name] = expression
        licences = {folder: of_folder(files) for folder, files in sorted(folders.items())}
        (scratch / "folders.json").write_text(json.dumps(licences), encoding="utf-8")
        tasks = [(shard, scratch / f"rulings-{at:05}.parquet") for at, shard in enumerate(shards)]
        return each(partial(rule_folders, scratch / "folders.json"), tasks)


def rows(shard: Path, with_text: bool) -> Iterator[Row]:
    """Yield the records of a shard in batches."""
    import pyarrow.parquet as parquet

    arrow()
    columns = ["id", "source", "path", *(["text"] if with_text else [])]
    with parquet.ParquetFile(shard) as file:
        for batch in file.iter_batches(batch_size=512, columns=columns):
            for row in batch.to_pylist():
                yield Row(row["id"], row["source"], row["path"], row.get("text", ""))


def licences_of_shard(manifests: bool, shard: Path) -> list[tuple[str, str, str]]:
    """(folder, file name, SPDX expression) of every licence file in a shard."""
    licences = []
    for row in rows(shard, with_text=True):
        path = PurePosixPath(row.path)
        folder = f"{row.source}:{path.parent.as_posix()}"
        if LICENCE_FILE.fullmatch(path.name):
            licences.append((folder, path.name, licence_of(row.text).expression))
        elif manifests and MANIFEST.fullmatch(path.name):
            lines = "\n".join(MANIFEST_LICENCE.findall(row.text))
            if expression := licence_of(lines).expression:
                licences.append((folder, f"/{path.name}", expression))
    return licences


def of_folder(files: dict[str, str]) -> list[str]:
    """The SPDX expression of a folder's licence files, and their names.

    >>> of_folder({"LICENSE-MIT": "MIT", "LICENSE-APACHE": "Apache-2.0"})
    ['Apache-2.0 OR MIT', 'LICENSE-APACHE, LICENSE-MIT']
    """
    names = sorted(name for name in files if not name.startswith("/")) or sorted(files)
    stated = [files[name] for name in names if files[name]]
    if len(stated) > 1 and all(CHOICE.match(name) for name in names):
        expression = " OR ".join(dict.fromkeys(f"({s})" if " AND " in s else s for s in stated))
    else:
        expression = join_all(stated)
    return [expression, ", ".join(name.lstrip("/") for name in names)]


def rule_folders(said: Path, item: tuple[Path, Path]) -> Path:
    """Write the inherited licence of each record of a shard."""
    shard, out = item
    folders = json.loads(said.read_text(encoding="utf-8"))

    def ruled() -> Iterator[tuple[str, Ruling]]:
        for row in rows(shard, with_text=False):
            for folder in PurePosixPath(row.path).parents:
                licence = folders.get(f"{row.source}:{folder.as_posix()}")
                if licence is not None:
                    file = "/".join(part for part in (folder.as_posix(), licence[1]) if part != ".")
                    added = {"repository_licence": licence[0], "repository_licence_file": file}
                    yield row.id, Ruling(metadata=added)
                    break

    return write_rulings(out, ruled())
