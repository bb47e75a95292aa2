"""Lineage over a folder: which artifacts lie in it, and what each needs, followed by id.

Places change, ids do not: a copy that was moved still names its parents. What changes over time (an
index) is a folder whose ledger points at its current snapshot; see ledger.py.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from .artifact import (
    MANIFEST,
    Artifact,
    locked,
    read_manifest,
    sync_directory,
)
from .errors import ArtifactError, disk_error
from .ledger import Pointer

CURRENT = Path("ledger") / "current.jsonl"
BESIDE = 3
"""Folders deep that artifacts beside a folder are looked for."""


def artifact_places(folder: Path) -> list[Path]:
    """The folder if it is an artifact, the current snapshot if it points at one, else nothing.

    Raises ArtifactError if it points out of its snapshots.
    """
    if (folder / MANIFEST).is_file():
        return [folder]
    place = folder / CURRENT
    name = Pointer(place).value if place.is_file() else None
    if not isinstance(name, str):
        return []
    if "/" in name or name.startswith("."):
        raise ArtifactError(f"{place} points at {name!r}, which is no name of a snapshot.")
    return [folder / "snapshots" / name]


def open_current(path: Path) -> Artifact:
    """Open an artifact, or the current snapshot of a folder that points at one.

    Raises ArtifactError if there is neither.
    """
    found = artifact_places(Path(path))
    return Artifact.open(found[0] if found else path)


def artifacts_below(root: Path) -> Iterator[Artifact]:
    """Yield every complete artifact in a folder, at any depth; links are not followed.

    Only manifests are read, and those of others (a web page's, say) are passed over. Raises
    ArtifactError if one is damaged, for what it needs cannot be known.
    """
    root = Path(root)
    if not root.is_dir():
        raise ArtifactError(f"{root} is not a folder; expected one with artifacts in it.")
    for folder, inner, files in os.walk(root):
        inner.sort()
        if MANIFEST in files and not is_foreign(Path(folder) / MANIFEST):
            yield read_manifest(Path(folder))


def artifacts_beside(folder: Path) -> Iterator[Artifact]:
    """Yield the artifacts near a folder and not in it, damaged ones passed over."""
    home = Path(folder).resolve()
    for depth in range(1, BESIDE + 1):
        for manifest in sorted(home.parent.glob("*/" * depth + MANIFEST)):
            if home not in manifest.parents:
                with contextlib.suppress(ArtifactError):
                    yield read_manifest(manifest.parent)


def is_foreign(manifest: Path) -> bool:
    """Whether a file of that name is JSON of something else."""
    try:
        data = json.loads(manifest.read_text(encoding="utf-8"))
    except ValueError:
        return False
    return not isinstance(data, dict) or not {"kind", "stage", "key"} & data.keys()


def current_snapshots(root: Path) -> Iterator[Artifact]:
    """Yield the current snapshot of each folder that points at one."""
    for folder, inner, _ in os.walk(Path(root)):
        inner.sort()
        if (Path(folder) / CURRENT).is_file() and not (Path(folder) / MANIFEST).is_file():
            yield from map(read_manifest, artifact_places(Path(folder)))


def needed(roots: Iterable[str], known: Mapping[str, Artifact]) -> set[str]:
    """Ids of the roots and of all that they came from, back to the first.

    known  artifacts by id; a parent that is not among them is needed too, and ends its branch
    """
    found: set[str] = set()
    left = list(roots)
    while left:
        name = left.pop()
        if name in found:
            continue
        found.add(name)
        if name in known:
            left += [parent.id for parent in known[name].parents]
    return found


def is_within(path: Path, folder: Path) -> bool:
    """Whether a path, its links followed, lies in a folder.

    The files of a hub's cache, snapshots/REVISION/…, are links to blobs beside the snapshots.
    """
    home, real = folder.resolve(), path.resolve()
    revision = (each for each in (home, *home.parents) if each.parent.name == "snapshots")
    home = next((each.parents[1] for each in revision), home)
    return home == real or home in real.parents


def is_busy(path: Path) -> bool:
    """Whether a stage is writing in a folder, or was killed while it did."""
    if (path / ".scratch").exists():
        return True
    if not (path / ".lock").is_file():
        return False
    try:
        with locked(path):
            return False
    except ArtifactError:
        return True


def remove_files(artifact: Artifact) -> None:
    """Remove what a manifest names, through no link, then folders that are empty.

    Logs and ledgers go if nothing else is left.
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


def erase(artifact: Artifact) -> bool:
    """Delete an artifact; False if a stage writes there, or it is another one by now, or forged.

    Files that its manifest does not name stay. The manifest goes first, so that what a crash leaves
    is no artifact any more.
    """
    try:
        with locked(artifact.path):
            found = read_manifest(artifact.path)
            if found.id != artifact.id:
                return False
            found.check_key()
            found.check_sizes()
            (artifact.path / MANIFEST).unlink()
            sync_directory(artifact.path)
            remove_files(found)
    except ArtifactError:
        return False
    except OSError as error:
        raise disk_error(artifact.path, error) from error
    return True
