"""Managing artifacts: differences, disk usage and garbage collection.

diff A B    configuration, inputs, numbers and files; tensors of models, lines of texts
du DIR      disk usage by artifact and kind, and duplicate files
gc DIR      artifacts that no release, report, verdict, index or human vote needs
"""

import difflib
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from groundup.core import (
    MANIFEST,
    Artifact,
    ConfigError,
    artifact_paths,
    current_snapshots,
    delete_artifact,
    find_artifacts,
    find_nearby_artifacts,
    is_busy,
    open_current,
    reachable,
    record,
)
from groundup.measure import release_history, release_labels

TEXT_SUFFIXES = (".json", ".jsonl", ".txt", ".md", ".jinja", ".csv", ".xml", ".html")
KEY_ORDER = ("kind", "stage", "version", "config", "from", "numbers", "file")
MAX_TEXT_BYTES = 2**20
MAX_DIFF_LINES, MAX_TENSORS_SHOWN, MAX_VALUE_CHARACTERS = 40, 12, 60
VOTES = Path("ledger") / "votes.jsonl"


class ArtifactDiff(NamedTuple):
    """Differences of two artifacts."""

    same: bool
    rows: tuple[tuple[str, Any, Any], ...]
    """(key, left value, right value); None where absent."""
    tensors: tuple[tuple[str, str], ...]
    """Tensor names and their differences, the largest change first."""
    texts: tuple[str, ...]
    """Differences of text files, line by line."""

    def __str__(self) -> str:
        """One row per difference, then tensors, then lines."""
        if self.same:
            return "Nothing differs."
        width = max((len(name) for name, _, _ in self.rows), default=0)
        shown = [
            f"  {n:<{width}}  {_format_value(a)} -> {_format_value(b)}" for n, a, b in self.rows
        ]
        shown += [f"  {name}  {how}" for name, how in self.tensors[:MAX_TENSORS_SHOWN]]
        if more := len(self.tensors) - MAX_TENSORS_SHOWN:
            shown += [f"  … and {more} more tensors"] if more > 0 else []
        return "\n".join([*shown, *self.texts])


def _format_value(value: Any) -> str:
    return (
        "nothing" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
    )


def diff(a: Path, b: Path) -> ArtifactDiff:
    """Compare two artifacts: their configuration, inputs and contents.

    a  an artifact, or an index
    b  another
    """
    first, second = open_current(a), open_current(b)
    left, right = _flat_manifest(first), _flat_manifest(second)
    keys = [key for key in {**left, **right} if left.get(key) != right.get(key)]
    keys.sort(key=lambda key: (KEY_ORDER.index(key.partition(".")[0]), key))
    rows = tuple((key, left.get(key), right.get(key)) for key in keys)
    tensors, texts = [], []
    for name in sorted(key.removeprefix("file.") for key in keys if key in left and key in right):
        if name.endswith(".safetensors"):
            tensors += _diff_tensors(first.path / name, second.path / name)
        elif name.endswith(TEXT_SUFFIXES) and name in first.files:
            texts += _diff_text(name, first.path / name, second.path / name)
    ordered = tuple(row[1:] for row in sorted(tensors, key=lambda row: (-row[0], row[1])))
    return ArtifactDiff(first.id == second.id and not rows, rows, ordered, tuple(texts))


def _flat_manifest(artifact: Artifact) -> dict[str, Any]:
    """All of a manifest by dotted name, which `diff` compares."""
    files = {name: f"{record.format_bytes(entry['bytes'])} {entry['sha256'][:12]}"
             for name, entry in artifact.files.items()}  # fmt: skip
    parents = {parent.name: parent.id[:12] for parent in artifact.parents}
    about = {"kind": artifact.kind, "stage": artifact.stage, "version": artifact.version}
    groups = {"config": artifact.config, "from": parents, "numbers": artifact.numbers}
    return about | _flatten_keys(groups) | {f"file.{name}": value for name, value in files.items()}


def _flatten_keys(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested values to dotted keys.

    >>> _flatten_keys({"optim": {"rate": 1}, "seed": 2})
    {'optim.rate': 1, 'seed': 2}
    """
    items = {}
    for name, value in values.items():
        is_group = isinstance(value, dict) and value
        items |= _flatten_keys(value, f"{prefix}{name}.") if is_group else {prefix + name: value}
    return items


def _diff_tensors(a: Path, b: Path) -> Iterator[tuple[float, str, str]]:
    """Yield (relative change, name, description) of each tensor that differs."""
    from safetensors import safe_open

    with safe_open(a, framework="pt") as left, safe_open(b, framework="pt") as right:
        names, others = set(left.keys()), set(right.keys())
        for name in sorted(names ^ others):
            yield float("inf"), name, f"only in {a if name in names else b}"
        for name in sorted(names & others):
            x, y = left.get_tensor(name), right.get_tensor(name)
            if (x.shape, x.dtype) != (y.shape, y.dtype):
                how = f"{list(x.shape)} {x.dtype} -> {list(y.shape)} {y.dtype}"
                yield float("inf"), name, how
            elif not x.equal(y):
                x, y = x.double(), y.double()
                apart, norm = float((y - x).norm()), float(x.norm())
                share = apart / norm if norm else float("inf")
                most = float((y - x).abs().max())
                yield share, name, f"|b - a| / |a| {share:.3g}, largest {most:.3g}"


def _diff_text(name: str, a: Path, b: Path) -> list[str]:
    if max(a.stat().st_size, b.stat().st_size) > MAX_TEXT_BYTES:
        return []
    left, right = (path.read_text("utf-8", "replace").splitlines() for path in (a, b))
    lines = list(difflib.unified_diff(left, right, f"a/{name}", f"b/{name}", n=1, lineterm=""))
    more = (
        [f"… and {len(lines) - MAX_DIFF_LINES} more lines"] if len(lines) > MAX_DIFF_LINES else []
    )
    return [line[:200] for line in lines[:MAX_DIFF_LINES]] + more


class DiskUsage(NamedTuple):
    """Disk usage of an artifact."""

    path: str
    kind: str
    bytes: int
    """Size of its files."""
    other_bytes: int
    """Size of logs, ledgers and run files."""


class DiskUsageReport(NamedTuple):
    """Disk usage of a folder's artifacts, the largest first."""

    artifacts: tuple[DiskUsage, ...]
    kinds: dict[str, int]
    total: int
    twice: int
    """Bytes of duplicate files, each copy after the first."""
    exit_code: int = 0
    """1 if an artifact is damaged; such are not counted."""

    def __str__(self) -> str:
        """One row per artifact, then per kind."""
        rows = [(own.path, own.kind, own.bytes + own.other_bytes) for own in self.artifacts]
        rows += [("all", kind, count) for kind, count in self.kinds.items()]
        width = max((len(name) for name, _, _ in rows), default=0)
        shown = [f"{record.format_bytes(n):>9}  {name:<{width}}  {kind}" for name, kind, n in rows]
        twice = f", {record.format_bytes(self.twice)} of it copies" if self.twice else ""
        return "\n".join([*shown, f"{record.format_bytes(self.total):>9}  in all{twice}"])


def du(directory: Path) -> DiskUsageReport:
    """Disk usage by artifact and by kind, and duplicate files; exit code 1 if one is damaged.

    directory  a folder with artifacts, at any depth
    """
    rooms, kinds, seen, twice, damaged = [], Counter(), set(), 0, list[str]()
    for artifact in find_artifacts(directory, damaged, sizes=True):
        rooms.append(room := _measure_usage(artifact, directory))
        kinds[artifact.kind] += room.bytes + room.other_bytes
        for name, entry in artifact.files.items():
            stat = (artifact.path / name).stat()
            is_copy = entry["sha256"] in seen and (stat.st_dev, stat.st_ino) not in seen
            twice += entry["bytes"] if is_copy else 0
            seen |= {entry["sha256"], (stat.st_dev, stat.st_ino)}
    ordered = sorted(rooms, key=lambda usage: (-usage.bytes - usage.other_bytes, usage.path))
    total, code = sum(kinds.values()), int(bool(damaged))
    return DiskUsageReport(tuple(ordered), dict(kinds.most_common()), total, twice, code)


def _measure_usage(artifact: Artifact, directory: Path) -> DiskUsage:
    payload, other_bytes = {artifact.path / name for name in artifact.files}, 0
    for folder, inner, names in os.walk(artifact.path):
        inner[:] = [name for name in inner if not (Path(folder) / name / MANIFEST).is_file()]
        files = {Path(folder) / name for name in names} - payload
        other_bytes += sum(file.lstat().st_size for file in files)
    path = str(artifact.path.relative_to(directory))
    return DiskUsage(path, artifact.kind, artifact.bytes, other_bytes)


class GarbageReport(NamedTuple):
    """Unneeded artifacts."""

    unneeded: tuple[str, ...]
    bytes: int
    kept: int
    deleted: bool
    exit_code: int = 0
    """1 if a manifest is damaged."""

    def __str__(self) -> str:
        """One line per artifact, then the space that is, or would be, freed."""
        do = "repair what is damaged first" if self.exit_code else "add --delete"
        done = "deleted" if self.deleted else f"nothing was deleted; {do}"
        tail = f"{record.format_bytes(self.bytes)} in {len(self.unneeded)} unneeded artifacts"
        return "\n".join([*self.unneeded, f"{tail}, {self.kept} are kept: {done}."])


def gc(directory: Path, *, releases: Path | None = None, delete: bool = False) -> GarbageReport:
    """Find artifacts that no release, report, verdict, index or human vote needs.

    Their ancestors are needed as well, and so are ancestors of artifacts next to the folder. An
    artifact that is being written, or is outside the folder, is never deleted. Where a manifest is
    damaged, what that artifact needs is unknown: nothing is deleted, and the exit code is 1. Raises
    ConfigError if the folder is itself an artifact, or `releases` does not exist.

    directory  a folder with artifacts, at any depth
    releases   folder of the labels' ledgers; default: `releases` here and in the directory
    delete     delete them; by default they are only listed
    """
    _check_folders(directory, releases)
    artifacts = list(find_artifacts(directory, damaged := list[str]()))
    delete = delete and not damaged
    places = [releases] if releases else [Path("releases"), Path(directory) / "releases"]
    roots = {one.id for one in artifacts if one.kind in ("report", "verdict")}
    roots |= {one.id for one in artifacts if (one.path / VOTES).exists()}
    roots |= {one.id for one in current_snapshots(directory)} | _parents_of_neighbours(directory)
    lines = [line for place in places for label in release_labels(place)
             for line in release_history(label, place).lines]  # fmt: skip
    roots |= {part.id for line in lines for part in line.parts}
    roots |= {line.verdict["id"] for line in lines}
    keep = reachable(roots, {one.id: one for one in artifacts})
    inside = {folder for one in artifacts if one.id in keep for folder in one.path.parents}
    loose = [one for one in artifacts if one.id not in keep and one.path not in inside]
    rooms = [(one, _measure_usage(one, directory)) for one in loose if not is_busy(one.path)]
    gone = [room for one, room in rooms if not delete or delete_artifact(one)]
    total = sum(room.bytes + room.other_bytes for room in gone)
    paths = tuple(room.path for room in gone)
    kept = len(artifacts) - len(gone)
    return GarbageReport(paths, total, kept, delete, int(bool(damaged)))


def _check_folders(directory: Path, releases: Path | None) -> None:
    """Raise ConfigError where `gc` could not know what is needed."""
    if (Path(directory) / MANIFEST).is_file():
        raise ConfigError(
            f"{directory} is an artifact; expected the folder that it lies in, for what came from "
            f"it lies next to it: `groundup gc {Path(directory).resolve().parent}`."
        )
    if releases is not None and not Path(releases).is_dir():
        raise ConfigError(
            f"--releases {releases} is not a folder; expected the one with the labels' ledgers, "
            "for without them what was released would be deleted."
        )


def _parents_of_neighbours(directory: Path) -> set[str]:
    """Ids of parents, inside a folder or missing, of the artifacts next to it.

    Includes the current snapshot if the folder holds the snapshots of an index.
    """
    home = Path(directory).resolve()
    ids = {Artifact.open(path).id for path in artifact_paths(home.parent)}
    for artifact in find_nearby_artifacts(home):
        for parent in artifact.parents:
            path = (artifact.path / parent.path).resolve()
            if home in path.parents or not path.is_dir():
                ids.add(parent.id)
    return ids
