"""Encodings: bytes to text whose every character still knows its bytes.

A byte order mark decides, then what the file or its server declares, then UTF-8, then a guess from
the bytes. UTF-8 is one exact segment; a charset of one byte a character keeps exact places; others
are mapped line by line. `Pieces` puts a text together from slices of the original with their map.
Knows nothing of files or formats.
Source of the order, and of reading Latin-1 as Windows-1252: WHATWG Encoding Standard, § 4.2, § 6.
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
"""Letters beyond a–z of the languages that were written in each Latin charset, likeliest first."""
ALPHABET_SHARE = 0.9
"""Least share of the letters beyond a–z in one alphabet; the rest are names. Own choice."""
SAMPLE_BYTES = 32 * 2**10
"""Bytes from which a charset is guessed. Own choice: some thousand letters."""
EXACT_CHARACTERS = 200_000
"""Up to so many characters outside ASCII have segments of their own; beyond, lines do."""
BAD_SHARE = 0.001
"""Up to this share of bytes that are not UTF-8, a text counts as UTF-8 with damage."""


class Decoded(NamedTuple):
    """A text, where it came from, and how it was read."""

    map: SourceMap
    charset: str
    replaced: int = 0
    """Bytes that are in no charset and became U+FFFD."""


def decode(data: bytes, declared: str = "", repair: bool = True) -> Decoded:
    """The text of bytes, with its map; Refused where they are binary or in no known charset.

    Without `repair` only UTF-8 is taken. A declared charset that does not fit is not believed.

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
    wanted = [charset] if charset and repair and not charset.startswith("utf-16") else []
    for name in [*wanted, "utf-8"]:
        if found := in_charset(data, name, 0):
            return found
    if not repair:
        refuse(data)
    if found := damaged_utf8(data, limit=0.01 if charset == "utf-8" else BAD_SHARE):
        return found
    return guessed(data)


def refuse(data: bytes) -> Decoded:
    """Raise Refused with the first byte that is not UTF-8."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        found = f"byte 0x{data[error.start]:02x} at {error.start} is not utf-8"
        raise Refused("not UTF-8", f"{found}; convert the file to UTF-8") from None
    raise Refused("wrong charset", "the bytes are not in the charset of their byte order mark")


def in_charset(data: bytes, charset: str, skip: int) -> Decoded | None:
    """The text of `data[skip:]` in a charset, or None if it is not in it."""
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
    """Map of a text of one byte a character: ASCII runs exact, others a segment each."""
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
    """Map of a text of several bytes a character: a segment a line, or one if that fails."""
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
    whole = byte == len(data) and start == len(text)
    if whole and not charset.startswith("utf-"):
        sample = segments[:: max(1, len(segments) // 64)]
        whole = all(
            data[s.byte_start : s.byte_end].decode(charset, "replace") == text[s.start : s.end]
            for s in sample
        )
    if not whole:
        return SourceMap(text, [Segment(0, len(text), skip, len(data), 1, False)] if text else [])
    return SourceMap(text, segments)


def lines_of(text: str) -> list[str]:
    """The lines of a text, each with the newline that ends it."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def damaged_utf8(data: bytes, limit: float) -> Decoded | None:
    """UTF-8 in which some bytes are wrong, each run of them U+FFFD; None if it is too many.

    Text that is ASCII but for the wrong bytes is in some other charset, not damaged.
    """
    escaped = data.decode("utf-8", "surrogateescape")
    bad = sum(len(run) for run in re.findall("[\udc80-\udcff]+", escaped))
    good = sum(len(run) for run in re.findall("[^\x00-\x7f\udc80-\udcff]+", escaped))
    if bad > max(limit * len(data), 1) or good <= bad:
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
    return Decoded(pieces.map(), "utf-8", bad)


def guessed(data: bytes) -> Decoded:
    """The text in the charset that fits its bytes best; Refused if none does."""
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
        if charset and (found := in_charset(data, charset, 0)):
            return found
    raise Refused("unknown charset", "neither UTF-8 nor any other that its bytes look like")


def latin_charsets(sample: bytes) -> list[str]:
    """Latin charsets in which all but few letters are of one language's alphabet, best first.

    Frequencies of bytes tell scripts apart but not these; the alphabets do.
    """
    shares = {}
    for charset, alphabets in ALPHABETS.items():
        said = sample.decode(charset, "replace").lower()
        marked = re.findall(r"[^\W\d_a-z]|\ufffd|[\x80-\xa0¤¦¨©¬®¯°±²³¶¸¹¼½¾×÷]", said)
        inside = max(sum(one in letters for one in marked) for letters in alphabets.split())
        shares[charset] = inside / len(marked) if marked else 0.0
    good = [charset for charset, share in shares.items() if share >= ALPHABET_SHARE]
    return sorted(good, key=lambda charset: -shares[charset])  # stable: likeliest first


class Pieces:
    """A text put together piece by piece, with the map to the bytes each piece came from."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.segments = Segments()
        self.length = 0

    def add(self, text: str, start: int, end: int, line: int = 0, exact: bool = True) -> None:
        """Add a text that lies at these bytes; line 0 counts on from the piece before."""
        if not text:
            return
        if not line:
            line = self.next_line()
        begin, self.length = self.length, self.length + len(text)
        self.texts.append(text)
        self.segments.append(Segment(begin, self.length, start, end, line, exact))

    def run(self, text: str, start: int, line: int) -> int:
        """Add a text that is these bytes in UTF-8; returns the byte of its end."""
        end = start + (len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass")))
        begin, self.length = self.length, self.length + len(text)
        if begin < self.length:
            self.texts.append(text)
            self.segments.append(Segment(begin, self.length, start, end, line, True))
        return end

    def whole(self, text: str, start: int, size: int, line: int) -> int:
        """Add a text that stands for `size` bytes together; returns the byte of its end."""
        begin, self.length = self.length, self.length + len(text)
        self.texts.append(text)
        self.segments.append(Segment(begin, self.length, start, start + size, line, False))
        return start + size

    def next_line(self) -> int:
        """The line on which the last piece ended."""
        if not self.segments:
            return 1
        return self.segments[-1].line + self.texts[-1].count("\n")

    def put(self, text: str, byte: int = -1, line: int = 0) -> None:
        """Put a text in that no bytes say, such as a line break; at the last byte by default."""
        if byte < 0:
            byte = self.segments[-1].byte_end if self.segments else 0
        self.add(text, byte, byte, line, exact=False)

    def take(self, map: SourceMap, start: int, end: int, shift: int = 0, lines: int = 0) -> None:
        """Add a slice of another map's text, its bytes and lines moved on."""
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
    """A map to the UTF-8 form of a text, led on to the bytes that the text was decoded from."""
    if original.segments and original.segments[0].exact and len(original.segments) == 1:
        shift = original.segments[0].byte_start
        if not shift:
            return map
        pieces = Pieces()
        pieces.take(map, 0, len(map.text), shift)
        return pieces.map()
    begins = (np.frombuffer(unicode, dtype=np.uint8) & 0xC0) != 0x80
    before = np.concatenate([[0], np.cumsum(begins)])  # characters before each byte
    segments = Segments()
    for one in map.segments:
        first, last = int(before[one.byte_start]), int(before[one.byte_end])
        if one.exact:
            segments.extend(slice_of(original, first, last, segments.length))
        else:
            place = original.byte_range(first, last)
            segments.append(Segment(one.start, one.end, *place, original.line(first), False))
    return SourceMap(map.text, segments)
