"""Encodings: decode bytes to text with a map from every character to its bytes.

A byte order mark decides, then the charset declared by the file or server, then UTF-8, then a guess
from the bytes. UTF-8 is one exact segment; single-byte charsets keep exact positions; others are
mapped line by line. `Pieces` builds a text from slices of the original together with their map.
Source of the order, and of reading Latin-1 as Windows-1252: WHATWG Encoding Standard, §§ 4.2, 6.
"""

import re
from typing import NamedTuple

import numpy as np

from groundup.core import MissingExtra

from ..document import Segment, Segments, SourceMap
from ..markup import MULTI_BYTE, charset_named
from ..record import slice_of
from .reader import Refused

MARKS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\x00\x00", "utf-32-le"),
    (b"\x00\x00\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
GUESSED = (
    "cp1252 cp1250 cp1251 cp1253 cp1254 cp1255 cp1256 cp1257 koi8_r iso8859_2 iso8859_5 cp866 "
    "gb18030 big5 euc_jp cp932 cp949"
).split()
ALPHABETS = {
    "cp1252": "äöüß éèàùâêîôûëïçœæ áéíóúüñ àèéìòù áâãàçéêíóôõú éëïóöüáè åäö æøå áéíóúýþæðö",
    "cp1250": "ąćęłńóśźż áčďéěíňóřšťúůýž áéíóöőúüű áäčďéíĺľňóôŕšťúýž čćđšž ăâîşţ",
    "iso8859_2": "ąćęłńóśźż áčďéěíňóřšťúůýž áéíóöőúüű áäčďéíĺľňóôŕšťúýž čćđšž ăâîşţ",
    "cp1254": "çğıöşüi̇âî",
    "cp1257": "ąčęėįšųūž āčēģīķļņšūž äõöüšž",
}
"""Letters other than a–z of the languages written in each Latin charset, likeliest charset first.
"""
ALPHABET_SHARE = 0.9
"""Minimum share of the letters other than a–z that are in one alphabet; the rest are names. Own
choice."""
SAMPLE_BYTES = 32 * 2**10
"""Bytes from which a charset is guessed. Own choice: some thousand letters."""
EXACT_CHARACTERS = 200_000
"""Up to this number of non-ASCII characters each has its own segment; beyond, each line has."""
BAD_SHARE = 0.001
"""Up to this share of bytes that are not UTF-8, a text counts as damaged UTF-8."""


class Decoded(NamedTuple):
    """A decoded text with its map, and how it was read."""

    map: SourceMap
    charset: str
    replaced: int = 0
    """Number of undecodable bytes that became U+FFFD."""


def decode(data: bytes, declared: str = "", repair: bool = True) -> Decoded:
    """Decode bytes; Refused if they are binary or in no known charset.

    Without `repair` only UTF-8 is accepted. A declared charset that does not fit is ignored.

    >>> read = decode("naïve café".encode("cp1252"), declared="latin-1")
    >>> read.map.text, read.charset, read.map.byte_range(9, 10)
    ('naïve café', 'cp1252', (9, 10))
    """
    for mark, charset in MARKS:
        if data.startswith(mark) and (repair or charset == "utf-8"):
            return in_charset(data, charset, len(mark)) or refuse(data)
    if (at := data.find(b"\0")) >= 0:
        raise Refused("binary", f"a zero byte at {at}")
    charset = charset_named(declared)
    declared_charsets = [charset] if charset and repair and not charset.startswith("utf-16") else []
    for name in [*declared_charsets, "utf-8"]:
        if decoded := in_charset(data, name, 0):
            return decoded
    if not repair:
        refuse(data)
    if decoded := damaged_utf8(data, limit=0.01 if charset == "utf-8" else BAD_SHARE):
        return decoded
    return guessed(data)


def refuse(data: bytes) -> Decoded:
    """Raise Refused with the first byte that is not UTF-8."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        problem = f"byte 0x{data[error.start]:02x} at {error.start} is not utf-8"
        raise Refused("not UTF-8", f"{problem}; convert the file to UTF-8") from None
    raise Refused("wrong charset", "the bytes are not in the charset of their byte order mark")


def in_charset(data: bytes, charset: str, skip: int) -> Decoded | None:
    """Decode `data[skip:]` in a charset; None if it is invalid there."""
    try:
        text = data[skip:].decode(charset)
    except UnicodeDecodeError:
        return None
    if charset == "utf-8":
        return Decoded(SourceMap.identity(text, skip), charset)
    if charset.startswith("utf-") or charset in MULTI_BYTE:
        return Decoded(by_line(data, text, charset, skip), charset)
    return Decoded(by_character(text, skip), charset)


def by_character(text: str, skip: int) -> SourceMap:
    """Map of a single-byte text: ASCII runs are exact, other characters one segment each."""
    runs = r"[\x00-\x7f]+|[^\x00-\x7f]"
    if len(text) - len(text.encode("ascii", "ignore")) > EXACT_CHARACTERS:
        runs = r"[^\n]*\n|[^\n]+"
    segments, line = Segments(), 1
    for run in re.finditer(runs, text):
        start, end = run.span()
        exact = run[0].isascii()
        segments.append(Segment(start, end, skip + start, skip + end, line, exact))
        line += run[0].count("\n")
    return SourceMap(text, segments)


def by_line(data: bytes, text: str, charset: str, skip: int) -> SourceMap:
    """Map of a multi-byte text: one segment per line, or a single one if that fails."""
    segments = Segments()
    start, byte = 0, skip
    newline = "\n".encode(charset)
    for number, line in enumerate(lines_of(text), 1):
        if charset.startswith("utf-"):
            stop = byte + len(line.encode(charset))
        else:
            at = data.find(newline, byte)
            stop = len(data) if at < 0 else at + 1
        segments.append(Segment(start, start + len(line), byte, stop, number, False))
        start, byte = start + len(line), stop
    is_consistent = byte == len(data) and start == len(text)
    if is_consistent and not charset.startswith("utf-"):
        sample = segments[:: max(1, len(segments) // 64)]
        is_consistent = all(
            data[s.byte_start : s.byte_end].decode(charset, "replace") == text[s.start : s.end]
            for s in sample
        )
    if not is_consistent:
        return SourceMap(text, [Segment(0, len(text), skip, len(data), 1, False)] if text else [])
    return SourceMap(text, segments)


def lines_of(text: str) -> list[str]:
    """The lines of a text, each with its newline."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def damaged_utf8(data: bytes, limit: float) -> Decoded | None:
    """Decode UTF-8 with some invalid bytes, each run replaced by U+FFFD; None if there are too
    many.

    Text that is ASCII except for the invalid bytes is in another charset, not damaged.
    """
    escaped = data.decode("utf-8", "surrogateescape")
    invalid = sum(len(run) for run in re.findall("[\udc80-\udcff]+", escaped))
    valid = sum(len(run) for run in re.findall("[^\x00-\x7f\udc80-\udcff]+", escaped))
    if invalid > max(limit * len(data), 1) or valid <= invalid:
        return None
    pieces = Pieces()
    byte = 0
    for run in re.finditer("[\udc80-\udcff]+|[^\udc80-\udcff]+", escaped):
        if "\udc80" <= run[0][0] <= "\udcff":
            pieces.add("\ufffd", byte, byte + len(run[0]), exact=False)
            byte += len(run[0])
        else:
            size = len(run[0].encode("utf-8"))
            pieces.add(run[0], byte, byte + size)
            byte += size
    return Decoded(pieces.map(), "utf-8", invalid)


def guessed(data: bytes) -> Decoded:
    """Decode in the charset that fits the bytes best; Refused if none does."""
    try:
        import charset_normalizer
    except ImportError:
        raise MissingExtra("charset-normalizer", "corpus") from None
    cut = data.rfind(b"\n", 0, SAMPLE_BYTES) + 1 if len(data) > SAMPLE_BYTES else 0
    sample = data[: cut or SAMPLE_BYTES]
    matches = charset_normalizer.from_bytes(sample, cp_isolation=list(GUESSED))
    names = [match.encoding for match in matches]
    if not names or names[0] in ALPHABETS:
        names = [*latin_charsets(sample), *names]
    for name in names:
        charset = charset_named(name)
        if charset and (decoded := in_charset(data, charset, 0)):
            return decoded
    raise Refused("unknown charset", "neither UTF-8 nor a charset that fits its bytes")


def latin_charsets(sample: bytes) -> list[str]:
    """Latin charsets in which almost all letters belong to one language's alphabet, best first.

    Byte frequencies distinguish scripts but not these charsets; the alphabets do.
    """
    shares = {}
    for charset, alphabets in ALPHABETS.items():
        text = sample.decode(charset, "replace").lower()
        letters_found = re.findall(r"[^\W\d_a-z]|\ufffd|[\x80-\xa0¤¦¨©¬®¯°±²³¶¸¹¼½¾×÷]", text)
        inside = max(
            sum(letter in letters for letter in letters_found) for letters in alphabets.split()
        )
        shares[charset] = inside / len(letters_found) if letters_found else 0.0
    plausible = [charset for charset, share in shares.items() if share >= ALPHABET_SHARE]
    return sorted(plausible, key=lambda charset: -shares[charset])  # stable: likeliest first


class Pieces:
    """Builds a text piece by piece, with the map to the bytes of each piece."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.segments = Segments()
        self.length = 0

    def add(self, text: str, start: int, end: int, line: int = 0, exact: bool = True) -> None:
        """Append text that corresponds to these bytes; line 0 continues from the previous piece."""
        if not text:
            return
        if not line:
            line = self.next_line()
        begin, self.length = self.length, self.length + len(text)
        self.texts.append(text)
        self.segments.append(Segment(begin, self.length, start, end, line, exact))

    def run(self, text: str, start: int, line: int) -> int:
        """Append text that is these bytes in UTF-8; returns the end offset in bytes."""
        end = start + (len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass")))
        begin, self.length = self.length, self.length + len(text)
        if begin < self.length:
            self.texts.append(text)
            self.segments.append(Segment(begin, self.length, start, end, line, True))
        return end

    def whole(self, text: str, start: int, size: int, line: int) -> int:
        """Append text that corresponds to `size` bytes as a unit; returns the end offset."""
        begin, self.length = self.length, self.length + len(text)
        self.texts.append(text)
        self.segments.append(Segment(begin, self.length, start, start + size, line, False))
        return start + size

    def next_line(self) -> int:
        """The line on which the last piece ends."""
        if not self.segments:
            return 1
        return self.segments[-1].line + self.texts[-1].count("\n")

    def put(self, text: str, byte: int = -1, line: int = 0) -> None:
        """Append text without bytes of its own, such as a line break; by default at the end."""
        if byte < 0:
            byte = self.segments[-1].byte_end if self.segments else 0
        self.add(text, byte, byte, line, exact=False)

    def take(self, map: SourceMap, start: int, end: int, shift: int = 0, lines: int = 0) -> None:
        """Append a slice of another map's text, with its bytes and lines shifted."""
        for segment in slice_of(map, start, end, self.segments.length):
            self.segments.append(
                segment._replace(
                    byte_start=segment.byte_start + shift,
                    byte_end=segment.byte_end + shift,
                    line=segment.line + lines,
                )
            )
        self.texts.append(map.text[start:end])
        self.length += end - start

    def map(self) -> SourceMap:
        """The text and its map."""
        return SourceMap("".join(self.texts), self.segments)


def through(map: SourceMap, unicode: bytes, original: SourceMap) -> SourceMap:
    """Compose a map to the UTF-8 form of a text with the map of the decoding."""
    if original.segments and original.segments[0].exact and len(original.segments) == 1:
        shift = original.segments[0].byte_start
        if not shift:
            return map
        pieces = Pieces()
        pieces.take(map, 0, len(map.text), shift)
        return pieces.map()
    begins = (np.frombuffer(unicode, dtype=np.uint8) & 0xC0) != 0x80
    before = np.concatenate([[0], np.cumsum(begins)])  # number of characters before each byte
    segments = Segments()
    for segment in map.segments:
        first, last = int(before[segment.byte_start]), int(before[segment.byte_end])
        if segment.exact:
            segments.extend(slice_of(original, first, last, segments.length))
        else:
            byte_range = original.byte_range(first, last)
            segments.append(
                Segment(segment.start, segment.end, *byte_range, original.line(first), False)
            )
    return SourceMap(map.text, segments)
