"""Archives: the files in zip and tar archives and single compressed files, one record each.

Archives are streamed and nothing is written to disk, so member names cannot escape; names that try
are rejected all the same. Members before truncation or damage are kept: tars are streamed, and a
zip without its directory is read by its members' local headers. Limits on unpacked bytes (per
member and in total), on the number of members and on the compression ratio stop archive bombs.
Nested archives are not opened.
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
from pathlib import PurePosixPath
from typing import IO, Any, NamedTuple

from ..document import Record
from .files import ARCHIVE_SUFFIXES, KIND_BY_SUFFIX, TAR_SUFFIXES, kind_of_file, make_record
from .reader import (
    SKIPPED,
    SKIPPED_FOLDERS,
    FileReader,
    InputSplit,
    ReaderConfig,
    Refused,
    Rejected,
    suffix_of,
)

UNPACK_ERRORS = (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, tarfile.TarError,
          zipfile.BadZipFile, NotImplementedError, RuntimeError, OverflowError)  # fmt: skip
"""Exceptions that unpacking a damaged or hostile file may raise."""
CHUNK_BYTES = 2**16
MAX_XZ_MEMORY = 256 * 2**20
MEMORY_HEADERS = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE,
                tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)  # fmt: skip
"""Entries whose content tarfile reads into memory."""
MAX_HEADER_BYTES = 2**20


class ArchiveConfig(ReaderConfig):
    """Limits on unpacking. Own choices; text compresses to a third or a tenth."""

    max_members: int = 100_000
    """Maximum number of members of one archive. Source: own judgement."""
    max_total_bytes: int = 4 * 2**30
    """Maximum unpacked bytes of all members together. Source: own judgement."""
    max_ratio: float = 200.0
    """Maximum compression ratio of a member or the archive, applied beyond 1 MiB. Source: own
    judgement."""
    kinds: tuple[str, ...] = ()
    """Kinds to read, such as latex; others are rejected. Empty: all known kinds."""


class _ArchiveMember(NamedTuple):
    """A file in an archive."""

    path: str
    data: bytes


class Archive(FileReader):
    """The reader `archive`: .zip, .tar, compressed tars and single .gz, .bz2 and .xz files."""

    ENDINGS = ARCHIVE_SUFFIXES

    def __init__(self, config: ArchiveConfig, other: str = "") -> None:
        """Take the kind as which members of unknown endings are read; empty: they are not."""
        self.config, self.other = config, other

    def records(
        self, file: IO[bytes], input_split: InputSplit, source: str
    ) -> Iterator[Record | Rejected]:
        """Yield the members of an archive."""
        config, hidden = self.config, set[str]()
        try:
            for member in _iterate_members(file, input_split, config):
                if isinstance(member, Rejected):
                    if member.path not in hidden:
                        yield member
                    if member.reason == "hidden":  # a folder, perhaps of thousands of members
                        hidden.add(member.path)
                    continue
                kind = kind_of_file(member.path, member.data) or self.other
                path = f"{input_split.path}#{member.path}"
                if not kind or (config.kinds and kind not in config.kinds):
                    yield Rejected(path, "another kind of file", kind or member.path[-40:])
                else:
                    yield make_record(source, path, kind, member.data, {}, config.repair)
        except UNPACK_ERRORS as error:
            raise Refused("broken archive", str(error)[:200]) from None


def _iterate_members(
    file: Any, input_split: InputSplit, config: ArchiveConfig
) -> Iterator[_ArchiveMember | Rejected]:
    name = input_split.path.lower()
    if name.endswith(".zip"):
        yield from _iterate_zip(file, input_split.path, config)
        return
    limited = _LimitedStream(open_decompressed(file, name), input_split.bytes, config)
    if name.endswith(TAR_SUFFIXES):
        yield from _iterate_tar(
            limited, io.BufferedReader(limited, CHUNK_BYTES), input_split.path, config
        )
        return
    buffered = io.BufferedReader(limited, CHUNK_BYTES)
    if buffered.peek(512)[257:262] == b"ustar":  # arXiv names compressed tars .gz
        yield from _iterate_tar(limited, buffered, input_split.path, config)
        return
    inner = PurePosixPath(input_split.path).stem
    data = buffered.read(config.max_bytes + 1)
    if limited.error is not None:
        raise limited.error
    if len(data) > config.max_bytes:
        yield Rejected(
            f"{input_split.path}#{inner}", "too large", f"more than {config.max_bytes} bytes"
        )
    elif (
        not kind_of_file(inner, data) and data.lstrip()[:1] in (b"\\", b"%") and b"\\begin" in data
    ):
        yield _ArchiveMember(inner + ".tex", data)  # arXiv's single files have no suffix
    else:
        yield _ArchiveMember(inner, data)


def open_decompressed(raw: IO[bytes], path: str) -> Any:
    """The file, decompressed while it is read if its suffix says so."""
    suffix = suffix_of(path)
    if suffix in (".gz", ".tgz"):
        return gzip.GzipFile(fileobj=raw)
    if suffix in (".bz2", ".tbz2"):
        return bz2.BZ2File(raw)
    if suffix in (".xz", ".txz"):
        return io.BufferedReader(_XzStream(raw), CHUNK_BYTES)
    if suffix == ".zst":
        import pyarrow

        stream = pyarrow.CompressedInputStream(raw, "zstd")
        return io.BufferedReader(stream, 16 * CHUNK_BYTES)
    return raw


class _XzStream(io.RawIOBase):
    """An xz file with bounded memory: a header may ask for a dictionary of 4 GiB."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.unpacker = lzma.LZMADecompressor(memlimit=MAX_XZ_MEMORY)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = b""
        while not data:
            packed = b""
            if self.unpacker.eof:  # another stream may follow; anything else is ignored
                packed = (self.unpacker.unused_data or self.file.read(CHUNK_BYTES)).lstrip(b"\0")
                if not packed.startswith(b"\xfd7zXZ"):
                    return 0
                self.unpacker = lzma.LZMADecompressor(memlimit=MAX_XZ_MEMORY)
            elif self.unpacker.needs_input:
                packed = self.file.read(CHUNK_BYTES)
                if not packed:
                    raise EOFError("the file is truncated")
            data = self.unpacker.decompress(packed, len(buffer))
        buffer[: len(data)] = data
        return len(data)


class _LimitedStream(io.RawIOBase):
    """A stream that raises Refused when it exceeds the archive's limit of unpacked bytes.

    If decompression fails the stream ends, so that earlier data is kept, and `error` has the
    error.
    """

    def __init__(self, file: Any, packed: int, config: ArchiveConfig) -> None:
        # On an error, `read` of gzip and bzip2 files loses the data already read; `read1` does not.
        self.read_some = getattr(file, "read1", file.read)
        self.error: Exception | None = None
        self.unpacked_bytes = 0
        ratio_bytes = int(max(2**20, packed * config.max_ratio))
        self.limit = min(config.max_total_bytes, ratio_bytes)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = b"" if self.error else self.read_some(min(len(buffer), CHUNK_BYTES))
        except UNPACK_ERRORS as error:
            self.error, data = error, b""
        self.unpacked_bytes += len(data)
        if self.unpacked_bytes > self.limit:
            raise Refused("bomb", f"it unpacks to more than {self.limit} bytes")
        buffer[: len(data)] = data
        return len(data)


def _iterate_tar(
    limited: _LimitedStream, file: Any, path: str, config: ArchiveConfig
) -> Iterator[_ArchiveMember | Rejected]:
    """Yield the files of a tar in order; raises an error at the end if the tar is truncated."""
    header = _recording_tarinfo()
    try:
        with tarfile.open(fileobj=file, mode="r|", tarinfo=header) as archive:
            for count, entry in enumerate(archive):
                if count >= config.max_members:
                    raise Refused("too many members", f"more than {config.max_members}")
                if hidden := _hidden_path(entry.name):
                    yield Rejected(f"{path}#{hidden}", "hidden", SKIPPED["hidden"])
                elif not entry.isdir():
                    yield _read_tar_member(archive, entry, path, config)
    except UNPACK_ERRORS as error:
        raise limited.error or error from None
    if limited.error is not None:
        raise limited.error
    if header.said is not tarfile.EOFHeaderError:  # pyright: ignore[reportAttributeAccessIssue]
        raise EOFError("it ends, or a header is damaged, before the end-of-archive mark")


def _read_tar_member(
    archive: tarfile.TarFile, entry: tarfile.TarInfo, path: str, config: ArchiveConfig
) -> _ArchiveMember | Rejected:
    """One file of a tar; raises the decompression error if it is truncated."""
    member_path = f"{path}#{_valid_name(entry.name)}"
    if problem := _refusal_reason(entry.name):
        return Rejected(member_path, problem, entry.name.encode(errors="replace").decode()[:200])
    if not entry.isreg() or entry.issparse():
        return Rejected(member_path, "not a regular file", f"type {entry.type!r}")
    if entry.size > config.max_bytes:
        return Rejected(member_path, "too large", f"{entry.size} bytes")
    source = archive.extractfile(entry)
    return _ArchiveMember(_valid_name(entry.name), source.read() if source else b"")


def _recording_tarinfo() -> Any:
    """A TarInfo class that records why the last header was invalid; tarfile ends silently.

    It also limits the headers of long names, which tarfile reads into memory.
    """

    class Header(tarfile.TarInfo):
        said: type[Exception] | None = None

        @classmethod
        def frombuf(cls, buf: Any, encoding: str, errors: str) -> tarfile.TarInfo:
            """Read a header and record the error if it is invalid."""
            try:
                header = super().frombuf(buf, encoding, errors)
            except tarfile.HeaderError as error:
                cls.said = type(error)
                raise
            if header.type in MEMORY_HEADERS and header.size > MAX_HEADER_BYTES:
                raise Refused("bomb", f"a header of {header.size} bytes")
            return header

    return Header


def _iterate_zip(
    file: Any, path: str, config: ArchiveConfig
) -> Iterator[_ArchiveMember | Rejected]:
    """Yield the files of a zip in directory order; without a directory, in file order."""
    try:
        archive = zipfile.ZipFile(file)
    except UNPACK_ERRORS as error:
        yield from _iterate_local_headers(file, path, config)
        yield Rejected(path, "broken archive", f"no directory: {error}"[:200])
        return
    with archive:
        entries = checked_entries(archive, config)
        for entry in entries:
            if hidden := _hidden_path(entry.filename):
                yield Rejected(f"{path}#{hidden}", "hidden", SKIPPED["hidden"])
                continue
            if entry.is_dir():
                continue
            member_path = f"{path}#{_valid_name(entry.filename)}"
            try:
                yield _ArchiveMember(
                    _valid_name(entry.filename), read_entry(archive, entry, config)
                )
            except Refused as refused:
                yield refused.reject(member_path)
            except UNPACK_ERRORS as error:
                yield Rejected(member_path, "broken archive", str(error)[:200])


def checked_entries(archive: zipfile.ZipFile, config: ArchiveConfig) -> list[zipfile.ZipInfo]:
    """The entries of a zip; Refused if they are too many, too large in total, or overlap."""
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
    """The bytes of a zip member; Refused if its name, type, size or ratio is unacceptable."""
    if problem := _refusal_reason(entry.filename):
        raise Refused(problem, entry.filename[:200].encode(errors="replace").decode())
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise Refused("not a regular file", "a link")
    if entry.flag_bits & 1:
        raise Refused("encrypted")
    if entry.file_size > config.max_bytes:
        raise Refused("too large", f"{entry.file_size} bytes")
    if entry.file_size > max(2**20, entry.compress_size * config.max_ratio):
        raise Refused("bomb", f"{entry.compress_size} bytes unpack to {entry.file_size}")
    with archive.open(entry) as file:
        return file.read(config.max_bytes + 1)  # zipfile stops at the size that was checked


def _iterate_local_headers(
    file: Any, path: str, config: ArchiveConfig
) -> Iterator[_ArchiveMember | Rejected]:
    """Yield the members of a zip without directory, from local header to local header."""
    at, total = 0, 0
    for _ in range(config.max_members):
        file.seek(at)
        head = file.read(30)
        if len(head) < 30 or not head.startswith(b"PK\x03\x04"):
            return
        flags, method, crc, packed, name_bytes, extra = struct.unpack("<6xHH4xII4xHH", head)
        raw = file.read(name_bytes)
        name = raw.decode("utf-8" if flags & 0x800 else "cp437", "backslashreplace")
        start, member_path = at + 30 + name_bytes + extra, f"{path}#{_valid_name(name)}"
        file.seek(start)
        entry = _LocalHeader(name, flags, method, crc, packed)
        try:
            data, taken = _read_local_member(file, entry, config, config.max_total_bytes - total)
        except Refused as refused:
            yield refused.reject(member_path)
            if flags & 8 or refused.reason == "cut off":
                return  # the start of the next member is unknown
            at = start + packed
            continue
        total += len(data)
        if hidden := _hidden_path(name):
            yield Rejected(f"{path}#{hidden}", "hidden", SKIPPED["hidden"])
        elif not name.endswith("/"):
            yield _ArchiveMember(_valid_name(name), data)
        at = start + taken
    raise Refused("too many members", f"more than {config.max_members}")


class _LocalHeader(NamedTuple):
    """The local header of a zip member."""

    name: str
    flags: int
    method: int
    crc: int
    compressed_bytes: int
    """Compressed bytes; 0 if sizes and CRC follow the member (flag 8)."""


def _read_local_member(
    file: Any, entry: _LocalHeader, config: ArchiveConfig, remaining: int
) -> tuple[bytes, int]:
    """A member's bytes, and the number of bytes in the file up to the next header.

    Raises Refused like `read_entry`; `left` is what the archive may still unpack to.
    """
    follows = bool(entry.flags & 8)
    if problem := _refusal_reason(entry.name):
        raise Refused(problem, entry.name[:200])
    if entry.flags & 1:
        raise Refused("encrypted")
    if (
        entry.method not in (0, 8)
        or (follows and entry.method == 0)
        or entry.compressed_bytes == 2**32 - 1
    ):
        raise Refused("broken archive", f"method {entry.method}, its length only in the directory")
    unpacker = zlib.decompressobj(-15)
    pieces = list(_unpack_local_member(file, entry, unpacker, (config, remaining)))
    data = b"".join(pieces)
    crc, taken = entry.crc, entry.compressed_bytes
    if follows:
        tail = (unpacker.unused_data + file.read(16))[:16]
        skip = 4 * tail.startswith(b"PK\x07\x08")
        crc = int.from_bytes(tail[skip : skip + 4], "little")
        taken = int.from_bytes(tail[skip + 4 : skip + 8], "little") + skip + 12
    if zlib.crc32(data) != crc:
        raise Refused("broken archive", "its CRC does not match")
    return data, taken


def _unpack_local_member(
    file: Any, entry: _LocalHeader, unpacker: Any, bounds: tuple[ArchiveConfig, int]
) -> Iterator[bytes]:
    """Yield a member's bytes; Refused if they end early or exceed a limit."""
    config, remaining = bounds
    most = min(config.max_bytes, remaining)
    unpacked = taken = 0
    while not unpacker.eof if entry.method else taken < entry.compressed_bytes:
        chunk_size = CHUNK_BYTES if entry.flags & 8 else entry.compressed_bytes - taken
        packed = file.read(min(CHUNK_BYTES, chunk_size))
        if not packed:
            raise Refused("cut off", f"{unpacked} bytes are there")
        taken += len(packed)
        try:
            chunk = unpacker.decompress(packed, most + 1 - unpacked) if entry.method else packed
        except zlib.error as error:
            raise Refused("broken archive", str(error)[:200]) from None
        unpacked += len(chunk)
        if unpacked > most:
            raise Refused("too large" if most == config.max_bytes else "bomb", f"{unpacked} bytes")
        if unpacked > max(2**20, taken * config.max_ratio):
            raise Refused("bomb", f"{taken} bytes unpack to {unpacked}")
        yield chunk


def _hidden_path(name: str) -> str:
    """A member's path up to its first hidden part, as folders are walked; empty if none is.

    >>> [_hidden_path(name) for name in ("./a/.git/config", "a/b.txt", "../.git")]
    ['a/.git', '', '']
    """
    parts = PurePosixPath(_valid_name(name).replace("\\", "/")).parts
    if ".." not in parts:
        for at, part in enumerate(parts, 1):
            if part.startswith(".") or part in SKIPPED_FOLDERS:
                return "/".join(parts[:at])
    return ""


def _refusal_reason(name: str) -> str:
    """Why a member's name is refused, or an empty string.

    >>> [_refusal_reason(name) for name in ("a/b.txt", "../b", "x.zip")]
    ['', 'name leads out of the archive', 'archive in an archive']
    """
    parts = name.replace("\\", "/").split("/")
    if ".." in parts or not parts[0] or ":" in parts[0] or "\0" in name:
        return "name leads out of the archive"
    if name.lower().endswith((*ARCHIVE_SUFFIXES, ".7z", ".rar", ".zst")) and suffix_of(
        name
    ) not in (KIND_BY_SUFFIX):
        return "archive in an archive"
    return ""


def _valid_name(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode().removeprefix("./")
