"""Artifacts: immutable directories that know what made them.

A stage writes its payload into a directory and, last and atomically, `manifest.json`; its presence
means that the artifact is complete. `key` is known before running (stage, version, configuration,
parents), so "already done" and resume are one look-up; `id` adds the payload's hashes. Times,
numbers, device, git and paths are in neither.

    out/
      manifest.json    written last
      …payload…        hashed into the id
      log/             metrics and curves: kept, never hashed (they hold times)
      ledger/          what may change later (see ledger.py)
      .scratch/        checkpoints of a run that has not ended; removed at the end
      .lock            held while a stage writes here
"""

import errno
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

from .config import Config, differing, how_run
from .device import fingerprint
from .errors import ArtifactError, GroundupError, disk_error
from .kinds import Kind, an, what_is_there, wrong_kind

FORMAT = 1
MANIFEST = "manifest.json"
OUTSIDE_THE_ID = ("log", "ledger", ".scratch", ".lock", MANIFEST)
VERIFY_UP_TO_BYTES = 256 * 2**20
MOST_TOLD = 4
"""Settings that an error names when many differ."""


@dataclass(frozen=True)
class Parent:
    """An input of an artifact: where it was (relative to the child) and what it was."""

    name: str
    path: str
    id: str


@dataclass(frozen=True)
class Artifact:
    """A complete artifact on disk."""

    path: Path
    kind: Kind
    stage: str
    version: int
    config: dict[str, Any]
    parents: tuple[Parent, ...]
    files: dict[str, dict[str, Any]]
    key: str
    id: str
    numbers: dict[str, Any]
    seconds: float
    device: dict[str, Any]
    git: str

    @classmethod
    def open(cls, path: Path | str, kind: Kind | tuple[Kind, ...] = ()) -> "Artifact":
        """Open an artifact, of one of the kinds if any is given; check its manifest and its files.

        Sizes are always compared; hashes too when the payload is at most 256 MiB.
        Raises ArtifactError naming the file, or the kind that was expected and the one that came.
        """
        kinds = (kind,) if isinstance(kind, str) else kind
        if kinds and not (Path(path) / MANIFEST).is_file():
            raise ArtifactError(wrong_kind(kinds, what_is_there(Path(path)), path))
        artifact = read_manifest(Path(path)).require_kind(*kinds)
        artifact.check_key()
        artifact.check_sizes()
        if artifact.bytes <= VERIFY_UP_TO_BYTES:
            artifact.check_hashes()
        return artifact

    @property
    def bytes(self) -> int:
        """Size of the payload."""
        return sum(entry["bytes"] for entry in self.files.values())

    def file(self, name: str) -> Path:
        """Path of one payload file; ArtifactError if the artifact has none of that name."""
        if name not in self.files:
            raise ArtifactError(
                f"{self.path} has no file {name}; it has {', '.join(sorted(self.files))}."
            )
        return self.path / name

    def require_kind(self, *kinds: Kind) -> "Artifact":
        """This artifact, if it is of one of the kinds; else ArtifactError with what makes one."""
        if kinds and self.kind not in kinds:
            raise ArtifactError(wrong_kind(kinds, an(self.kind), self.path))
        return self

    def check_key(self) -> None:
        """Compute the key again from stage, version, configuration and parents."""
        inputs = [(parent.name, parent.id) for parent in self.parents]
        if artifact_key(self.stage, self.version, self.config, inputs) != self.key:
            raise ArtifactError(
                f"{self.path / MANIFEST} was edited: its key is not the hash of its stage, "
                f"version, configuration and parents; {REMAKE.format(self.path)}"
            )

    def check_sizes(self) -> None:
        """Compare every file's size with the manifest's."""
        for name, entry in self.files.items():
            path = self.path / name
            found = path.stat().st_size if path.is_file() else None
            if found is None:
                raise ArtifactError(f"{path} is missing; {REMAKE.format(self.path)}")
            if found != entry["bytes"]:
                raise ArtifactError(
                    f"{path} has {found} bytes; its manifest says {entry['bytes']}: it was "
                    f"truncated or edited; {REMAKE.format(self.path)}"
                )

    def check_hashes(self) -> None:
        """Hash every file again and compare with the manifest's sums."""
        for name, entry in self.files.items():
            if hash_file(self.path / name) != entry["sha256"]:
                raise ArtifactError(
                    f"{self.path / name} does not have the content that its manifest records: it "
                    f"was damaged or edited; {REMAKE.format(self.path)}"
                )
        if artifact_id(self.key, self.files) != self.id:
            raise ArtifactError(
                f"{self.path / MANIFEST} was edited: its id {self.id[:12]} is not the hash of its "
                f"key and files; {REMAKE.format(self.path)}"
            )

    def open_parent(self, parent: Parent) -> "Artifact | None":
        """Open an input; None if it is not in its place, where another artifact may be by now.

        Places are relative, so a copy of an artifact may meet strangers: ids decide.
        """
        place = (self.path / parent.path).resolve()
        if not (place / MANIFEST).is_file() or read_manifest(place).id != parent.id:
            return None
        return Artifact.open(place)


def check_kind(path: Path, *kinds: Kind) -> None:
    """Raise ArtifactError if a folder is an artifact of another kind; one that is none may be."""
    if (path / MANIFEST).is_file():
        read_manifest(path).require_kind(*kinds)
    elif "index" not in kinds and (came := what_is_there(path)) == an("index"):
        raise ArtifactError(wrong_kind(kinds, came, path))


REMAKE = "remove {0} and make it again."


@dataclass
class Draft:
    """An artifact being written: the stage's body gets one."""

    path: Path
    scratch: Path
    """For checkpoints; survives a kill, emptied when key changes, removed at the end."""
    log: Path
    """For metrics and curves, kept beside the payload but outside the id."""
    numbers: dict[str, Any] = field(default_factory=dict)
    """Figures that a person or a report wants; outside the id."""

    @property
    def began(self) -> str:
        """When the stage first began here, before any kill that it survived: ISO 8601, UTC."""
        seconds = (self.scratch / "key").stat().st_mtime
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def file(self, name: str) -> Path:
        """Path for a payload file; folders in between are made."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def produce(
    out: Path,
    *,
    kind: Kind,
    stage: str,
    version: int,
    config: Config,
    parents: Mapping[str, Artifact],
    write: Callable[[Draft], None],
) -> Artifact:
    """Return the artifact at `out`, running `write` only if it is not there yet.

    A complete artifact of the same key is returned as it is. Leftovers of a killed run with the
    same key keep their `.scratch`, so `write` can resume.

    Raises ArtifactError if `out` holds something else or another run is writing there, and
    CapacityError if the disk is full.
    """
    inputs = [(name, parent.id) for name, parent in parents.items()]
    key = artifact_key(stage, version, config.deciding(), inputs)
    earlier = artifact_key(stage, version, config.plain(), inputs)  # when all settings were in it
    out = Path(out)
    check_free(out)  # before the lock, which would leave a file in a folder of others
    with locked(out):
        if (out / MANIFEST).exists():
            found = Artifact.open(out)
            if found.key in (key, earlier):
                shutil.rmtree(out / ".scratch", ignore_errors=True)
                return found
            differs = what_differs(found, stage, config, parents)
            raise ArtifactError(f"{out} already holds {differs}")
        draft = begin(out, key)
        started = time.perf_counter()
        try:
            write(draft)
            manifest = describe(
                draft, kind=kind, stage=stage, version=version, config=config,
                parents=parents, key=key,
            )  # fmt: skip
            manifest["seconds"] = round(time.perf_counter() - started, 3)
            write_json(out / MANIFEST, manifest)
        except OSError as error:
            raise disk_error(out, error) from error
        except GroundupError:
            sweep(out)
            raise
        shutil.rmtree(out / ".scratch", ignore_errors=True)
    return Artifact.open(out)


def sweep(out: Path) -> None:
    """Leave nothing of a stage that was refused before it made anything."""
    kept = [path for path in out.rglob("*") if path.is_file()]
    if all(path in (out / ".lock", out / ".scratch" / "key") for path in kept):
        shutil.rmtree(out, ignore_errors=True)


def check_free(out: Path) -> None:
    """Raise if a folder holds anything but an artifact or what a killed run left."""
    for name in (".scratch", "log", "ledger"):
        if (out / name).is_symlink():
            raise ArtifactError(f"{out / name} is a link, which nothing is written through.")
    if not out.is_dir() or (out / MANIFEST).exists() or (out / ".scratch" / "key").is_file():
        return
    if found := contents(out):
        raise ArtifactError(
            f"{out} is not empty and holds no artifact ({found[0].name} is in it); "
            "choose another --out or empty it."
        )


def contents(out: Path) -> list[Path]:
    """What is in a folder besides the marks of a run."""
    return sorted(p for p in out.iterdir() if p.name not in (".lock", ".scratch"))


def begin(out: Path, key: str) -> Draft:
    """Clear what an unfinished run left behind and give a draft; one that goes on keeps its log."""
    check_free(out)  # again under the lock: what follows removes files
    scratch, mark = out / ".scratch", out / ".scratch" / "key"
    resumes = mark.is_file() and mark.read_text() == key
    for path in contents(out):
        if resumes and path.name == "log":
            continue
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    if not resumes:
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        write_text(mark, key)
    log = out / "log"
    log.mkdir(exist_ok=True)
    return Draft(out, scratch, log)


def describe(
    draft: Draft, *, kind: Kind, stage: str, version: int, config: Config,
    parents: Mapping[str, Artifact], key: str,
) -> dict[str, Any]:  # fmt: skip
    """Hash the payload, make it durable and return the manifest."""
    files = {name: entry for name, entry in sorted(payload(draft.path))}
    for path in {path for name in files for path in (Path(name), *Path(name).parents)}:
        sync_directory(draft.path / path)  # else a power failure could leave the manifest alone
    return {
        "format": FORMAT,
        "kind": kind,
        "stage": stage,
        "version": version,
        "config": config.deciding(),
        "parents": [
            {"name": name, "path": os.path.relpath(parent.path, draft.path), "id": parent.id}
            for name, parent in parents.items()
        ],
        "files": files,
        "key": key,
        "id": artifact_id(key, files),
        "numbers": draft.numbers,
        "device": fingerprint(),
        "git": git_revision(),
    }


def payload(root: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every payload file's name with its hash and size."""
    for path in root.rglob("*"):
        name = path.relative_to(root)
        if path.is_file() and name.parts[0] not in OUTSIDE_THE_ID:
            yield name.as_posix(), {"sha256": hash_file(path), "bytes": path.stat().st_size}


def artifact_key(
    stage: str, version: int, config: Mapping[str, Any], inputs: Iterable[tuple[str, str]]
) -> str:
    """Hash of what decides an artifact before it is made; inputs are (name, id) of its parents."""
    return digest([stage, version, config, [list(each) for each in inputs]])


def artifact_id(key: str, files: Mapping[str, Mapping[str, Any]]) -> str:
    """Hash of the key and every payload file's name and content."""
    return digest([key, [[name, files[name]["sha256"]] for name in sorted(files)]])


def digest(value: Any) -> str:
    """sha256 of a JSON value in canonical form, hex.

    >>> digest({"b": 1, "a": 2}) == digest({"a": 2, "b": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def hash_file(path: Path) -> str:
    """sha256 of a file's bytes, hex."""
    with open(regular(path), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def regular(path: Path) -> Path:
    """The path; OSError if it leads to a pipe or a device, which may be read without end."""
    if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):
        raise OSError(errno.EINVAL, "no regular file", str(path))
    return path


def read_manifest(path: Path) -> Artifact:
    """Read a manifest without touching the payload."""
    if not path.is_dir():
        raise ArtifactError(f"{path} is not a directory; expected an artifact.")
    manifest = path / MANIFEST
    if not manifest.is_file():
        raise ArtifactError(
            f"{path} has no {MANIFEST}: it is no artifact, or its stage did not finish; "
            "run the command that makes it again."
        )
    try:
        data = json.loads(manifest.read_text(encoding="utf-8"))
        if data["format"] != FORMAT:
            raise ArtifactError(
                f"{manifest} has format {data['format']}; this groundup reads {FORMAT}."
            )
        if data["kind"] not in get_args(Kind):
            raise ArtifactError(f"{manifest} has the unknown kind {data['kind']!r}.")
        if any(Path(name).is_absolute() or ".." in Path(name).parts for name in data["files"]):
            raise ArtifactError(f"{manifest} names a file outside its directory.")
        if any({*entry} != {"sha256", "bytes"} for entry in data["files"].values()):
            raise ValueError("each file has sha256 and bytes")
        return Artifact(
            path=path,
            parents=tuple(Parent(**parent) for parent in data["parents"]),
            **{name: data[name] for name in PLAIN_FIELDS},
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{manifest} is damaged ({error}); {REMAKE.format(path)}") from None


PLAIN_FIELDS = (
    "kind", "stage", "version", "config", "files", "key", "id", "numbers", "seconds", "device",
    "git",
)  # fmt: skip


def what_differs(
    found: Artifact, stage: str, config: Config, parents: Mapping[str, Artifact]
) -> str:
    """Say in half a sentence how a found artifact differs from the wanted one."""
    remedy = "choose another --out, or remove it to make it anew."
    if found.stage != stage:
        return f"the output of stage {found.stage}, not of {stage}; {remedy}"
    kept = {name: old for name, old in found.config.items() if name not in how_run(type(config))}
    differs = list(differing(kept, config.deciding()))
    if differs:
        had = ", ".join(f"{each.name}={each.old!r}" for each in differs[:MOST_TOLD])
        now = ", ".join(f"{each.name}={each.new!r}" for each in differs[:MOST_TOLD])
        more = len(differs) - MOST_TOLD
        now += f" and {more} other setting{'s' * (more > 1)}" if more > 0 else ""
        verb = "is" if len(differs) == 1 else "are"
        return f"a {found.kind} made with {had}, and now {now} {verb} asked for; {remedy}"
    old = {parent.name: parent.id for parent in found.parents}
    for name, parent in parents.items():
        if old.get(name) != parent.id:
            return f"a {found.kind} made from another {name}; {remedy}"
    return f"a {found.kind} of another version of its stage; {remedy}"


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Hold the directory for this process; the lock dies with the process."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        handle = open(out / ".lock", "a+", opener=unlinked)  # noqa: SIM115  closed below
    except OSError as error:
        raise disk_error(out, error) from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ArtifactError(
                f"Another run is writing to {out}; wait for it or choose another --out."
            ) from None
        yield


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically and durably."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically and durably."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file so that a crash leaves the old one or the new one, never a half."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path that becomes `path` when the block ends without an error.

    The file is new: what lay there, a link of somebody's to another file, is removed unread.
    """
    temporary = path.with_name(f".{path.name}.partial")
    try:
        temporary.unlink(missing_ok=True)
        os.close(unlinked(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_directory(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def unlinked(path: str | Path, flags: int) -> int:
    """An opener that follows no link."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)


def sync_directory(path: Path) -> None:
    """Make a rename in this directory durable, or what was written to a file."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def git_revision() -> str:
    """Revision of the checkout that groundup runs from, or an empty string."""
    root = Path(__file__).resolve().parents[2]
    head = root / ".git" / "HEAD"
    try:
        text = head.read_text().strip()
        if not text.startswith("ref: "):
            return text
        reference = root / ".git" / text[5:]
        return reference.read_text().strip() if reference.is_file() else ""
    except OSError:
        return ""
