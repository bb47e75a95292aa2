"""English prose from unpacked Debian packages: pages, plain text and dictionaries, each piece once.

    apt-get download dict-gcide anarchism python3.13-doc debian-handbook rust-doc
    for package in *.deb; do dpkg-deb -x $package prose; done

Kept are paragraphs of English: in other languages, in code and in tables the commonest words of
English are rare. A paragraph that was seen is left out, and with it the navigation of pages.
"""

import gzip
import hashlib
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from groundup.core import DataError, atomic_replace, record
from groundup.documents import Document, read_folder

SUFFIXES = (".html", ".htm", ".xhtml", ".txt", ".md")
DICTIONARIES = "*.dict.dz"
COMMONEST = frozenset(
    "a an and are as at be but by for from had has have he her his if in into is it its not of on "
    "or our she so that the their them then there these they this to was we were when which who "
    "will with you".split()
)
LEAST_SHARE = 0.25
"""Share of the commonest words from which a paragraph is English prose."""
LEAST_WORDS = 8
PARAGRAPH = re.compile(r"\n\s*\n")
LETTERS = re.compile(r"[^\W\d_]+")
FOREIGN = re.compile(r"/(?!en)[a-z]{2}[-_][A-Z]{2}/")
"""A folder of translations, such as de-DE."""
MARKS = re.compile(r"\[1913 Webster\]|\[PJC\]|\[WordNet 1\.5\]|[{}]|\\[^\\\n]{1,60}\\")
"""Of a dictionary's entries: who wrote them, links, pronunciations."""


class Prose(NamedTuple):
    """What was written."""

    path: Path
    bytes: int
    sources: dict[str, int]
    """Bytes by the top folder, or the dictionary, that they came from."""


def write_prose(folders: list[Path], out: Path) -> Prose:
    """Write the English paragraphs of folders into one file, an empty line between them.

    Raises DataError if a folder is none or holds no English.
    """
    seen: set[bytes] = set()
    sources: dict[str, int] = {}
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_replace(out) as temporary, open(temporary, "w", encoding="utf-8") as file:
        for folder in folders:
            for name, text in texts(folder):
                for paragraph in PARAGRAPH.split(text):
                    words = LETTERS.findall(paragraph.lower())
                    mark = hashlib.blake2b(" ".join(words).encode(), digest_size=8).digest()
                    if _is_english(words) and mark not in seen:
                        seen.add(mark)
                        kept = paragraph.strip() + "\n\n"
                        file.write(kept)
                        sources[name] = sources.get(name, 0) + len(kept.encode())
        if not sources:
            told = ", ".join(map(str, folders))
            raise DataError(f"{told} hold no English prose in {', '.join(SUFFIXES)} or .dict.dz.")
    return Prose(out, out.stat().st_size, sources)


def texts(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield (source, text): pages by their package, and dictionaries by their name."""
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder; expected an unpacked package.")
    for path in sorted(folder.rglob(DICTIONARIES)):
        record.log(f"reading {path.name}")
        yield path.name.partition(".")[0], dictionary(path)
    for document in read_folder(folder, suffixes=SUFFIXES):
        if isinstance(document, Document) and not FOREIGN.search(f"/{document.path}"):
            yield _package_of(document.path), document.text


def dictionary(path: Path) -> str:
    """The text of a dictionary of dictd, compressed by dictzip, its entries' marks left out."""
    try:
        text = gzip.decompress(path.read_bytes()).decode("utf-8", "replace")
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be decompressed ({error}); unpack it again.") from None
    return MARKS.sub("", text)


def _package_of(path: str) -> str:
    """The package that a path below usr/share/doc belongs to, else its first folder.

    >>> _package_of("usr/share/doc/anarchism/html/a.html"), _package_of("notes/b.txt")
    ('anarchism', 'notes')
    """
    _, _, rest = path.rpartition("share/doc/")
    return rest.partition("/")[0]


def _is_english(words: list[str]) -> bool:
    """Whether a paragraph of these words is English prose, judged by the commonest words.

    >>> _is_english("the dog that barks at night is not the one which was here".split())
    True
    >>> _is_english("der hund der nachts bellt ist nicht der der am morgen hier war".split())
    False
    """
    if len(words) < LEAST_WORDS:
        return False
    return sum(word in COMMONEST for word in words) >= LEAST_SHARE * len(words)
