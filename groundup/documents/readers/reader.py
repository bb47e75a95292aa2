"""The contract of readers: plan independent splits, then read them; bad records are rejected.

A plan is a list of splits in path order: complete files, or ranges of bytes or records of a large
file, so that work can be distributed. Reading a split yields records and rejects; an error in one
record affects only that record. Links are never followed and nothing outside the root is opened.
File formats are in the other files of this folder; `FileReader` is what they have in common.
"""

import os
import re
import stat
import subprocess
import tempfile
import threading
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple, Protocol, runtime_checkable

from groundup.core import MANIFEST, Config, DataError

from ..document import Record, SourceMap, TextSpan, record_id
from ..record import canonical_json

COMPRESSED_SUFFIXES = (".gz", ".bz2", ".xz", ".zst")
SKIPPED_FOLDERS = frozenset({"__pycache__", "node_modules", "CVS", "__MACOSX"})
SKIPPED = {
    "hidden": "names that begin with a dot, and folders of tools",
    "made by groundup": "an index, a corpus or another artifact",
}
"""Reasons for folders that are not looked into, and what is meant."""
ARTIFACT_KIND = re.compile(rb'"kind": "(\w+)",\s+"stage"')
"""In a manifest of ours, near its beginning; others may write a manifest.json too."""
EMPTY_VALUES = (None, "", [], {})
"""Metadata values without information."""
LICENCE_HINT = re.compile("licen[cs]|spdx", re.IGNORECASE)
LICENCE_KEY = re.compile(
    r"[\w:-]*(?:licen[cs]es?|spdx)(?:[_-]?(?:spdx|id|identifier|expression|key|name))?",
    re.IGNORECASE,
)
"""Keys whose value is a licence, such as `License`, `spdx_id` and `max_stars_repo_licenses`."""
LICENCE_NAMES = ("spdx", "spdx_id", "spdxid", "id", "key", "name")
"""Keys of a licence object, the most exact first."""
UNREAD_LICENCE_KEYS = "unread_licence_keys"
MAX_UNREAD_KEYS, MAX_KEY_LENGTH = 8, 60

NOT_DOCUMENT_REASONS = frozenset(
    ("another kind of file", "another kind of content", "skipped by its path", "not a regular file",
     "link inside the folder", "link out of the folder", "not HTTP", "hidden", "made by groundup")
)  # fmt: skip
"""Reasons for what is not a document: images next to pages, links, HTTP requests, hidden files."""


class InputSplit(NamedTuple):
    """What one task can read independently."""

    path: str
    """Path of the file, relative to the root; the root's own name if the root is a file."""
    start: int
    """First byte or record of the range, in the reader's unit; 0 for a complete file."""
    end: int
    """One past the last; the file size for readers that do not split files."""
    bytes: int
    """Approximate amount to read, for load balancing."""


class Rejected(NamedTuple):
    """A file or record that could not be read."""

    path: str
    reason: str
    """Short and stable, such as `not UTF-8`; rejects are counted by it."""
    details: str = ""
    """What exactly was found, for people."""


class ReaderConfig(Config):
    """Limits common to all readers."""

    max_bytes: int = 64 * 2**20
    """Maximum bytes of a record; larger ones are rejected. Own choice: no book of Project Gutenberg
    is a tenth of it."""
    part_bytes: int = 64 * 2**20
    """Bytes of a split where a file can be split. Own choice: some seconds of one core's work."""
    repair: bool = True
    """Guess a charset that is not declared; otherwise text that is neither UTF-8 nor in the charset
    that it declares is rejected."""


@runtime_checkable
class Reader(Protocol):
    """Reads one format of stored documents."""

    config: Config

    def plan(self, root: Path) -> list[InputSplit]:
        """Splits in path order; DataError if the root does not exist."""
        ...

    def read(self, root: Path, input_split: InputSplit, source: str) -> Iterator[Record | Rejected]:
        """Yield the records of a split in order, and the rejects."""
        ...


class Refused(DataError):
    """Raised inside a reader to reject a file or record; `reject` converts it to a Rejected."""

    def __init__(self, reason: str, details: str = "") -> None:
        super().__init__(reason, details)
        self.reason, self.details = reason, details

    def __str__(self) -> str:
        return ": ".join(filter(None, (self.reason, self.details)))

    def reject(self, path: str) -> Rejected:
        """The reject of the record at `path`."""
        return Rejected(path, self.reason, self.details)


class FileReader(ABC):
    """A reader of files with certain endings, a bad one of which is one reject."""

    ENDINGS: tuple[str, ...] = ()
    """Of the names of the files that are read; empty for all."""

    def plan(self, root: Path) -> list[InputSplit]:
        """Splits of every file, in path order; a file that cannot be opened is one split."""
        splits = []
        for file_split in plan_files(root, self.ENDINGS):
            try:
                splits += self.split(root, file_split)
            except Refused:  # `read` will report the reason
                splits.append(file_split)
        return splits

    def split(self, root: Path, file_split: InputSplit) -> list[InputSplit]:
        """The splits of one file."""
        return [file_split]

    def read(self, root: Path, input_split: InputSplit, source: str) -> Iterator[Record | Rejected]:
        """Yield the records of a split in order, and the rejects."""
        try:
            with open_split(root, input_split.path) as file:
                yield from self.records(file, input_split, source)
        except Refused as refused:
            yield refused.reject(printable_path(input_split.path))

    @abstractmethod
    def records(
        self, file: IO[bytes], input_split: InputSplit, source: str
    ) -> Iterator[Record | Rejected]:
        """Yield the records of a split of an open file; Refused rejects the file."""


def plan_files(root: Path, endings: Collection[str] = ()) -> list[InputSplit]:
    """One split for every visible file under the root whose name ends in one of `endings`.

    Irregular files are included with 0 bytes: reading reports why they are rejected. Raises
    DataError if the root does not exist.
    """
    root = Path(root)
    if root.is_file():
        return [InputSplit(root.name, 0, size := root.stat().st_size, size)]
    if not root.is_dir():
        raise DataError(f"Expected a folder or file of documents; {root} is missing.")
    suffixes = tuple(ending.lower() for ending in endings)
    splits = []
    for path, skipped in walk_files(os.fspath(root)):
        if skipped:
            continue
        if not suffixes or printable_path(path).lower().endswith(suffixes):
            info = os.lstat(root / path)
            size = info.st_size if stat.S_ISREG(info.st_mode) else 0
            splits.append(InputSplit(path, 0, size, size))
    return sorted(splits)


def walk_files(root: str) -> Iterator[tuple[str, str]]:
    """Yield the path of every entry under `root` that is no readable folder, and why it is skipped.

    Skipped are hidden entries, folders that tools fill, and artifacts, whose files were read where
    they came from; what is in such a folder is not yielded. The root itself is never skipped.
    """
    folders = [""]
    while folders:
        folder = folders.pop()
        try:
            entries = list(os.scandir(os.path.join(root, folder)))
        except OSError:
            yield folder or ".", ""
            continue
        if folder and _is_artifact(os.path.join(root, folder), {entry.name for entry in entries}):
            yield folder, "made by groundup"
            continue
        for entry in entries:
            path = f"{folder}/{entry.name}" if folder else entry.name
            if entry.name.startswith(".") or entry.name in SKIPPED_FOLDERS:
                yield path, "hidden"
            elif entry.is_dir(follow_symlinks=False):
                folders.append(path)
            else:
                yield path, ""


def _is_artifact(folder: str, names: Collection[str]) -> bool:
    """Whether a folder with these names is an artifact or an index, finished or not."""
    is_begun = ".scratch" in names and os.path.isfile(os.path.join(folder, ".scratch", "key"))
    return is_begun or bool({MANIFEST, "ledger"} & set(names) and artifact_kind(folder))


def artifact_kind(folder: Path | str) -> str:
    """Kind of the artifact or index that a folder is; empty for other folders."""
    with suppress(OSError):
        if os.path.isfile(manifest := os.path.join(folder, MANIFEST)):
            with open(manifest, "rb") as file:
                match = ARTIFACT_KIND.search(file.read(4096))
            return match[1].decode() if match else ""
    is_index = os.path.isfile(os.path.join(folder, "ledger", "current.jsonl"))
    return "index" if is_index else ""


def split_by_bytes(file_split: InputSplit, part_bytes: int) -> list[InputSplit]:
    """Split a file into ranges of about `part_bytes` bytes."""
    count = max(1, round(file_split.bytes / max(1, part_bytes)))
    cuts = [file_split.bytes * at // count for at in range(count + 1)]
    ranges = zip(cuts, cuts[1:], strict=False)
    return [InputSplit(file_split.path, start, end, end - start) for start, end in ranges]


def split_unless_packed(file_split: InputSplit, part_bytes: int) -> list[InputSplit]:
    """Ranges of about `part_bytes` bytes of a file; a compressed one is one split."""
    is_packed = suffix_of(file_split.path) in COMPRESSED_SUFFIXES
    return [file_split] if is_packed else split_by_bytes(file_split, part_bytes)


def split_by_records(
    path: str, sizes: Iterable[tuple[int, int]], part_bytes: int
) -> list[InputSplit]:
    """Split a file into ranges of records of at least `part_bytes` bytes.

    sizes: how many records, and their bytes, that may not be separated.
    """
    splits: list[InputSplit] = []
    start = end = total = 0
    for count, size in sizes:
        end, total = end + count, total + size
        if total >= part_bytes:
            splits.append(InputSplit(path, start, end, total))
            start, total = end, 0
    if start < end:
        splits.append(InputSplit(path, start, end, total))
    return splits or [InputSplit(path, 0, 0, 0)]


def open_split(root: Path, path: str) -> Any:
    """Open the file of a split for reading bytes; Refused if it is a link or unreadable."""
    file = resolve_path(root, path)
    try:
        return open(file, "rb", opener=_open_regular)
    except IsADirectoryError:
        raise Refused("not a regular file") from None
    except OSError as error:
        raise Refused("unreadable", error.strerror or str(error)) from None


def resolve_path(root: Path, path: str) -> Path:
    """Path of a split's file; Refused if the name is not UTF-8 or the path contains a link."""
    root = Path(root)
    if root.is_file():
        return root
    if printable_path(path) != path:
        raise Refused("name not UTF-8", "rename the file")
    if ".." in path.split("/") or path.startswith("/"):
        raise Refused("out of the folder")
    names = path.split("/")
    prefix = os.fspath(root)
    for name in names:
        prefix = os.path.join(prefix, name)
        if os.path.islink(prefix):
            target, home = os.path.realpath(prefix), os.path.realpath(root)
            inside = target == home or target.startswith(home + os.sep)
            raise Refused(f"link {'inside' if inside else 'out of'} the folder")
    return root / path


def read_all(file: IO[bytes], max_bytes: int) -> bytes:
    """The bytes of a complete file; Refused if there are more than `max_bytes`."""
    data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise Refused("too large", f"more than {max_bytes} bytes")
    return data


def _open_regular(path: str, flags: int) -> int:
    """Open without blocking (on a pipe) and refuse what is not a regular file."""
    handle = os.open(path, flags | os.O_NONBLOCK | os.O_NOFOLLOW)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise IsADirectoryError
    return handle


def printable_path(path: str) -> str:
    """The path with non-UTF-8 bytes escaped, as in caf\\xe9."""
    try:
        return os.fsencode(path).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # a lone surrogate, which no file system returns
        return path.encode("utf-8", "backslashreplace").decode("utf-8")


def text_record(
    source: str,
    path: str,
    kind: str,
    map: SourceMap,
    metadata: dict[str, Any],
    spans: Sequence[TextSpan] = (),
) -> Record | Rejected:
    """A record of a text and its map, or a reject if it is empty, binary or not encodable."""
    text = map.text
    if not text.strip():
        return Rejected(path, "empty")
    if (at := text.find("\0")) >= 0:
        return Rejected(path, "binary", f"a zero character at {at}")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        return Rejected(path, "lone surrogate", f"half a character at {error.start}")
    cleaned = _clean_metadata(metadata)
    return Record(record_id(source, path), source, path, kind, text, map, tuple(spans), cleaned)


def data_record(
    source: str, path: str, kind: str, data: bytes, metadata: dict[str, Any]
) -> Record | Rejected:
    """A record of bytes from which a later step extracts the text."""
    if not data:
        return Rejected(path, "empty")
    cleaned = _clean_metadata(metadata)
    return Record(record_id(source, path), source, path, kind, metadata=cleaned, data=data)


def _clean_metadata(metadata: dict[str, Any]) -> dict[str, Any]:
    """Metadata without empty values; what JSON or UTF-8 cannot represent becomes ASCII text."""
    cleaned = {key: value for key, value in metadata.items() if value not in EMPTY_VALUES}
    try:
        canonical_json(cleaned).encode("utf-8")
    except (ValueError, TypeError, RecursionError):
        return {ascii(key)[1:-1]: _json_safe(value) for key, value in cleaned.items()}
    return cleaned


def _json_safe(value: Any) -> Any:
    """The value if JSON can represent it, otherwise its ASCII repr."""
    try:
        canonical_json(value).encode("utf-8")
    except (ValueError, TypeError):
        return ascii(value)[:1_000]
    except RecursionError:
        return "nested too deeply"
    return value


def select_with_licence(values: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
    """Selected values of a row and, as `licence`, every licence that the row states.

    Keys that look like a licence but are neither read nor kept are listed, for a warning.

    >>> raw = {"spdx": "MIT", "metadata": {"License": ["MIT", "Zlib"]}}
    >>> select_with_licence({"license": None}, raw)
    {'licence': ['MIT', 'Zlib']}
    >>> select_with_licence({}, {"license_url": "http://a/", "max_stars_repo_licenses": ["MIT"]})
    {'licence': 'MIT', 'unread_licence_keys': ['license_url']}
    """
    kept, stated, unread = {}, [], []
    for name, value in (dict(values) | dict(licence_fields(row))).items():
        last = name.rpartition(".")[2]
        if LICENCE_KEY.fullmatch(last):
            stated += find_licences(value)
        elif name not in values and find_licences(value):
            unread.append(name[:MAX_KEY_LENGTH])
        if (
            name in values
            and value not in EMPTY_VALUES
            and last.lower() not in ("licence", "license")
        ):
            kept[name] = value
    stated = list(dict.fromkeys(stated))
    kept |= {"licence": stated[0] if len(stated) == 1 else stated} if stated else {}
    return kept | ({UNREAD_LICENCE_KEYS: unread[:MAX_UNREAD_KEYS]} if unread else {})


def licence_fields(row: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the fields whose key concerns a licence, also those in `metadata` and `meta`."""
    for key, value in row.items():
        if LICENCE_HINT.search(key):
            yield key, value
        elif key.lower() in ("metadata", "meta") and isinstance(value, dict):
            inner = value.items()
            yield from (
                (f"{key}.{name}", item) for name, item in inner if LICENCE_HINT.search(name)
            )


def find_licences(value: Any) -> list[Any]:
    """The licences in a value: a string, those in a list, or an object's SPDX id or name.

    >>> find_licences(["MIT", {"key": "gpl-3.0", "spdx_id": "GPL-3.0-only"}])
    ['MIT', 'GPL-3.0-only']
    """
    licences, pending = [], [value]
    while pending:
        current = pending.pop()
        if isinstance(current, dict):
            by_name = {str(name).lower(): inner for name, inner in current.items()}
            named = [by_name[name] for name in LICENCE_NAMES if name in by_name]
            spelt = [name for name in named if isinstance(name, str) and name.strip()]
            others = [item for item in current.values() if isinstance(item, (str, list))]
            current = spelt[:1] or named or others
        if isinstance(current, list):
            pending += reversed(current)
        elif not isinstance(current, bool):
            licences.append(current.strip() if isinstance(current, str) else current)
    return [current for current in licences if current not in EMPTY_VALUES]


def suffix_of(path: str) -> str:
    """The suffix of a file name, in lower case.

    >>> suffix_of("a/B.HTML"), suffix_of("README")
    ('.html', '')
    """
    return PurePosixPath(path).suffix.lower()


class ProgramLimits(NamedTuple):
    """What a program may use that reads a foreign file."""

    seconds: float
    output_bytes: int


def run_program(
    command: Sequence[str],
    limits: ProgramLimits,
    *,
    data: bytes = b"",
    folder: str = "/",
    environment: Mapping[str, str] | None = None,
) -> tuple[bytes, str]:
    """Standard output of a program without a shell, and the first line of its errors if it failed.

    data: its standard input. folder: where it runs. Raises Refused beyond the limits.
    """
    with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as errors:
        stdin.write(data)
        stdin.seek(0)
        with subprocess.Popen(
            command, stdin=stdin, stdout=subprocess.PIPE, stderr=errors, env=environment, cwd=folder
        ) as process:
            clock = threading.Timer(limits.seconds, process.kill)
            clock.start()
            assert process.stdout is not None
            output = process.stdout.read(limits.output_bytes + 1)
            is_late = not clock.is_alive()
            clock.cancel()
            if is_large := len(output) > limits.output_bytes:
                process.kill()
            code = process.wait()
        errors.seek(0)
        message = errors.read(2_000).decode("utf-8", "replace").strip()[:200]
    if is_late:
        raise Refused("too slow", f"{command[0]} took more than {limits.seconds} s")
    if is_large:
        raise Refused("too large", f"{command[0]} wrote more than {limits.output_bytes} bytes")
    return output, message or f"{command[0]} failed" if code else ""
