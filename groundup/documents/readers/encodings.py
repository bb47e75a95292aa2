"""Encodings: decode bytes to text with a map from every character to its bytes.

A byte order mark decides, then the charset declared by the server, then the one that the bytes
declare, then UTF-8, then a guess from the bytes. UTF-8 is one exact segment; single-byte charsets
keep exact positions; UTF-16 is mapped word by word, others line by line. `SourceMapBuilder` builds
a text from slices of the original together with their map.
Source of the order, and of reading Latin-1 as Windows-1252: WHATWG Encoding Standard, §§ 4.2, 6;
of UTF-16 without a mark: XML 1.0, appendix F.
"""

import codecs
import re
from typing import NamedTuple

from groundup.core import MissingExtra

from ..document import Segment, Segments, SourceMap
from ..record import slice_segments
from .reader import Refused

BYTE_ORDER_MARKS = (
    (b"\xef\xbb\xbf", "utf-8", 3),
    (b"\xff\xfe\x00\x00", "utf-32-le", 4),
    (b"\x00\x00\xfe\xff", "utf-32-be", 4),
    (b"\xff\xfe", "utf-16-le", 2),
    (b"\xfe\xff", "utf-16-be", 2),
    (b"<\0", "utf-16-le", 0),
    (b"\0<", "utf-16-be", 0),
)
"""First bytes, their charset, and how many of them are not text."""
WIDE_STARTS = tuple(mark for mark, charset, _ in BYTE_ORDER_MARKS if charset != "utf-8")
"""First bytes of a text whose zero bytes are parts of characters."""
DECLARED_CHARSET = re.compile(
    rb"""<\?xml[^>]{0,200}encoding\s*=\s*["']([\w.:-]+)|<meta[^>]{0,300}charset\s*=\s*["']?\s*([\w.:-]+)""",
    re.IGNORECASE,
)
CODING_COMMENT = re.compile(rb"[ \t\f]*#[^\n]{0,200}?coding[:=][ \t]*([-\w.]{1,40})")
SINGLE_BYTE = re.compile(
    r"cp125[0-8]|iso8859-\d+|koi8-[rut]|kz1048|mac-\w+|tis-620|cp874"
    r"|cp(?:437|720|737|775|85[0-8]|86[0-9])"
)
MULTI_BYTE = frozenset(
    "gb18030 big5 big5hkscs euc_jp shift_jis cp932 iso2022_jp euc_kr cp949 "
    "utf-16-le utf-16-be utf-32-le utf-32-be".split()
)
CHARSET_ALIASES = {"ascii": "cp1252", "iso8859-1": "cp1252", "gb2312": "gb18030", "gbk": "gb18030",
           "shift_jis": "cp932", "euc_kr": "cp949", "iso8859-9": "cp1254",
           "iso8859-11": "cp874", "utf-16": "utf-16-le"}  # fmt: skip
GUESSABLE_CHARSETS = (
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
MIN_ALPHABET_SHARE = 0.9
"""Minimum share of the letters other than a–z that are in one alphabet; the rest are names. Own
choice."""
SAMPLE_BYTES = 32 * 2**10
"""Bytes from which a charset is guessed. Own choice: some thousand letters."""
MAX_EXACT_CHARACTERS = 200_000
"""Up to this number of non-ASCII characters each has its own segment; beyond, each line has."""
MAX_INVALID_SHARE, MAX_DECLARED_INVALID_SHARE = 0.001, 0.01
"""Up to this share of invalid bytes, a text counts as damaged UTF-8; the second if it declares it.
"""
MAX_DAMAGES, MIN_VALID_RATIO = 3, 4
"""Up to so many damaged characters in a short text too, if it has this many times as many valid
continuation bytes, or as many letters beyond ASCII in words. Own choice."""
DAMAGED_CHARACTER = re.compile(
    "\udced[\udca0-\udcbf][\udc80-\udcbf]|"
    "[\udcc2-\udcdf]|[\udce0-\udcef][\udc80-\udcbf]?|[\udcf0-\udcf4][\udc80-\udcbf]{,2}|."
)
"""A surrogate, the rest of a character of several bytes, or a single byte; escaped."""
IN_WORD = re.compile(
    "[A-Za-z][\udc80-\udcff]?[\u00c0-\u017f\u2010-\u2027]"
    "|[\u00c0-\u017f\u2010-\u2027][\udc80-\udcff]?[A-Za-z]"
)
"""A letter or a mark beyond ASCII, in a word: no other charset writes it as valid UTF-8."""


class DecodedText(NamedTuple):
    """A decoded text with its map, and how it was read."""

    map: SourceMap
    charset: str
    replaced: int = 0
    """Number of undecodable bytes that became U+FFFD."""


def decode(data: bytes, declared: str = "", repair: bool = True, kind: str = "") -> DecodedText:
    """Decode bytes; Refused if they are binary or in no known charset.

    declared: by the server; `kind`, such as html, says how the bytes themselves declare a charset.
    One that does not fit is ignored. Without `repair` nothing is guessed or replaced.

    >>> read = decode("naïve café".encode("cp1252"), declared="latin-1")
    >>> read.map.text, read.charset, read.map.byte_range(9, 10)
    ('naïve café', 'cp1252', (9, 10))
    """
    for mark, charset, skip in BYTE_ORDER_MARKS:
        if data.startswith(mark) and (skip or kind in ("html", "jats")):
            return _decode_marked(data, charset, skip, repair)
    if (at := data.find(b"\0")) >= 0:
        raise Refused("binary", f"a zero byte at {at}")
    labels = [declared, _declared_charset(data, kind)]
    charsets = [_plausible_charset(label) for label in labels if label]
    for name in [*filter(None, charsets), "utf-8"]:
        if decoded := _decode_as(data, name, 0):
            return decoded
    if not repair:
        _raise_refused(data, 0)
    share = MAX_DECLARED_INVALID_SHARE if "utf-8" in charsets else MAX_INVALID_SHARE
    return _decode_damaged_utf8(data, share) or _decode_guessed(data)


def text_charset(label: str) -> str:
    """Python's name of a text encoding; empty for other codecs.

    Labels are untrusted: codecs such as `unicode_escape`, `idna` or `zlib` are never run.

    >>> text_charset("ISO-8859-1"), text_charset("x-sjis"), text_charset("zlib")
    ('cp1252', 'cp932', '')
    """
    try:
        name = codecs.lookup(label.strip().lower().removeprefix("x-")).name if label else ""
    except (LookupError, ValueError):
        return ""
    name = CHARSET_ALIASES.get(name, name).replace("utf-8-sig", "utf-8")
    known = name == "utf-8" or name in MULTI_BYTE or SINGLE_BYTE.fullmatch(name)
    return name if known else ""


def _plausible_charset(label: str) -> str:
    """UTF-8 for ASCII, which is usually meant, and for UTF-16, in which no label is readable."""
    name = text_charset(label)
    is_utf8 = name.startswith("utf-") or label.strip().lower() in ("ascii", "us-ascii")
    return "utf-8" if is_utf8 else name


def _declared_charset(data: bytes, kind: str) -> str:
    if kind in ("html", "jats", "code"):
        match = DECLARED_CHARSET.search(data, 0, 4096)
        return (match[1] or match[2]).decode("ascii", "replace") if match else ""
    if kind == "python":
        for line in data[:400].split(b"\n")[:2]:  # PEP 263
            if match := CODING_COMMENT.match(line):
                return match[1].decode("ascii")
    return ""


def _decode_marked(data: bytes, charset: str, skip: int, repair: bool) -> DecodedText:
    """Decode by a byte order mark; broken UTF-16 loses single characters, else it is Refused."""
    if charset == "utf-8":
        return _decode_as(data, charset, skip) or _raise_refused(data, skip)
    if not repair:
        details = f"a byte order mark of {charset}; convert the file to UTF-8"
        raise Refused("not UTF-8", details)
    if decoded := _decode_as(data, charset, skip):
        return decoded
    unit = 2 if charset.startswith("utf-16") else 4
    end = len(data) - (len(data) - skip) % unit
    text = data[skip:end].decode(charset, "replace")
    lost = text.count("\ufffd") + (end < len(data))
    if not text or lost > max(2, MAX_DECLARED_INVALID_SHARE * len(text)):
        raise Refused("wrong charset", "the bytes are not in the charset of their byte order mark")
    return DecodedText(_map_by_line(data[:end], text, charset, skip), charset, lost)


def _raise_refused(data: bytes, skip: int) -> DecodedText:
    """Raise Refused with the first byte that is not UTF-8."""
    try:
        data[skip:].decode("utf-8")
    except UnicodeDecodeError as error:
        at = skip + error.start
        problem = f"byte 0x{data[at]:02x} at {at} is not utf-8; convert the file to UTF-8"
        raise Refused("not UTF-8", problem) from None
    raise AssertionError("only called with bytes that are not UTF-8")


def _decode_as(data: bytes, charset: str, skip: int) -> DecodedText | None:
    """Decode `data[skip:]` in a charset; None if it is invalid there."""
    try:
        text = data[skip:].decode(charset)
    except UnicodeDecodeError:
        return None
    if charset == "utf-8":
        return DecodedText(SourceMap.identity(text, skip), charset)
    if charset.startswith("utf-") or charset in MULTI_BYTE:
        return DecodedText(_map_by_line(data, text, charset, skip), charset)
    return DecodedText(_map_by_character(text, skip), charset)


def _map_by_character(text: str, skip: int) -> SourceMap:
    """Map of a single-byte text: ASCII runs are exact, other characters one segment each."""
    runs = r"[\x00-\x7f]+|[^\x00-\x7f]"
    if len(text) - len(text.encode("ascii", "ignore")) > MAX_EXACT_CHARACTERS:
        runs = r"[^\n]*\n|[^\n]+"
    segments, line = Segments(), 1
    for run in re.finditer(runs, text):
        start, end = run.span()
        exact = run[0].isascii()
        segments.append(Segment(start, end, skip + start, skip + end, line, exact))
        line += run[0].count("\n")
    return SourceMap(text, segments)


def _map_by_line(data: bytes, text: str, charset: str, skip: int) -> SourceMap:
    """Map of a multi-byte text: a segment per word of UTF-16 and UTF-32, else per line.

    A single one if the bytes of the lines are not found.
    """
    segments, start, byte, row = Segments(), 0, skip, 1
    is_unicode = charset.startswith("utf-")
    pieces = re.findall(r"[^\s<>]+|[<>]|\s", text) if is_unicode else split_keeping_newlines(text)
    for piece in pieces:
        if is_unicode:
            stop = byte + len(piece.encode(charset))
        else:
            at = data.find(b"\n", byte)
            stop = len(data) if at < 0 else at + 1
        segments.append(Segment(start, start + len(piece), byte, stop, row, False))
        start, byte, row = start + len(piece), stop, row + piece.endswith("\n")
    is_consistent = byte == len(data) and start == len(text)
    if is_consistent and not is_unicode:
        sample = segments[:: max(1, len(segments) // 64)]
        is_consistent = all(
            data[s.byte_start : s.byte_end].decode(charset, "replace") == text[s.start : s.end]
            for s in sample
        )
    if not is_consistent:
        return SourceMap(text, [Segment(0, len(text), skip, len(data), 1, False)] if text else [])
    return SourceMap(text, segments)


def split_keeping_newlines(text: str) -> list[str]:
    """The lines of a text, each with its newline."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def _decode_damaged_utf8(data: bytes, limit: float) -> DecodedText | None:
    """Decode UTF-8 with some invalid bytes, each run replaced by U+FFFD; None if there are too
    many.

    Text that is ASCII except for the invalid bytes is in another charset, not damaged.
    """
    escaped = data.decode("utf-8", "surrogateescape")
    runs = re.findall("[\udc80-\udcff]+", escaped)
    invalid, damages = sum(map(len, runs)), sum(len(DAMAGED_CHARACTER.findall(r)) for r in runs)
    valid = sum(len(c.encode()) - 1 for c in re.findall("[^\x00-\x7f\udc80-\udcff]", escaped))
    in_words = len(IN_WORD.findall(escaped))
    few = MAX_DAMAGES if valid >= MIN_VALID_RATIO * damages or in_words >= damages else 1
    is_clear = valid > damages or valid == damages == in_words == 1
    if damages > max(limit * len(data), few) or not is_clear:
        return None
    pieces = SourceMapBuilder()
    byte = 0
    for run in re.finditer("[\udc80-\udcff]+|[^\udc80-\udcff]+", escaped):
        if "\udc80" <= run[0][0] <= "\udcff":
            pieces.append("\ufffd", byte, byte + len(run[0]), exact=False)
            byte += len(run[0])
        else:
            size = len(run[0].encode("utf-8"))
            pieces.append(run[0], byte, byte + size)
            byte += size
    return DecodedText(pieces.build(), "utf-8", invalid)


def _decode_guessed(data: bytes) -> DecodedText:
    """Decode in the charset that fits the bytes best; Refused if none does."""
    try:
        import charset_normalizer
    except ImportError:
        raise MissingExtra("charset-normalizer", "corpus") from None
    cut = data.rfind(b"\n", 0, SAMPLE_BYTES) + 1 if len(data) > SAMPLE_BYTES else 0
    sample = data[: cut or SAMPLE_BYTES]
    matches = charset_normalizer.from_bytes(sample, cp_isolation=list(GUESSABLE_CHARSETS))
    names = [match.encoding for match in matches]
    if not names or names[0] in ALPHABETS:
        western = ["cp1252"] if _is_western(sample) else []  # names of several languages
        names = [*(_plausible_latin_charsets(sample) or western), *names]
    for name in names:
        charset = text_charset(name)
        if charset and (decoded := _decode_as(data, charset, 0)):
            return decoded
    raise Refused("unknown charset", "neither UTF-8 nor a charset that fits its bytes")


def _is_western(sample: bytes) -> bool:
    """Whether all letters other than a-z are of Western European languages."""
    found = re.findall(r"[^\x00-\x7f]", sample.decode("cp1252", "replace").lower())
    return bool(found) and set(found) <= set(ALPHABETS["cp1252"])


def _plausible_latin_charsets(sample: bytes) -> list[str]:
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
    plausible = [charset for charset, share in shares.items() if share >= MIN_ALPHABET_SHARE]
    return sorted(plausible, key=lambda charset: -shares[charset])  # stable: likeliest first


class SourceMapBuilder:
    """Builds a text piece by piece, with the map to the bytes of each piece."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.segments = Segments()
        self.length = 0

    def append(self, text: str, start: int, end: int, line: int = 0, exact: bool = True) -> None:
        """Append text that corresponds to these bytes; line 0 continues from the previous piece."""
        if not text:
            return
        if not line:
            line = self.next_line()
        begin, self.length = self.length, self.length + len(text)
        self.texts.append(text)
        self.segments.append(Segment(begin, self.length, start, end, line, exact))

    def append_utf8(self, text: str, start: int, line: int) -> int:
        """Append text that is these bytes in UTF-8; returns the end offset in bytes."""
        end = start + (len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass")))
        self.append(text, start, end, line)
        return end

    def next_line(self) -> int:
        """The line on which the last piece ends."""
        if not self.segments:
            return 1
        return self.segments[-1].line + self.texts[-1].count("\n")

    def append_inserted(self, text: str, byte: int = -1, line: int = 0) -> None:
        """Append text without bytes of its own, such as a line break; by default at the end."""
        if byte < 0:
            byte = self.segments[-1].byte_end if self.segments else 0
        self.append(text, byte, byte, line, exact=False)

    def append_slice(
        self, map: SourceMap, start: int, end: int, shift: int = 0, lines: int = 0
    ) -> None:
        """Append a slice of another map's text, with its bytes and lines shifted."""
        for segment in slice_segments(map, start, end, self.segments.length):
            self.segments.append(
                segment._replace(
                    byte_start=segment.byte_start + shift,
                    byte_end=segment.byte_end + shift,
                    line=segment.line + lines,
                )
            )
        self.texts.append(map.text[start:end])
        self.length += end - start

    def build(self) -> SourceMap:
        """The text and its map."""
        return SourceMap("".join(self.texts), self.segments)


def compose_maps(map: SourceMap, original: SourceMap) -> SourceMap:
    """Compose a map to the UTF-8 form of a text with the map of the text's decoding."""
    if original.segments and original.segments[0].exact and len(original.segments) == 1:
        shift = original.segments[0].byte_start
        if not shift:
            return map
        pieces = SourceMapBuilder()
        pieces.append_slice(map, 0, len(map.text), shift)
        return pieces.build()
    import numpy as np

    unicode = original.text.encode("utf-8")
    begins = (np.frombuffer(unicode, dtype=np.uint8) & 0xC0) != 0x80
    before = np.concatenate([[0], np.cumsum(begins)])  # number of characters before each byte
    segments = Segments()
    for segment in map.segments:
        first, last = int(before[segment.byte_start]), int(before[segment.byte_end])
        if segment.exact:
            segments.extend(slice_segments(original, first, last, segments.length))
        else:
            byte_range = original.byte_range(first, last)
            segments.append(
                Segment(segment.start, segment.end, *byte_range, original.line(first), False)
            )
    return SourceMap(map.text, segments)
