"""Git repositories: the files at HEAD, read from the object store without a checkout.

Only three plumbing commands run, without system and user configuration, hooks, filters, file system
monitor, replaced objects or network, because a repository's configuration could name programs to
run. Links and submodules are rejected. The root is a repository, bare or with a work tree, or a
folder of repositories.
"""

import os
import stat
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from groundup.core import DataError

from ..document import Record
from .files import KIND_BY_SUFFIX, kind_of_file, make_record
from .reader import (
    SKIPPED_FOLDERS,
    InputSplit,
    ProgramLimits,
    ReaderConfig,
    Refused,
    Rejected,
    printable_path,
    run_program,
    split_by_records,
    suffix_of,
)

SAFE_ENVIRONMENT = {
    "PATH": os.environ.get("PATH", os.defpath),
    "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull,
    "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1", "GIT_ALLOW_PROTOCOL": "none", "GIT_ATTR_NOSYSTEM": "1",
    "GIT_LITERAL_PATHSPECS": "1", "LC_ALL": "C", "HOME": os.devnull,
}  # fmt: skip
SAFE_FLAGS = ("--no-pager", "--no-replace-objects", "-c", "safe.directory=*",
         "-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}",
         "-c", "protocol.allow=never", "-c", f"core.attributesFile={os.devnull}")  # fmt: skip
LICENCE_NAMES = ("license", "licence", "copying", "copyright", "unlicense", "notice")
REJECTED_MODES = {b"120000": "a link", b"160000": "a submodule"}
CONTENT_DECIDES_SUFFIXES = ("", ".txt", ".xml")
TIMEOUT_SECONDS = 600
"""Timeout of a listing; a repository that takes longer is rejected."""
MOST_FILES, MOST_BYTES = 500_000, 128 * 2**20
"""Maximum files of a tree, and bytes of their list: trees that contain trees ten times over are
small on disk. Linux has 90,000 files, Chromium some 450,000."""
MAX_FOLDER_ENTRIES = 2_000_000
"""Maximum number of files in the repository folder itself."""
UNREAD_FOLDERS = ("hooks", "modules", "worktrees", "lfs", "annex", "logs")
"""Subfolders of a repository that none of the commands opens."""


class GitConfig(ReaderConfig):
    """Which files of a repository are records."""

    kinds: tuple[str, ...] = ("python", "notebook", "code")
    """Kinds to read; empty for all known ones, prose included."""
    max_bytes: int = 4 * 2**20
    """Maximum bytes of a file. Own choice; hand-written sources are far smaller."""
    depth: int = 3
    """Number of folder levels below the root that are searched. Source: own judgement."""


class _Blob(NamedTuple):
    """A file in a commit's tree."""

    mode: bytes
    sha: str
    bytes: int
    path: str


class _Repository(NamedTuple):
    """Contents of a repository at HEAD."""

    commit: str
    date: str
    blobs: list[_Blob]
    licences: list[str]


class Git:
    """The reader `git`."""

    def __init__(self, config: GitConfig) -> None:
        self.config = config

    def plan(self, root: Path) -> list[InputSplit]:
        """Ranges of the files of every repository, in path order."""
        root = Path(root)
        if not root.is_dir():
            raise DataError(f"Expected a repository or a folder of them; {root} is missing.")
        splits = []
        for path in _find_repositories(root, self.config.depth):
            try:
                blobs = _read_head(root / path).blobs
            except Refused:
                splits.append(InputSplit(path, 0, 0, 0))  # `read` will report the reason
                continue
            sizes = ((1, blob.bytes) for blob in blobs)
            splits += split_by_records(path, sizes, self.config.part_bytes)
        return splits

    def read(self, root: Path, input_split: InputSplit, source: str) -> Iterator[Record | Rejected]:
        """Yield the files of a range as records."""
        name = (
            input_split.path
            if input_split.path != "."
            else Path(root).resolve().name.removesuffix(".git")
        )
        try:
            where = Path(root) / input_split.path
            repository = _read_head(where)
            yield from self._read_files(where, repository, input_split, name, source)
        except Refused as refused:
            yield refused.reject(printable_path(input_split.path))

    def _read_files(
        self,
        repository_folder: Path,
        head: _Repository,
        input_split: InputSplit,
        name: str,
        source: str,
    ) -> Iterator[Record | Rejected]:
        about = {"repository": name, "commit": head.commit, "commit_date": head.date,
                 "licence_files": head.licences}  # fmt: skip
        with _ObjectReader(repository_folder) as objects:
            for blob in head.blobs[input_split.start : input_split.end]:
                path = f"{name}/{blob.path}"
                try:
                    kind = self._kind_by_name(blob)
                    data = objects.get(blob)
                    kind = kind or kind_of_file(blob.path, data)
                    if self.config.kinds and kind not in self.config.kinds:
                        raise Refused("another kind of file", kind)
                except Refused as refused:
                    yield refused.reject(path)
                else:
                    metadata = about | {"blob": blob.sha, "file": blob.path}
                    yield make_record(source, path, kind, data, metadata, self.config.repair)

    def _kind_by_name(self, blob: _Blob) -> str:
        """Kind of a file as far as its name determines it; Refused if it is not to be read."""
        if blob.mode in REJECTED_MODES:
            raise Refused("not a regular file", REJECTED_MODES[blob.mode])
        if blob.bytes > self.config.max_bytes:
            raise Refused("too large", f"{blob.bytes} bytes")
        suffix = suffix_of(blob.path)
        kind = kind_of_file(blob.path, b"", KIND_BY_SUFFIX)
        if not kind:
            raise Refused("another kind of file", f"its ending is {suffix}")
        if suffix in CONTENT_DECIDES_SUFFIXES:  # the content decides, too
            return ""
        if self.config.kinds and kind not in self.config.kinds:
            raise Refused("another kind of file", kind)
        return kind


class _ObjectReader:
    """A `git cat-file --batch` process that returns one object at a time."""

    def __init__(self, where: Path) -> None:
        self.process = subprocess.Popen(
            _git_command(where, "cat-file", "--batch"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=SAFE_ENVIRONMENT,
            cwd="/",
        )

    def __enter__(self) -> "_ObjectReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream:
                try:
                    stream.close()
                except OSError:
                    continue

    def get(self, blob: _Blob) -> bytes:
        """The bytes of a file; Refused if the repository lacks them."""
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin and stdout
        try:
            stdin.write(blob.sha.encode() + b"\n")
            stdin.flush()
        except OSError:
            raise Refused("broken repository", "git exited") from None
        head = stdout.readline().split()
        if len(head) != 3 or head[1] != b"blob":
            raise Refused("broken repository", f"{blob.sha} is {b' '.join(head[1:]).decode()}")
        data = stdout.read(int(head[2]))
        stdout.read(1)
        if len(data) != int(head[2]):
            raise Refused("broken repository", f"{blob.sha} is truncated")
        return data


def _find_repositories(root: Path, depth: int) -> list[str]:
    """Paths under the root of every repository; the root itself is `.`."""
    paths, pending = [], [("", 0)]
    while pending:
        folder, level = pending.pop()
        where = root / folder
        if _object_folder(where):
            paths.append(folder or ".")
            continue
        if level < depth:
            try:
                entries = list(os.scandir(where))
            except OSError:
                continue
            for entry in entries:
                is_folder = entry.is_dir(follow_symlinks=False)
                hidden = entry.name.startswith(".") or entry.name in SKIPPED_FOLDERS
                if is_folder and not hidden:
                    pending.append((f"{folder}/{entry.name}".lstrip("/"), level + 1))
    return sorted(paths)


def _object_folder(where: Path) -> Path | None:
    """The folder with a repository's objects: `.git`, or the folder itself if it is bare.

    A `.git` that is a link or a file points elsewhere and is no repository of its own.
    """
    for folder in (where / ".git", where):
        links = any(path.is_symlink() for path in (folder, folder / "HEAD", folder / "objects"))
        if not links and (folder / "HEAD").is_file() and (folder / "objects").is_dir():
            return folder
    return None


def _check_folder(folder: Path) -> None:
    """Raise Refused if git would follow a link in the repository folder or block on a pipe."""
    pending, count = [folder], 0
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                count += 1
                mode = entry.stat(follow_symlinks=False).st_mode
                if stat.S_ISDIR(mode):
                    pending += [Path(entry.path)] if entry.name not in UNREAD_FOLDERS else []
                elif not (stat.S_ISREG(mode) or stat.S_ISSOCK(mode)):
                    inner = printable_path(os.path.relpath(entry.path, folder))
                    raise Refused("broken repository", f"{inner} in it is a link, pipe or device")
                if count > MAX_FOLDER_ENTRIES:
                    raise Refused(
                        "too large", f"more than {MAX_FOLDER_ENTRIES} files below its folder"
                    )


def _git_command(where: Path, *words: str) -> list[str]:
    """A git command line with everything disabled that could run a program."""
    folder = _object_folder(where)
    if folder is None:
        raise Refused("not a repository")
    return ["git", *SAFE_FLAGS, f"--git-dir={folder.resolve()}", *words]


def _run_git(where: Path, *words: str) -> bytes:
    """Output of a git command, up to MOST_BYTES; Refused if it fails."""
    limits = ProgramLimits(TIMEOUT_SECONDS, MOST_BYTES)
    try:
        output, error = run_program(
            _git_command(where, *words), limits, environment=SAFE_ENVIRONMENT
        )
    except FileNotFoundError:
        raise DataError("The reader git needs the program git; install it.") from None
    if error:
        raise Refused("broken repository", error)
    return output


def _read_head(where: Path) -> _Repository:
    """The commit at HEAD and its files; Refused if there is none."""
    folder = _object_folder(where)
    elsewhere = ("objects/info/alternates", "objects/info/http-alternates", "commondir")
    if folder is not None and any((folder / name).exists() for name in elsewhere):
        raise Refused("broken repository", "its objects are in another repository")
    if folder is not None:
        _check_folder(folder)
    header = _run_git(where, "cat-file", "commit", "HEAD").partition(b"\n\n")[0]
    commit = _run_git(where, "rev-parse", "--verify", "--end-of-options", "HEAD").decode().strip()
    date = next((line for line in header.split(b"\n") if line.startswith(b"committer ")), b"")
    blobs = []
    listing = _run_git(where, "ls-tree", "-r", "-z", "-l", "--full-tree", "HEAD")
    if (count := listing.count(b"\0")) > MOST_FILES:
        raise Refused("too large", f"{count} files; at most {MOST_FILES} are read")
    for entry in listing.split(b"\0"):
        head, tab, path = entry.partition(b"\t")
        if tab:
            mode, _, sha, size = head.split()
            number = int(size) if size.isdigit() else 0
            name = path.decode("utf-8", "backslashreplace")
            blobs.append(_Blob(mode, sha.decode(), number, name))
    return _Repository(commit, _committer_date(date), blobs, _licence_paths(blobs))


def _committer_date(committer: bytes) -> str:
    """UTC date of a committer line; empty if it has none."""
    words = committer.split()
    try:
        return datetime.fromtimestamp(int(words[-2]), UTC).date().isoformat()
    except (IndexError, ValueError, OverflowError, OSError):
        return ""


def _licence_paths(blobs: list[_Blob]) -> list[str]:
    """Paths of licence files, recognised by name, outermost first."""
    paths = [
        blob.path
        for blob in blobs
        if PurePosixPath(blob.path).name.lower().startswith(LICENCE_NAMES)
        and suffix_of(blob.path) in ("", ".txt", ".md", ".rst", ".mit", ".apache", ".gpl", ".bsd")
    ]
    return sorted(paths, key=lambda path: (path.count("/"), path))[:100]
