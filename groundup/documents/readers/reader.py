"""The contract of readers: plan what can be read alone, then read it, bad records set aside.

A plan is a list of parts in the order of paths: whole files, or ranges of bytes or records of one
large file, so that it can be shared out. Reading a part gives records and rejects; what is wrong
with one record costs that record alone. Links are never followed and nothing outside the root is
opened. Knows no file format: see the other files of this folder.
"""

import os
import re
import stat
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, Protocol, runtime_checkable

from groundup.core import Config, DataError

from ..batch import plain_json
from ..document import SourceMap
from ..record import Record, Span, record_id

READERS: dict[str, str] = {
    name: f"groundup.documents.readers.{target}"
    for name, target in {
        "folder": "folder:Folder",
        "archive": "archives:Archive",
        "conversations": "conversations:Conversations",
        "epub": "epub:Epub",
        "git": "git:Git",
        "jsonl": "jsonl:JsonLines",
        "mail": "mail:Mail",
        "parquet": "parquet:Parquet",
        "pdf": "pdf:Pdf",
        "warc": "warc:Warc",
    }.items()
}
"""Name, as a pipeline gives it, to `module:Class`; the class is made from its configuration."""

SKIPPED_FOLDERS = frozenset({"__pycache__", "node_modules", "CVS"})
EMPTY = (None, "", [], {})
"""Values of metadata that say nothing."""
OF_LICENCE = re.compile("licen[cs]|spdx", re.IGNORECASE)
LICENCE_KEY = re.compile(
    r"[\w:-]*(?:licen[cs]es?|spdx)(?:[_-]?(?:spdx|id|identifier|expression|key|name))?",
    re.IGNORECASE,
)
"""Keys whose value is a licence, such as `License`, `spdx_id` and `max_stars_repo_licenses`."""
LICENCE_NAMES = ("spdx", "spdx_id", "spdxid", "id", "key", "name")
"""Keys of a licence that is an object, the most exact first."""
UNREAD = "unread_licence_keys"
MOST_KEYS, MOST_OF_A_KEY = 8, 60

NO_DOCUMENTS = frozenset(
    ("another kind of file", "another kind of content", "skipped by its path", "not a regular file",
     "link inside the folder", "link out of the folder", "not HTTP")
)  # fmt: skip
"""Reasons of what nobody took for a document: pictures beside pages, links, requests for pages."""


class Part(NamedTuple):
    """What one task can read alone."""

    path: str
    """Of the file, relative to the root; the root's own name if the root is a file."""
    start: int
    """First byte or record of the range, as the reader counts; 0 for a whole file."""
    end: int
    """One past the last; a reader that takes files whole says their size."""
    bytes: int
    """About how much there is to read, to share parts out evenly."""


class Rejected(NamedTuple):
    """A file or record that was set aside."""

    path: str
    reason: str
    """Short and stable, such as `not UTF-8`; rejects are counted by it."""
    details: str = ""
    """What exactly was found, for a person."""


class ReaderConfig(Config):
    """Limits that every reader keeps."""

    max_bytes: int = 64 * 2**20
    """Bytes of the largest record; larger ones are rejected as too large. Own choice: no book of
    Project Gutenberg is a tenth of it."""
    part_bytes: int = 64 * 2**20
    """Bytes of a part where a file can be split. Own choice: some seconds of one core's work."""
    repair: bool = True
    """Find out the charset of text that is not UTF-8; otherwise such text is rejected."""


@runtime_checkable
class Reader(Protocol):
    """A way of keeping documents."""

    config: Config

    def plan(self, root: Path) -> list[Part]:
        """Parts in the order of paths; DataError if the root does not exist."""
        ...

    def read(self, root: Path, part: Part, source: str) -> Iterator[Record | Rejected]:
        """Yield the records of a part in their order, and what was set aside."""
        ...


class Refused(Exception):
    """Raised inside a reader where a file or record is set aside; `reject` makes it a Rejected."""

    def __init__(self, reason: str, details: str = "") -> None:
        super().__init__(reason, details)
        self.reason, self.details = reason, details

    def reject(self, path: str) -> Rejected:
        """The reject for the record at `path`."""
        return Rejected(path, self.reason, self.details)


def plan_files(root: Path, endings: Collection[str] = ()) -> list[Part]:
    """A part for every visible file under the root whose name ends in one of `endings`.

    What is no regular file is planned too, with no bytes: reading it says why it is set aside.
    Raises DataError if the root does not exist.
    """
    root = Path(root)
    if root.is_file():
        return [Part(root.name, 0, size := root.stat().st_size, size)]
    if not root.is_dir():
        raise DataError(f"Expected a folder or file of documents; {root} is missing.")
    wanted = tuple(ending.lower() for ending in endings)
    parts = []
    for path in walk(os.fspath(root)):
        if not wanted or printable(path).lower().endswith(wanted):
            info = os.lstat(root / path)
            size = info.st_size if stat.S_ISREG(info.st_mode) else 0
            parts.append(Part(path, 0, size, size))
    return sorted(parts)


def walk(root: str) -> Iterator[str]:
    """Yield the path of every visible entry under `root` that is not a folder one can enter."""
    folders = [""]
    while folders:
        folder = folders.pop()
        try:
            entries = list(os.scandir(os.path.join(root, folder)))
        except OSError:
            yield folder or "."
            continue
        for entry in entries:
            if entry.name.startswith(".") or entry.name in SKIPPED_FOLDERS:
                continue
            path = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_dir(follow_symlinks=False):
                folders.append(path)
            else:
                yield path


def split(part: Part, part_bytes: int) -> list[Part]:
    """A file's part as ranges of about `part_bytes` bytes."""
    count = max(1, round(part.bytes / max(1, part_bytes)))
    cuts = [part.bytes * at // count for at in range(count + 1)]
    ranges = zip(cuts, cuts[1:], strict=False)
    return [Part(part.path, start, end, end - start) for start, end in ranges]


def open_part(root: Path, path: str) -> Any:
    """The file of a part, open for reading bytes; Refused if it is a link or cannot be read."""
    file = located(root, path)
    try:
        return open(file, "rb", opener=open_regular)
    except IsADirectoryError:
        raise Refused("not a regular file") from None
    except OSError as error:
        raise Refused("unreadable", error.strerror or str(error)) from None


def located(root: Path, path: str) -> Path:
    """Where a part's file is; Refused if its name is not UTF-8 or a link is on the way."""
    root = Path(root)
    if root.is_file():
        return root
    if printable(path) != path:
        raise Refused("name not UTF-8", "rename the file")
    if ".." in path.split("/") or path.startswith("/"):
        raise Refused("out of the folder")
    names = path.split("/")
    for count in range(1, len(names) + 1):
        place = os.path.join(root, *names[:count])
        if os.path.islink(place):
            target, home = os.path.realpath(place), os.path.realpath(root)
            inside = target == home or target.startswith(home + os.sep)
            raise Refused(f"link {'inside' if inside else 'out of'} the folder")
    return root / path


def read_all(root: Path, path: str, max_bytes: int) -> bytes:
    """The bytes of a whole file; Refused if there are more than `max_bytes`."""
    with open_part(root, path) as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise Refused("too large", f"more than {max_bytes} bytes")
    return data


def open_regular(path: str, flags: int) -> int:
    """Open without waiting (a pipe would block) and refuse what is no regular file."""
    handle = os.open(path, flags | os.O_NONBLOCK | os.O_NOFOLLOW)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise IsADirectoryError
    return handle


def printable(path: str) -> str:
    """The path with bytes that are not UTF-8 spelt out, as in caf\\xe9."""
    try:
        return os.fsencode(path).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half a character that no file system gave
        return path.encode("utf-8", "backslashreplace").decode("utf-8")


def text_record(
    source: str,
    path: str,
    kind: str,
    map: SourceMap,
    metadata: dict[str, Any],
    spans: Sequence[Span] = (),
) -> Record | Rejected:
    """A record of a text and its map, or a reject if the text is empty or holds zero characters."""
    text = map.text
    if not text.strip():
        return Rejected(path, "empty")
    if (at := text.find("\0")) >= 0:
        return Rejected(path, "binary", f"a zero character at {at}")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        return Rejected(path, "lone surrogate", f"half a character at {error.start}")
    kept = plain_metadata(metadata)
    return Record(record_id(source, path), source, path, kind, text, map, tuple(spans), kept)


def data_record(
    source: str, path: str, kind: str, data: bytes, metadata: dict[str, Any]
) -> Record | Rejected:
    """A record of bytes of which a later step makes text."""
    if not data:
        return Rejected(path, "empty")
    kept = plain_metadata(metadata)
    return Record(record_id(source, path), source, path, kind, metadata=kept, data=data)


def plain_metadata(metadata: dict[str, Any]) -> dict[str, Any]:
    """Metadata without empty values; what JSON or UTF-8 cannot hold is put as ASCII text."""
    kept = {key: value for key, value in metadata.items() if value not in EMPTY}
    try:
        plain_json(kept).encode("utf-8")
    except (ValueError, TypeError, RecursionError):
        return {ascii(key)[1:-1]: plain_value(value) for key, value in kept.items()}
    return kept


def plain_value(value: Any) -> Any:
    """The value if JSON can hold it, else how Python spells it, in ASCII."""
    try:
        plain_json(value).encode("utf-8")
    except (ValueError, TypeError):
        return ascii(value)[:1_000]
    except RecursionError:
        return "nested too deeply"
    return value


def with_licence(values: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of a row and, as `licence`, every licence that the row states.

    Keys that look like a licence's and are neither read nor kept are named, for a warning.

    >>> with_licence({"license": None}, {"spdx": "MIT", "metadata": {"License": ["MIT", "Zlib"]}})
    {'licence': ['MIT', 'Zlib']}
    >>> with_licence({}, {"license_url": "http://a/", "max_stars_repo_licenses": ["MIT"]})
    {'licence': 'MIT', 'unread_licence_keys': ['license_url']}
    """
    kept, stated, unread = {}, [], []
    for name, value in (dict(values) | dict(licence_fields(row))).items():
        last = name.rpartition(".")[2]
        if LICENCE_KEY.fullmatch(last):
            stated += licences_in(value)
        elif name not in values and licences_in(value):
            unread.append(name[:MOST_OF_A_KEY])
        if name in values and value not in EMPTY and last.lower() not in ("licence", "license"):
            kept[name] = value
    stated = list(dict.fromkeys(stated))
    kept |= {"licence": stated[0] if len(stated) == 1 else stated} if stated else {}
    return kept | ({UNREAD: unread[:MOST_KEYS]} if unread else {})


def licence_fields(row: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the fields whose keys speak of a licence, those in `metadata` and `meta` too."""
    for key, value in row.items():
        if OF_LICENCE.search(key):
            yield key, value
        elif key.lower() in ("metadata", "meta") and isinstance(value, dict):
            inner = value.items()
            yield from ((f"{key}.{name}", one) for name, one in inner if OF_LICENCE.search(name))


def licences_in(value: Any) -> list[Any]:
    """The licences in a value: itself, those in a list, or an object's by its SPDX id or name.

    >>> licences_in(["MIT", {"key": "gpl-3.0", "spdx_id": "GPL-3.0-only"}])
    ['MIT', 'GPL-3.0-only']
    """
    found, waiting = [], [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            by_name = {str(name).lower(): inner for name, inner in one.items()}
            named = [by_name[name] for name in LICENCE_NAMES if name in by_name]
            spelt = [name for name in named if isinstance(name, str) and name.strip()]
            others = [each for each in one.values() if isinstance(each, (str, list))]
            one = spelt[:1] or named or others
        if isinstance(one, list):
            waiting += reversed(one)
        elif not isinstance(one, bool):
            found.append(one.strip() if isinstance(one, str) else one)
    return [one for one in found if one not in EMPTY]


def suffix_of(path: str) -> str:
    """The ending of a file's name, in lower case.

    >>> suffix_of("a/B.HTML"), suffix_of("README")
    ('.html', '')
    """
    return PurePosixPath(path).suffix.lower()
