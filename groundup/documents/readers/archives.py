"""Archives: the files in zip and tar archives and single packed files, each a record.

An archive is read from front to back and nothing is written to disk, so a name can lead nowhere;
names that try are rejected all the same. What stands before a cut or damage is kept: tars are
streamed, and a zip whose directory is gone is walked by its members' own headers. Three limits
end a bomb: how many bytes one member and all of them unpack to, how many members there are, and
how much larger a member is than its packing. An archive inside an archive is not opened. Knows
nothing of what the members say.
"""

import bz2
import gzip
import io
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from ..record import Record
from .kinds import KIND_BY_ENDING, kind_of_file, make_record
from .reader import (
    Part,
    ReaderConfig,
    Refused,
    Rejected,
    open_part,
    plan_files,
    printable,
    suffix_of,
)

TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
SINGLES = (".gz", ".bz2", ".xz")
ENDINGS = (*TARS, ".zip", *SINGLES)
BROKEN = (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, tarfile.TarError,
          zipfile.BadZipFile, NotImplementedError, RuntimeError, OverflowError)  # fmt: skip
"""What unpacking a damaged or hostile archive may raise."""
XZ_MEMORY = 256 * 2**20
LONG_HEADERS = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE,
                tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)  # fmt: skip
"""Entries whose content tarfile reads into memory."""
LONGEST_HEADER = 2**20
CHUNK = 2**16


class ArchiveConfig(ReaderConfig):
    """What an archive may unpack to. Own choices; text packs to a third or a tenth."""

    max_members: int = 100_000
    """Members of one archive. Source: own judgement."""
    max_total_bytes: int = 4 * 2**30
    """Bytes that all members together unpack to. Source: own judgement."""
    max_ratio: float = 200.0
    """Bytes unpacked for each packed one, of a member or the whole archive, beyond 1 MiB.
    Source: own judgement."""
    kinds: tuple[str, ...] = ()
    """Kinds to read, such as latex; the others are rejected by name. None: all known."""


class Member(NamedTuple):
    """A file in an archive."""

    path: str
    data: bytes


class Archive:
    """The reader `archive`: .zip, .tar, packed tars and single .gz, .bz2 and .xz files."""

    def __init__(self, config: ArchiveConfig) -> None:
        self.config = config

    def plan(self, root: Path) -> list[Part]:
        """A part for every archive."""
        return plan_files(root, ENDINGS)

    def read(self, root: Path, part: Part, source: str) -> Iterator[Record | Rejected]:
        """Yield the members of an archive as records."""
        config = self.config
        try:
            with open_part(root, part.path) as file:
                for member in members(file, part, config):
                    if isinstance(member, Rejected):
                        yield member
                        continue
                    kind = kind_of_file(member.path, member.data)
                    path = f"{part.path}#{member.path}"
                    if not kind or (config.kinds and kind not in config.kinds):
                        yield Rejected(path, "another kind of file", kind or member.path[-40:])
                    else:
                        yield make_record(source, path, kind, member.data, {}, config.repair)
        except Refused as refused:
            yield refused.reject(printable(part.path))
        except BROKEN as error:
            yield Rejected(printable(part.path), "broken archive", str(error)[:200])


def members(file: Any, part: Part, config: ArchiveConfig) -> Iterator[Member | Rejected]:
    """Yield the files of an archive of any kind."""
    name = part.path.lower()
    if name.endswith(".zip"):
        yield from zip_members(file, part.path, config)
        return
    limited = Limited(unpacking(file, suffix_of(name)), part.bytes, config)
    if name.endswith(TARS):
        yield from tar_members(limited, io.BufferedReader(limited, CHUNK), part.path, config)
        return
    if is_tar(buffered := io.BufferedReader(limited, CHUNK)):  # arXiv calls a packed tar .gz
        yield from tar_members(limited, buffered, part.path, config)
        return
    inner = PurePosixPath(part.path).stem
    data = buffered.read(config.max_bytes + 1)
    if limited.broken is not None:
        raise limited.broken
    if len(data) > config.max_bytes:
        yield Rejected(f"{part.path}#{inner}", "too large", f"more than {config.max_bytes} bytes")
    elif (
        not kind_of_file(inner, data) and data.lstrip()[:1] in (b"\\", b"%") and b"\\begin" in data
    ):
        yield Member(inner + ".tex", data)  # arXiv's single files have no ending
    else:
        yield Member(inner, data)


def is_tar(file: io.BufferedReader) -> bool:
    """Whether a stream begins as a tar does; nothing is consumed."""
    return file.peek(512)[257:262] == b"ustar"


def unpacking(file: Any, suffix: str) -> Any:
    """The file, unpacked as it is read."""
    if suffix in (".gz", ".tgz"):
        return gzip.GzipFile(fileobj=file)
    if suffix in (".bz2", ".tbz2"):
        return bz2.BZ2File(file)
    if suffix in (".xz", ".txz"):
        return XzFile(file)
    return file


class XzFile:
    """An xz file, its dictionary bounded: a header may ask for 4 GiB."""

    def __init__(self, file: Any) -> None:
        self.file = file
        self.unpacker = lzma.LZMADecompressor(memlimit=XZ_MEMORY)

    def read(self, size: int) -> bytes:
        """At most `size` bytes, some unless the file has ended."""
        while not self.unpacker.eof:
            packed = self.file.read(CHUNK) if self.unpacker.needs_input else b""
            if self.unpacker.needs_input and not packed:
                raise EOFError("the file ends within")
            if data := self.unpacker.decompress(packed, size):
                return data
        return b""


class Limited(io.RawIOBase):
    """A stream that ends in Refused once it has given more than its archive may unpack to.

    Where unpacking fails the stream ends, so that nothing before is lost, and `broken` says why.
    """

    def __init__(self, file: Any, packed: int, config: ArchiveConfig) -> None:
        # The readers of gzip and bzip2 lose what they have read when `read` fails, not `read1`.
        self.take = getattr(file, "read1", file.read)
        self.broken: Exception | None = None
        self.given = 0
        ratio_bytes = int(max(2**20, packed * config.max_ratio))
        self.limit = min(config.max_total_bytes, ratio_bytes)

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer."""
        try:
            data = b"" if self.broken else self.take(min(len(buffer), CHUNK))
        except BROKEN as error:
            self.broken, data = error, b""
        self.given += len(data)
        if self.given > self.limit:
            raise Refused("bomb", f"it unpacks to more than {self.limit} bytes")
        buffer[: len(data)] = data
        return len(data)


def tar_members(
    limited: Limited, file: Any, path: str, config: ArchiveConfig
) -> Iterator[Member | Rejected]:
    """Yield the files of a tar, in its order, and a reject if it does not end as tars do."""
    header = watched_header()
    try:
        with tarfile.open(fileobj=file, mode="r|", tarinfo=header) as archive:
            for count, entry in enumerate(archive):
                if count >= config.max_members:
                    raise Refused("too many members", f"more than {config.max_members}")
                if not (entry.isdir() or is_hidden(entry.name)):
                    yield tar_member(archive, entry, path, config)
    except BROKEN as error:
        raise limited.broken or error from None
    if limited.broken is not None:
        raise limited.broken
    if header.said is not tarfile.EOFHeaderError:  # pyright: ignore[reportAttributeAccessIssue]
        raise EOFError("it ends, or its next header is damaged, before the mark of its end")


def tar_member(
    archive: tarfile.TarFile, entry: tarfile.TarInfo, path: str, config: ArchiveConfig
) -> Member | Rejected:
    """One file of a tar; what unpacking raises if it is cut off."""
    place = f"{path}#{shown(entry.name)}"
    if bad := unsafe(entry.name):
        return Rejected(place, bad, entry.name.encode(errors="replace").decode()[:200])
    if not entry.isreg() or entry.issparse():
        return Rejected(place, "not a regular file", f"type {entry.type!r}")
    if entry.size > config.max_bytes:
        return Rejected(place, "too large", f"{entry.size} bytes")
    source = archive.extractfile(entry)
    return Member(shown(entry.name), source.read() if source else b"")


def watched_header() -> Any:
    """tarfile's headers, remembering why the last one was none: tarfile ends in silence.

    A header for a long name is as long as it says, so that is bounded too.
    """

    class Header(tarfile.TarInfo):
        said: type[Exception] | None = None

        @classmethod
        def frombuf(cls, buf: Any, encoding: str, errors: str) -> tarfile.TarInfo:
            """Read a header; note why it is none."""
            try:
                found = super().frombuf(buf, encoding, errors)
            except tarfile.HeaderError as error:
                cls.said = type(error)
                raise
            if found.type in LONG_HEADERS and found.size > LONGEST_HEADER:
                raise Refused("bomb", f"a header of {found.size} bytes")
            return found

    return Header


def zip_members(file: Any, path: str, config: ArchiveConfig) -> Iterator[Member | Rejected]:
    """Yield the files of a zip, in the order of its directory; without one, of the file."""
    try:
        archive = zipfile.ZipFile(file)
    except BROKEN as error:
        yield from headed_members(file, path, config)
        yield Rejected(path, "broken archive", f"no directory: {error}"[:200])
        return
    with archive:
        entries = checked_entries(archive, config)
        for entry in entries:
            if entry.is_dir() or is_hidden(entry.filename):
                continue
            place = f"{path}#{shown(entry.filename)}"
            try:
                yield Member(shown(entry.filename), read_entry(archive, entry, config))
            except Refused as refused:
                yield refused.reject(place)
            except BROKEN as error:
                yield Rejected(place, "broken archive", str(error)[:200])


def checked_entries(archive: zipfile.ZipFile, config: ArchiveConfig) -> list[zipfile.ZipInfo]:
    """The entries of a zip; Refused if they are too many, too large together or share bytes."""
    entries = archive.infolist()
    if len(entries) > config.max_members:
        raise Refused("too many members", f"{len(entries)}; {config.max_members} at most")
    total = sum(entry.file_size for entry in entries)
    if total > config.max_total_bytes:
        raise Refused("bomb", f"it unpacks to {total} bytes; {config.max_total_bytes} at most")
    end = 0
    for entry in sorted(entries, key=lambda entry: entry.header_offset):
        if entry.header_offset < end:
            raise Refused("bomb", "members share the same packed bytes")
        end = entry.header_offset + 30 + entry.compress_size
    return entries


def read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, config: ArchiveConfig) -> bytes:
    """The bytes of a zip's member; Refused if its name, type, size or packing is not sound."""
    if bad := unsafe(entry.filename):
        raise Refused(bad, entry.filename[:200].encode(errors="replace").decode())
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise Refused("not a regular file", "a link")
    if entry.flag_bits & 1:
        raise Refused("encrypted")
    if entry.file_size > config.max_bytes:
        raise Refused("too large", f"{entry.file_size} bytes")
    if entry.file_size > max(2**20, entry.compress_size * config.max_ratio):
        raise Refused("bomb", f"{entry.compress_size} bytes unpack to {entry.file_size}")
    with archive.open(entry) as file:
        return file.read(config.max_bytes + 1)  # zipfile ends at the size that was checked


def headed_members(file: Any, path: str, config: ArchiveConfig) -> Iterator[Member | Rejected]:
    """Yield what a zip without a directory holds, from header to header, until one is no header."""
    at, total = 0, 0
    for _ in range(config.max_members):
        file.seek(at)
        head = file.read(30)
        if len(head) < 30 or not head.startswith(b"PK\x03\x04"):
            return
        flags, method, crc, packed, name_bytes, extra = struct.unpack("<6xHH4xII4xHH", head)
        raw = file.read(name_bytes)
        name = raw.decode("utf-8" if flags & 0x800 else "cp437", "backslashreplace")
        start, place = at + 30 + name_bytes + extra, f"{path}#{shown(name)}"
        file.seek(start)
        entry = Headed(name, flags, method, crc, packed)
        try:
            data, taken = read_headed(file, entry, config, config.max_total_bytes - total)
        except Refused as refused:
            yield refused.reject(place)
            if flags & 8 or refused.reason == "cut off":
                return  # where the next one begins is not known
            at = start + packed
            continue
        total += len(data)
        if not name.endswith("/") and not is_hidden(name):
            yield Member(shown(name), data)
        at = start + taken
    raise Refused("too many members", f"more than {config.max_members}")


class Headed(NamedTuple):
    """What a zip's member says of itself in front of its bytes."""

    name: str
    flags: int
    method: int
    crc: int
    packed: int
    """Bytes; 0 if they and the sum follow the member (flag 8)."""


def read_headed(file: Any, entry: Headed, config: ArchiveConfig, left: int) -> tuple[bytes, int]:
    """A member's bytes, and how many bytes of the file it and what follows it take.

    Refused as `read_entry` refuses; `left` is what the archive may still unpack to.
    """
    follows = bool(entry.flags & 8)
    if bad := unsafe(entry.name):
        raise Refused(bad, entry.name[:200])
    if entry.flags & 1:
        raise Refused("encrypted")
    if entry.method not in (0, 8) or (follows and entry.method == 0) or entry.packed == 2**32 - 1:
        raise Refused("broken archive", f"method {entry.method}, its length only in the directory")
    unpacker = zlib.decompressobj(-15)
    pieces = list(unpack_headed(file, entry, unpacker, (config, left)))
    data = b"".join(pieces)
    crc, taken = entry.crc, entry.packed
    if follows:
        tail = (unpacker.unused_data + file.read(16))[:16]
        skip = 4 * tail.startswith(b"PK\x07\x08")
        crc = int.from_bytes(tail[skip : skip + 4], "little")
        taken = int.from_bytes(tail[skip + 4 : skip + 8], "little") + skip + 12
    if zlib.crc32(data) != crc:
        raise Refused("broken archive", "its sum is another")
    return data, taken


def unpack_headed(
    file: Any, entry: Headed, unpacker: Any, bounds: tuple[ArchiveConfig, int]
) -> Iterator[bytes]:
    """Yield a member's bytes; Refused where they end early, or are more than they may be."""
    config, left = bounds
    most = min(config.max_bytes, left)
    given = taken = 0
    while not unpacker.eof if entry.method else taken < entry.packed:
        rest = CHUNK if entry.flags & 8 else entry.packed - taken
        packed = file.read(min(CHUNK, rest))
        if not packed:
            raise Refused("cut off", f"{given} bytes are there")
        taken += len(packed)
        try:
            piece = unpacker.decompress(packed, most + 1 - given) if entry.method else packed
        except zlib.error as error:
            raise Refused("broken archive", str(error)[:200]) from None
        given += len(piece)
        if given > most:
            raise Refused("too large" if most == config.max_bytes else "bomb", f"{given} bytes")
        if given > max(2**20, taken * config.max_ratio):
            raise Refused("bomb", f"{taken} bytes unpack to {given}")
        yield piece


def is_hidden(name: str) -> bool:
    """Whether a member is passed over as hidden files in folders are."""
    return PurePosixPath(name).name.startswith(".") and ".." not in name


def unsafe(name: str) -> str:
    """Why a member's name is refused, or nothing.

    >>> unsafe("a/b.txt"), unsafe("../b"), unsafe("C:\\\\x"), unsafe("x.zip")
    ('', 'name leads out of the archive', 'name leads out of the archive', 'archive in an archive')
    """
    parts = name.replace("\\", "/").split("/")
    if ".." in parts or not parts[0] or ":" in parts[0] or "\0" in name:
        return "name leads out of the archive"
    if name.lower().endswith((*ENDINGS, ".7z", ".rar", ".zst")) and suffix_of(name) not in (
        KIND_BY_ENDING
    ):
        return "archive in an archive"
    return ""


def shown(name: str) -> str:
    """A member's name as it can be written in UTF-8."""
    return name.encode("utf-8", "backslashreplace").decode().removeprefix("./")
