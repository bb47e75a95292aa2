"""The table of synonyms that METEOR reads and the English words that `ask` knows, from WordNet.

    python -m benchmarks.measure.wordnet_table /usr/share/wordnet

The folder is that of Debian's package wordnet-base, 30 MB. The table keeps the single words of each
synset and the irregular forms, by part of speech; WordNet's licence goes into wordnet.txt. The list
has these words and forms, sorted, so that a word is looked up by bisection of its bytes; the table
takes a quarter of a second to read.
"""

import lzma
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from groundup.core import DataError
from groundup.documents.structure.dictionary import DICTIONARY_FILE
from groundup.measure.text.wordnet import PARTS_OF_SPEECH, TABLE_FILE, _load_wordnet

NUMBERED = re.compile(r" +\d+ (.*)")
NOTICE = """\
wordnet.xz is derived from WordNet 3.0: the single words of its sets of synonyms and its lists of
irregular forms, made by benchmarks/measure/wordnet_table.py, as is the list of these words in
groundup/documents/structure/english.txt. WordNet's licence follows.

"""


def build_table(source: Path, table: Path = TABLE_FILE) -> None:
    """Write the table and its notice from WordNet's files; DataError if one is missing."""
    blocks = []
    for part in PARTS_OF_SPEECH:
        blocks.append("\n".join([f"sets {part}", *sorted(synset_lines(source, part))]))
        forms = irregular_forms(source, part)
        lines = [" ".join([form, *others]) for form, others in forms.items()]
        blocks.append("\n".join([f"irregular {part}", *lines]))
    text = "\n\n".join(blocks).encode()
    table.write_bytes(lzma.compress(text, preset=9 | lzma.PRESET_EXTREME))
    heading = (NUMBERED.match(line) for line in read_lines(source / "data.noun"))
    notice = "\n".join(match[1].rstrip() for match in heading if match)
    table.with_suffix(".txt").write_text(f"{NOTICE}{notice.strip()}\n")


def build_word_list(file: Path = DICTIONARY_FILE) -> None:
    """Write the table's words and irregular forms that are of letters alone, one a line."""
    parts = _load_wordnet().values()
    words = {word for part in parts for word in (*part.synset_indices, *part.irregular)}
    lines = sorted(f"{word}\n" for word in words if word.isalpha())
    file.write_text("".join(lines), encoding="ascii")


def synset_lines(source: Path, part: str) -> set[str]:
    """One line per synset: its single words, and multi-word bases of irregular forms.

    Only synsets with a lower-case word are kept, because texts are compared in lower case. A synset
    of one word only records that the word exists, so it is dropped if another one has the word.
    """
    bases = {base for others in irregular_forms(source, part).values() for base in others}
    several, single = set(), set()
    for line in read_lines(source / f"data.{part}"):
        if line[:1].isdigit():
            fields = line.split()
            names = (name.partition("(")[0] for name in fields[4 : 4 + 2 * int(fields[3], 16) : 2])
            names = [name for name in names if "_" not in name or name in bases]
            if any(name == name.lower() for name in names):
                (several if len(names) > 1 else single).add(" ".join(names))
    return several | (single - {word for line in several for word in line.split()})


def irregular_forms(source: Path, part: str) -> dict[str, list[str]]:
    """Single-word irregular forms and their bases; of several lines for a form the last counts."""
    rows = (line.split() for line in read_lines(source / f"{part}.exc"))
    return {form: others for form, *others in rows if "_" not in form}


def read_lines(path: Path) -> Iterator[str]:
    """Yield the lines of a file; DataError if it is not there."""
    try:
        yield from path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DataError(f"No wordnet-base file {path}: {error.strerror}.") from None


if __name__ == "__main__":
    build_table(Path(sys.argv[1] if len(sys.argv) > 1 else "/usr/share/wordnet"))
    build_word_list()
