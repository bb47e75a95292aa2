"""Artifacts: immutable directories that record how they were produced.

A stage writes its payload into a directory and then, atomically, `manifest.json`, whose presence
means that the artifact is complete. `key` is known before running (stage, version, configuration,
parents), so "already done" and resume are one lookup; `id` adds the payload's hashes. Times,
numbers, device, git and paths are in neither.

    out/
      manifest.json    written last
      …payload…        hashed into the id
      log/             metrics and curves: kept, never hashed (they contain times)
      ledger/          append-only files that may grow later (see ledger.py)
      .scratch/        checkpoints of an unfinished run; removed when it completes
      .lock            locked while a stage writes here
"""

import errno
import fcntl
import hashlib
import json
import os
import reprlib
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

from .config import Config, setting_differences
from .device import fingerprint
from .errors import (
    ArtifactError,
    ConfigError,
    GroundupError,
    Kind,
    describe_path,
    disk_error,
    kind_with_article,
    wrong_kind_message,
)

FORMAT = 1
MANIFEST = "manifest.json"
UNHASHED_NAMES = ("log", "ledger", ".scratch", ".lock", MANIFEST)
VERIFY_UP_TO_BYTES = 256 * 2**20
MAX_LISTED = 4
"""Number of differing settings that an error lists."""
SHORT = reprlib.Repr()
"""Shortens their values, such as a list of special tokens or a chat template."""
SHORT.maxstring = SHORT.maxother = 80


@dataclass(frozen=True)
class Parent:
    """An input of an artifact: its path (relative to the child) and its id."""

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
        """Open an artifact, of one of the kinds if any is given; check its manifest and files.

        Sizes are always compared, hashes only if the payload is at most 256 MiB.
        Raises ArtifactError naming the file, or the expected and the actual kind.
        """
        kinds = (kind,) if isinstance(kind, str) else kind
        if kinds and not (Path(path) / MANIFEST).is_file():
            raise ArtifactError(wrong_kind_message(kinds, describe_path(Path(path)), path))
        artifact = read_manifest(Path(path)).require_kind(*kinds)
        artifact.check_key()
        artifact.check_sizes()
        if artifact.bytes <= VERIFY_UP_TO_BYTES:
            artifact.check_hashes()
        return artifact

    @property
    def bytes(self) -> int:
        """Size of the payload in bytes."""
        return sum(entry["bytes"] for entry in self.files.values())

    def file(self, name: str) -> Path:
        """Path of one payload file; ArtifactError if the artifact has none of that name."""
        if name not in self.files:
            names = ", ".join(sorted(self.files))
            raise ArtifactError(f"{self.path} has no file {name}; it has {names}.")
        return self.path / name

    def require_kind(self, *kinds: Kind) -> "Artifact":
        """Return self if it is of one of the kinds; else ArtifactError naming a command."""
        if kinds and self.kind not in kinds:
            raise ArtifactError(wrong_kind_message(kinds, kind_with_article(self.kind), self.path))
        return self

    def check_key(self) -> None:
        """Recompute the key from stage, version, configuration and parents and compare."""
        inputs = [(parent.name, parent.id) for parent in self.parents]
        if _artifact_key(self.stage, self.version, self.config, inputs) != self.key:
            what = "was edited: its key is not the hash of its stage, configuration and parents"
            raise _damaged_error(self.path, MANIFEST, what)

    def check_sizes(self) -> None:
        """Compare every file's size with the manifest's."""
        for name, entry in self.files.items():
            path = self.path / name
            size = path.stat().st_size if path.is_file() else None
            if size is None:
                raise _damaged_error(self.path, name, "is missing")
            if size != entry["bytes"]:
                what = f"has {size} bytes; its manifest says {entry['bytes']}: truncated or edited"
                raise _damaged_error(self.path, name, what)

    def check_hashes(self) -> None:
        """Hash every file again and compare with the manifest."""
        for name, entry in self.files.items():
            if hash_file(self.path / name) != entry["sha256"]:
                what = "does not have the content that its manifest records: damaged or edited"
                raise _damaged_error(self.path, name, what)
        if _artifact_id(self.key, self.files) != self.id:
            what = f"was edited: its id {self.id[:12]} is not the hash of its key and files"
            raise _damaged_error(self.path, MANIFEST, what)

    def open_parent(self, parent: Parent) -> "Artifact | None":
        """Open an input; None if its path is missing or now has another artifact.

        Paths are relative, so a copied artifact may find another one there: ids decide.
        """
        place = (self.path / parent.path).resolve()
        if not (place / MANIFEST).is_file() or read_manifest(place).id != parent.id:
            return None
        return Artifact.open(place)


def check_kind(path: Path, *kinds: Kind) -> None:
    """Raise ArtifactError if a folder is an artifact of another kind; no artifact is accepted."""
    if (path / MANIFEST).is_file():
        read_manifest(path).require_kind(*kinds)
    elif "index" not in kinds and (came := describe_path(path)) == kind_with_article("index"):
        raise ArtifactError(wrong_kind_message(kinds, came, path))


def _damaged_error(path: Path, name: str, what: str) -> ArtifactError:
    return ArtifactError(f"{path / name} {what}; remove {path} and make it again.")


@dataclass
class Draft:
    """An artifact that is not published yet: where a stage's `write` function puts its files."""

    path: Path
    scratch: Path
    """For checkpoints; survives a kill, is emptied when the key changes, removed at the end."""
    log: Path
    """For metrics and curves; not part of the id."""
    numbers: dict[str, Any] = field(default_factory=dict)
    """Figures for people and reports; not part of the id."""

    @property
    def started_at(self) -> str:
        """Time when the stage first started here, before any resume: ISO 8601, UTC."""
        seconds = (self.scratch / "key").stat().st_mtime
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def file(self, name: str) -> Path:
        """Path for a payload file; parent folders are created."""
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
    """Return the artifact at `out`, running `write` only if it does not exist yet.

    A complete artifact with the same key is returned unchanged. A killed run with the same key
    keeps its `.scratch`, so `write` can resume.

    Raises ArtifactError if `out` contains something else or another run is writing there, and
    CapacityError if the disk is full.
    """
    inputs = [(name, parent.id) for name, parent in parents.items()]
    key = _artifact_key(stage, version, config.hashed_values(), inputs)
    # Keys once covered unhashed settings too, and settings had other names; both stay valid.
    older = (config.to_dict(), config.values_by_old_name())
    _check_output_folder(out := Path(out))  # before locking, which would create a file there
    with lock_folder(out):
        if (out / MANIFEST).exists():
            existing = Artifact.open(out)
            if existing.key in (key, *(_artifact_key(stage, version, v, inputs) for v in older)):
                shutil.rmtree(out / ".scratch", ignore_errors=True)
                return existing
            differs = _describe_difference(existing, stage, config, parents)
            raise ArtifactError(f"{out} already holds {differs}")
        draft = _open_draft(out, key)
        started = time.perf_counter()
        try:
            write(draft)
            manifest = _build_manifest(
                draft, kind=kind, stage=stage, version=version, config=config,
                parents=parents, key=key,
            )  # fmt: skip
            manifest["seconds"] = round(time.perf_counter() - started, 3)
            write_json(out / MANIFEST, manifest)
        except OSError as error:
            raise disk_error(out, error) from error
        except GroundupError:
            _remove_if_empty(out)
            raise
        shutil.rmtree(out / ".scratch", ignore_errors=True)
    return Artifact.open(out)


def _remove_if_empty(out: Path) -> None:
    files = [path for path in out.rglob("*") if path.is_file()]
    if all(path in (out / ".lock", out / ".scratch" / "key") for path in files):
        shutil.rmtree(out, ignore_errors=True)


def _check_output_folder(out: Path) -> None:
    """Raise if a folder holds anything but an artifact or the files of a killed run."""
    for name in (".scratch", "log", "ledger"):
        if (out / name).is_symlink():
            raise ArtifactError(f"{out / name} is a symbolic link; remove it.")
    if not out.is_dir() or (out / MANIFEST).exists() or (out / ".scratch" / "key").is_file():
        return
    if files := _output_entries(out):
        raise ArtifactError(
            f"{out} is not empty and holds no artifact ({files[0].name} is in it); "
            "choose another --out or empty it."
        )


def _output_entries(out: Path) -> list[Path]:
    """Entries of a folder other than a run's lock and scratch folder."""
    return sorted(p for p in out.iterdir() if p.name not in (".lock", ".scratch"))


def _open_draft(out: Path, key: str) -> Draft:
    """Clear an unfinished run's output and return a draft; a resumed run keeps its log."""
    _check_output_folder(out)  # again under the lock, because files are removed below
    scratch, mark = out / ".scratch", out / ".scratch" / "key"
    resumes = mark.is_file() and mark.read_text() == key
    for path in _output_entries(out):
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


def _build_manifest(
    draft: Draft, *, kind: Kind, stage: str, version: int, config: Config,
    parents: Mapping[str, Artifact], key: str,
) -> dict[str, Any]:  # fmt: skip
    """Hash the payload, sync it to disk and return the manifest."""
    files = {name: entry for name, entry in sorted(_hash_payload(draft.path))}
    for path in {path for name in files for path in (Path(name), *Path(name).parents)}:
        fsync_path(draft.path / path)  # else a power failure could leave the manifest alone
    return {
        "format": FORMAT,
        "kind": kind,
        "stage": stage,
        "version": version,
        "config": config.hashed_values(),
        "parents": [
            {"name": name, "path": os.path.relpath(parent.path, draft.path), "id": parent.id}
            for name, parent in parents.items()
        ],
        "files": files,
        "key": key,
        "id": _artifact_id(key, files),
        "numbers": draft.numbers,
        "device": fingerprint(),
        "git": _git_revision(),
    }


def _hash_payload(root: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in root.rglob("*"):
        name = path.relative_to(root)
        if path.is_file() and name.parts[0] not in UNHASHED_NAMES:
            yield name.as_posix(), {"sha256": hash_file(path), "bytes": path.stat().st_size}


def _artifact_key(
    stage: str, version: int, config: Mapping[str, Any], inputs: Iterable[tuple[str, str]]
) -> str:
    """Hash of what determines an artifact before it is produced; inputs are parents' (name, id)."""
    return digest([stage, version, config, [list(pair) for pair in inputs]])


def _artifact_id(key: str, files: Mapping[str, Mapping[str, Any]]) -> str:
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
    with open(require_regular_file(path), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_regular_file(path: Path) -> Path:
    """Return the path; OSError if it is a pipe or a device, whose reading may never end."""
    if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):
        raise OSError(errno.EINVAL, "no regular file", str(path))
    return path


def read_manifest(path: Path) -> Artifact:
    """Read a manifest without checking the payload."""
    if not path.is_dir():
        raise ArtifactError(f"{path} is not a directory; expected an artifact.")
    manifest = path / MANIFEST
    if not manifest.is_file():
        raise ArtifactError(
            f"{path} has no {MANIFEST}: no artifact, or not finished; run its command again."
        )
    try:
        data = json.loads(manifest.read_text(encoding="utf-8"))
        if data["format"] != FORMAT:
            version = data["format"]
            raise ArtifactError(f"{manifest} has format {version}; this groundup reads {FORMAT}.")
        if data["kind"] not in get_args(Kind):
            raise ArtifactError(f"{manifest} has the unknown kind {data['kind']!r}.")
        if any(Path(name).is_absolute() or ".." in Path(name).parts for name in data["files"]):
            raise ArtifactError(f"{manifest} names a file outside its directory.")
        if any({*entry} != {"sha256", "bytes"} for entry in data["files"].values()):
            raise ValueError("each file has sha256 and bytes")
        return Artifact(
            path=path,
            parents=tuple(Parent(**parent) for parent in data["parents"]),
            **{name: data[name] for name in MANIFEST_FIELDS},
        )
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged_error(path, MANIFEST, f"is damaged ({error})") from None


MANIFEST_FIELDS = (
    "kind", "stage", "version", "config", "files", "key", "id", "numbers", "seconds", "device",
    "git",
)  # fmt: skip


def _describe_difference(
    found: Artifact, stage: str, config: Config, parents: Mapping[str, Artifact]
) -> str:
    """How an existing artifact differs from the requested one, as the end of an error message."""
    remedy = "choose another --out, or remove it to make it anew."
    own = kind_with_article(found.kind)
    if found.stage != stage:
        return f"the output of stage {found.stage}, not of {stage}; {remedy}"
    try:  # former names are read, and what was not yet a setting has its default
        made_with = type(config)(**found.config).hashed_values()
    except ConfigError:
        made_with = found.config
    differs = list(setting_differences(made_with, config.hashed_values()))
    if differs:
        had = ", ".join(f"{each.name}={SHORT.repr(each.old)}" for each in differs[:MAX_LISTED])
        now = ", ".join(f"{each.name}={SHORT.repr(each.new)}" for each in differs[:MAX_LISTED])
        more = len(differs) - MAX_LISTED
        now += f" and {more} other setting{'s' * (more > 1)}" if more > 0 else ""
        verb = "is" if len(differs) == 1 else "are"
        return f"{own} made with {had}, and now {now} {verb} asked for; {remedy}"
    old = {parent.name: parent.id for parent in found.parents}
    for name, parent in parents.items():
        if old.get(name) != parent.id:
            return f"{own} made from another {name.partition('_')[0]}; {remedy}"
    return f"{own} of another version of its stage, or with fewer settings; {remedy}"


@contextmanager
def lock_folder(out: Path) -> Iterator[None]:
    """Lock the directory for this process; the lock ends with the process."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        handle = open(out / ".lock", "a+", opener=open_nofollow)  # noqa: SIM115  closed below
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
    """Write a file atomically and durably: a crash leaves either the old or the new content."""
    with atomic_replace(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def atomic_replace(path: Path) -> Iterator[Path]:
    """Yield a temporary path that is renamed to `path` when the block ends without an error.

    An existing file or link at the temporary path is removed, never written through.
    """
    temporary = path.with_name(f".{path.name}.partial")
    try:
        temporary.unlink(missing_ok=True)
        os.close(open_nofollow(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        mode = temporary.stat().st_mode
        yield temporary
        os.chmod(temporary, mode)  # safetensors puts a file in its place that is the user's alone
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        fsync_path(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def open_nofollow(path: str | Path, flags: int) -> int:
    """File opener that refuses symbolic links."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)


def fsync_path(path: Path) -> None:
    """fsync a directory (makes a rename durable) or a file."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _git_revision() -> str:
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
