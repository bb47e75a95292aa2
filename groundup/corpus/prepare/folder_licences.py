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
# One of several files named after their licences may be chosen, as in Rust's LICENSE-MIT.
CHOICE = re.compile(
    r"licen[cs]e[._-](?:mit|apache|bsd|isc|zlib|unlicense|cc0|boost|mpl)", re.IGNORECASE
)
MANIFEST = re.compile(
    r"package\.json|cargo\.toml|pyproject\.toml|setup\.cfg|composer\.json|.*\.gemspec|.*\.cabal",
    re.IGNORECASE,
)
MANIFEST_LICENCE = re.compile(r"^[^\n]{0,40}licen[cs]e[^\n]{0,200}", re.IGNORECASE | re.MULTILINE)


class FolderLicencesConfig(Config):
    """Which files speak for a folder."""

    manifests: bool = True
    """Also package.json, Cargo.toml and their like, where a folder has no licence file."""


class Row(NamedTuple):
    """The columns of a record that are read here."""

    id: str
    source: str
    path: str
    text: str


class FolderLicences:
    """Survey: the licence of the nearest folder above, as `repository_licence`."""

    def __init__(self, config: FolderLicencesConfig) -> None:
        self.config = config

    def rulings(self, shards: Sequence[Path], each: Each, scratch: Path) -> Sequence[Path]:
        """Write the rulings of every shard."""
        scratch.mkdir(parents=True, exist_ok=True)
        found = each(partial(licences_of_shard, self.config.manifests), shards)
        folders: dict[str, dict[str, str]] = defaultdict(dict)
        for files in found:
            for folder, name, expression in files:
                folders[folder][name] = expression
        said = {folder: of_folder(files) for folder, files in sorted(folders.items())}
        (scratch / "folders.json").write_text(json.dumps(said), encoding="utf-8")
        tasks = [(shard, scratch / f"rulings-{at:05}.parquet") for at, shard in enumerate(shards)]
        return each(partial(rule_folders, scratch / "folders.json"), tasks)


def rows(shard: Path, with_text: bool) -> Iterator[Row]:
    """Yield the records of a shard, a row group at a time."""
    import pyarrow.parquet as parquet

    arrow()
    columns = ["id", "source", "path", *(["text"] if with_text else [])]
    with parquet.ParquetFile(shard) as file:
        for batch in file.iter_batches(batch_size=512, columns=columns):
            for row in batch.to_pylist():
                yield Row(row["id"], row["source"], row["path"], row.get("text", ""))


def licences_of_shard(manifests: bool, shard: Path) -> list[tuple[str, str, str]]:
    """Folder, file name and expression of every licence file in a shard."""
    found = []
    for row in rows(shard, with_text=True):
        path = PurePosixPath(row.path)
        folder = f"{row.source}:{path.parent.as_posix()}"
        if LICENCE_FILE.fullmatch(path.name):
            found.append((folder, path.name, licence_of(row.text).expression))
        elif manifests and MANIFEST.fullmatch(path.name):
            lines = "\n".join(MANIFEST_LICENCE.findall(row.text))
            if expression := licence_of(lines).expression:
                found.append((folder, f"/{path.name}", expression))
    return found


def of_folder(files: dict[str, str]) -> list[str]:
    """The expression that a folder's files make, and the files' names.

    >>> of_folder({"LICENSE-MIT": "MIT", "LICENSE-APACHE": "Apache-2.0"})
    ['Apache-2.0 OR MIT', 'LICENSE-APACHE, LICENSE-MIT']
    """
    names = sorted(name for name in files if not name.startswith("/")) or sorted(files)
    said = [files[name] for name in names if files[name]]
    if len(said) > 1 and all(CHOICE.match(name) for name in names):
        expression = " OR ".join(dict.fromkeys(f"({s})" if " AND " in s else s for s in said))
    else:
        expression = join_all(said)
    return [expression, ", ".join(name.lstrip("/") for name in names)]


def rule_folders(said: Path, item: tuple[Path, Path]) -> Path:
    """Write a shard's rulings: what each record inherits."""
    shard, out = item
    folders = json.loads(said.read_text(encoding="utf-8"))

    def ruled() -> Iterator[tuple[str, Ruling]]:
        for row in rows(shard, with_text=False):
            for folder in PurePosixPath(row.path).parents:
                found = folders.get(f"{row.source}:{folder.as_posix()}")
                if found is not None:
                    file = "/".join(part for part in (folder.as_posix(), found[1]) if part != ".")
                    said = {"repository_licence": found[0], "repository_licence_file": file}
                    yield row.id, Ruling(metadata=said)
                    break

    return write_rulings(out, ruled())
