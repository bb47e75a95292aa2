"""The English words of `groundup/documents/books/words.txt.xz`: spelling lists with frequencies.

    python -m benchmarks.documents.book_words --root ROOT [--out FILE]

ROOT holds the unpacked Debian packages wamerican, wbritish-small (SCOWL: words, free to use with
its notice), python3.13-doc (PSF licence), postgresql-doc-17 (PostgreSQL licence) and rust-doc (MIT
or Apache-2.0). Words come from the lists, and from the manuals where two of the three use them
five times; each has the rounded binary logarithm of its count in the manuals. Alphabetic; a line is
the number of letters shared with the word before, one letter (a = 0), then the rest and its class.
"""

import argparse
import lzma
import re
from collections import Counter
from collections.abc import Iterator
from html import unescape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "groundup" / "documents" / "books" / "words.txt.xz"
LISTS = ("american-english", "british-english-small")
MANUALS = {
    "python": "usr/share/doc/python3.13/html/_sources/**/*.rst.txt",
    "postgresql": "usr/share/doc/postgresql-doc-17/html/*.html",
    "rust": "usr/share/doc/rust-doc/html/*book/**/*.html",
}
WORD = re.compile(r"(?<![\w./@<-])[a-z]{1,24}(?![\w/@(-])")


def main() -> None:
    """Count, choose, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    counts = {name: counted(given.root, pattern) for name, pattern in MANUALS.items()}
    total = sum(counts.values(), Counter())
    words = spelling(given.root) | used(counts)
    classes = {word: min(total[word].bit_length(), 25) for word in words}
    table = coded(classes).encode("ascii")
    given.out.write_bytes(lzma.compress(table, preset=9 | lzma.PRESET_EXTREME))
    tokens = {name: sum(count.values()) for name, count in counts.items()}
    print(f"{len(words)} words, {given.out.stat().st_size} bytes; words counted: {tokens}")


def spelling(root: Path) -> set[str]:
    """Words of the spelling lists: lower case, no apostrophes; letters alone are not words."""
    found = {"a", "i", "o"}
    for name in LISTS:
        words = (root / "usr/share/dict" / name).read_text(encoding="utf-8").split()
        found |= {word for word in words if re.fullmatch(r"[a-z]{2,24}", word)}
    return found


def counted(root: Path, pattern: str) -> Counter[str]:
    """Words of a manual's files; markup and code blocks are left out roughly."""
    counts: Counter[str] = Counter()
    for path in sorted(root.glob(pattern)):
        counts.update(WORD.findall(plain(path.read_text(encoding="utf-8", errors="replace"))))
    return counts


def plain(text: str) -> str:
    """Running text of HTML or reStructuredText, lower case where a sentence begins."""
    text = re.sub(r"(?s)<(script|style|pre|code)\b.*?</\1>|<[^>]*>", " ", text)
    text = re.sub(r"``[^`]*``|:\w+:`[^`]*`|(?m:^ {4}.*$)", " ", unescape(text))
    return re.sub(r"(?<=[.!?]\s)[A-Z](?=[a-z ])", lambda m: m.group().lower(), text)


def used(counts: dict[str, Counter[str]]) -> set[str]:
    """Words that two manuals use five times each."""
    often = [
        {word for word, n in count.items() if n >= 5 and len(word) > 2} for count in counts.values()
    ]
    return {word for word in set().union(*often) if sum(word in one for one in often) >= 2}


def coded(classes: dict[str, int]) -> str:
    """The table as lines that share their beginnings with the line before."""

    def lines() -> Iterator[str]:
        before = ""
        for word in sorted(classes):
            shared = 0
            while shared < min(len(before), len(word), 25) and before[shared] == word[shared]:
                shared += 1
            yield chr(97 + shared) + word[shared:] + chr(65 + classes[word])
            before = word

    return "\n".join(lines())


if __name__ == "__main__":
    main()
