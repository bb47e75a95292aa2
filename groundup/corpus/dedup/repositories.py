"""Repositories seen whole: copies and forks, and the licence that a folder hands down.

A repository is the set of its files' hashes; two that share most of them are one, and the one with
the higher priority stays, whole. Forks are compared with repositories that stay, never with one
that goes, so likeness does not chain. A folder's licence file speaks for what lies below it until a
deeper one speaks, and what a file itself states goes first (see documents/code/licences.py).
"""

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from groundup.core import Config
from groundup.documents import Ruling, arrow, join_all, licence_of

from ..engine.rulings import write_rulings
from ..engine.survey import Each

HASHES, ROWS = 256, 4
NOTHING = np.iinfo(np.uint64).max
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


class RepositoriesConfig(Config):
    """When two repositories are one."""

    jaccard: float = 0.5
    """Share of files of both that both hold, from which one goes. Source: own, by
    benchmarks/code_copies.py: of 9,457 pairs of different packages none reaches .001, of real
    copies half reach .5. The Stack v2 (arXiv:2402.19173) takes .7 for near-duplicate files."""
    min_files: int = 3
    """Smaller repositories are left to the removal of duplicate files. Source: own."""
    depth: int = 1
    """Folders of the path that name a repository, where no reader has set `repository`. Source: own
    judgement."""
    priority: str = "stars"
    """Key of the metadata whose larger number stays; then more files, then the smaller name."""


class FolderLicencesConfig(Config):
    """Which files speak for a folder."""

    manifests: bool = True
    """Also package.json, Cargo.toml and their like, where a folder has no licence file."""


class Row(NamedTuple):
    """What a survey reads of a record."""

    id: str
    source: str
    path: str
    text: str
    metadata: dict[str, Any]


class Repositories:
    """Survey: drops repositories that are copies of others."""

    def __init__(self, config: RepositoriesConfig) -> None:
        self.config = config

    def rulings(self, shards: Sequence[Path], each: Each, scratch: Path) -> Sequence[Path]:
        """Write the rulings of every shard."""
        scratch.mkdir(parents=True, exist_ok=True)
        items = [(shard, scratch / f"sketch-{at:05}.npz") for at, shard in enumerate(shards)]
        each(partial(sketch_shard, self.config.depth, self.config.priority), items)
        lost = copies(merged(path for _, path in items), self.config)
        (scratch / "copies.json").write_text(json.dumps(lost, sort_keys=True), encoding="utf-8")
        tasks = [(shard, scratch / f"rulings-{at:05}.parquet") for at, shard in enumerate(shards)]
        return each(partial(rule_copies, scratch / "copies.json", self.config.depth), tasks)


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


class Sketch(NamedTuple):
    """A repository as the smallest values of many hashes over its files."""

    minima: np.ndarray
    files: int
    priority: float


def rows(shard: Path, with_text: bool) -> Iterator[Row]:
    """Yield the records of a shard, a row group at a time."""
    import pyarrow.parquet as parquet

    arrow()
    columns = ["id", "source", "path", "metadata", *(["text"] if with_text else [])]
    with parquet.ParquetFile(shard) as file:
        for batch in file.iter_batches(batch_size=512, columns=columns):
            for row in batch.to_pylist():
                metadata = json.loads(row["metadata"])
                yield Row(row["id"], row["source"], row["path"], row.get("text", ""), metadata)


def repository_of(row: Row, depth: int) -> str:
    """The name of a record's repository; empty if its path is too short to say.

    >>> repository_of(Row("", "git", "ann/tool/src/a.py", "", {}), 2)
    'git:ann/tool'
    """
    if named := row.metadata.get("repository"):
        return f"{row.source}:{named}"
    parts = row.path.split("/")
    return f"{row.source}:{'/'.join(parts[:depth])}" if len(parts) > depth else ""


def mixed(values: np.ndarray) -> np.ndarray:
    """A hash of each value by each of the functions: splitmix64 from as many seeds."""
    seeds = np.arange(1, HASHES + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = values[:, None] + seeds
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def sketch_shard(depth: int, priority: str, item: tuple[Path, Path]) -> None:
    """Write the sketches of the repositories in one shard."""
    shard, out = item
    files: dict[str, set[int]] = defaultdict(set)
    best: dict[str, float] = defaultdict(float)
    for row in rows(shard, with_text=True):
        if name := repository_of(row, depth):
            digest = hashlib.blake2b(row.text.encode("utf-8", "surrogatepass"), digest_size=8)
            files[name].add(int.from_bytes(digest.digest(), "big"))
            said = row.metadata.get(priority)
            if isinstance(said, int | float):
                best[name] = max(best[name], float(said))
    names = sorted(files)
    minima = np.full((len(names), HASHES), NOTHING, np.uint64)
    for at, name in enumerate(names):
        values = np.array(sorted(files[name]), np.uint64)
        for start in range(0, len(values), 4_096):
            hashed = mixed(values[start : start + 4_096])
            minima[at] = np.minimum(minima[at], hashed.min(axis=0))
    np.savez(
        out, names=np.array(names, dtype=str), minima=minima,
        files=np.array([len(files[name]) for name in names], np.int64),
        priority=np.array([best[name] for name in names]),
    )  # fmt: skip


def merged(paths: Iterator[Path]) -> dict[str, Sketch]:
    """The sketches of all shards, those of a repository joined."""
    found: dict[str, Sketch] = {}
    for path in paths:
        with np.load(path, allow_pickle=False) as part:
            columns = (part["names"], part["minima"], part["files"], part["priority"])
            for name, minima, files, priority in zip(*columns, strict=True):
                old = found.get(str(name))
                if old:
                    minima = np.minimum(minima, old.minima)
                    files, priority = files + old.files, max(priority, old.priority)
                found[str(name)] = Sketch(minima, int(files), float(priority))
    return found


def copies(sketches: dict[str, Sketch], config: RepositoriesConfig) -> dict[str, list[Any]]:
    """Repositories that go: name → the one that stays, and how alike they are."""
    order = sorted(
        (name for name, one in sketches.items() if one.files >= config.min_files),
        key=lambda name: (-sketches[name].priority, -sketches[name].files, name),
    )
    bands: dict[tuple[int, bytes], list[str]] = defaultdict(list)
    lost: dict[str, list[Any]] = {}
    for name in order:
        minima = sketches[name].minima
        keys = [(at, minima[at : at + ROWS].tobytes()) for at in range(0, HASHES, ROWS)]
        near = {other for key in keys for other in bands.get(key, ())}
        alike = [(float(np.mean(sketches[other].minima == minima)), other) for other in near]
        best = max(alike, key=lambda one: (one[0], one[1]), default=(0.0, ""))
        if best[0] >= config.jaccard:
            lost[name] = [best[1], round(best[0], 4)]
            continue
        for key in keys:
            bands[key].append(name)
    return lost


def rule_copies(lost: Path, depth: int, item: tuple[Path, Path]) -> Path:
    """Write a shard's rulings about copies."""
    shard, out = item
    gone = json.loads(lost.read_text(encoding="utf-8"))

    def ruled() -> Iterator[tuple[str, Ruling]]:
        for row in rows(shard, with_text=False):
            if (found := gone.get(repository_of(row, depth))) is not None:
                said = f"kept: {found[0].partition(':')[2]}"
                yield row.id, Ruling("code: copy of a repository", found[1], said)

    return write_rulings(out, ruled())


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
