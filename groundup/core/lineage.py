"""Lineage over a folder: the artifacts in it and their ancestors, resolved by id.

Paths change, ids do not: a copied or moved artifact still names its parents. Something that changes
over time (an index) is a folder whose ledger points to its current snapshot; see ledger.py.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from . import record
from .artifact import MANIFEST, Artifact, fsync_path, lock_folder, read_manifest
from .errors import ArtifactError, disk_error
from .ledger import Pointer

CURRENT_POINTER = Path("ledger") / "current.jsonl"
NEARBY_DEPTH = 3
"""Depth to which the parent folder is searched for artifacts."""


def artifact_paths(folder: Path) -> list[Path]:
    """The folder if it is an artifact, its current snapshot if it points to one, else nothing.

    Raises ArtifactError if it points outside its snapshots.
    """
    if (folder / MANIFEST).is_file():
        return [folder]
    file = folder / CURRENT_POINTER
    name = Pointer(file).value if file.is_file() else None
    if not isinstance(name, str):
        return []
    if "/" in name or name.startswith("."):
        raise ArtifactError(f"{file} points at {name!r}, which is no name of a snapshot.")
    return [folder / "snapshots" / name]


def open_current(path: Path) -> Artifact:
    """Open an artifact, or the current snapshot of a folder that points to one.

    Raises ArtifactError if there is neither.
    """
    paths = artifact_paths(Path(path))
    return Artifact.open(paths[0] if paths else path)


def find_artifacts(
    root: Path, damaged: list[str] | None = None, *, sizes: bool = False
) -> Iterator[Artifact]:
    """Yield every complete artifact in a folder, at any depth, without following links.

    Only manifests are read, and with `sizes` the files' sizes; unrelated manifest.json files are
    skipped. Without a list of the `damaged`, which are also logged, one raises ArtifactError.
    """
    root = Path(root)
    if not root.is_dir():
        raise ArtifactError(f"{root} is not a folder; expected one with artifacts in it.")
    for folder, inner, files in os.walk(root):
        inner.sort()
        if MANIFEST in files and not _is_unrelated_manifest(Path(folder) / MANIFEST):
            try:
                artifact = read_manifest(Path(folder))
                if sizes:
                    artifact.check_sizes()
            except ArtifactError as error:
                if damaged is None:
                    raise
                damaged.append(str(error))
                record.log(f"Damaged: {error}")
            else:
                yield artifact


def find_nearby_artifacts(folder: Path) -> Iterator[Artifact]:
    """Yield the artifacts near a folder but not in it, skipping damaged ones."""
    home = Path(folder).resolve()
    for depth in range(1, NEARBY_DEPTH + 1):
        for manifest in sorted(home.parent.glob("*/" * depth + MANIFEST)):
            if home not in manifest.parents:
                with contextlib.suppress(ArtifactError):
                    yield read_manifest(manifest.parent)


def _is_unrelated_manifest(manifest: Path) -> bool:
    try:
        data = json.loads(manifest.read_text(encoding="utf-8"))
    except ValueError:
        return False
    return not isinstance(data, dict) or not {"kind", "stage", "key"} & data.keys()


def current_snapshots(root: Path) -> Iterator[Artifact]:
    """Yield the current snapshot of each folder that points to one; damaged ones are skipped."""
    for folder, inner, _ in os.walk(Path(root)):
        inner.sort()
        if (Path(folder) / CURRENT_POINTER).is_file() and not (Path(folder) / MANIFEST).is_file():
            for path in artifact_paths(Path(folder)):
                with contextlib.suppress(ArtifactError):
                    yield read_manifest(path)


def reachable(roots: Iterable[str], known: Mapping[str, Artifact]) -> set[str]:
    """Ids of the roots and all their ancestors.

    known  artifacts by id; a parent that is not among them is included, but not its ancestors
    """
    ids: set[str] = set()
    pending = list(roots)
    while pending:
        name = pending.pop()
        if name in ids:
            continue
        ids.add(name)
        if name in known:
            pending += [parent.id for parent in known[name].parents]
    return ids


def is_within(path: Path, folder: Path) -> bool:
    """Whether a path lies in a folder after resolving links.

    Files of a Hugging Face cache, snapshots/REVISION/…, link to blobs next to `snapshots`.
    """
    home, real = folder.resolve(), path.resolve()
    revision = (each for each in (home, *home.parents) if each.parent.name == "snapshots")
    home = next((each.parents[1] for each in revision), home)
    return home == real or home in real.parents


def is_busy(path: Path) -> bool:
    """Whether a stage is writing to a folder, or was killed while writing."""
    if (path / ".scratch").exists():
        return True
    if not (path / ".lock").is_file():
        return False
    try:
        with lock_folder(path):
            return False
    except ArtifactError:
        return True


def _remove_files(artifact: Artifact) -> None:
    """Remove the files that a manifest names, without following links, then empty folders.

    Logs and ledgers are removed if nothing else remains.
    """
    home = artifact.path.resolve()
    folders = set()
    for name in artifact.files:
        folder = (home / name).parent
        if folder.resolve() == folder:
            (home / name).unlink(missing_ok=True)
            folders |= {up for up in folder.parents if home in up.parents} | {folder} - {home}
    for folder in sorted(folders, reverse=True):
        with contextlib.suppress(OSError):
            folder.rmdir()
    (home / ".lock").unlink(missing_ok=True)
    if {each.name for each in home.iterdir()} <= {"log", "ledger"}:
        shutil.rmtree(home)


def delete_artifact(artifact: Artifact) -> bool:
    """Delete an artifact; False if a stage writes there, or it was replaced or forged.

    Files that its manifest does not name stay. The manifest is removed first, so a crash leaves an
    incomplete folder, not an artifact.
    """
    try:
        with lock_folder(artifact.path):
            current = read_manifest(artifact.path)
            if current.id != artifact.id:
                return False
            current.check_key()
            current.check_sizes()
            (artifact.path / MANIFEST).unlink()
            fsync_path(artifact.path)
            _remove_files(current)
    except ArtifactError:
        return False
    except OSError as error:
        raise disk_error(artifact.path, error) from error
    return True
