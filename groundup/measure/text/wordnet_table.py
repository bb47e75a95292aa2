"""Build the WordNet table: 30 MB of Debian's package wordnet-base become 0.3 MB.

    python -m groundup.measure.text.wordnet_table /usr/share/wordnet

It keeps the single words of each synset and the irregular forms, by part of speech; definitions,
examples, relations and most multi-word names are omitted. WordNet's licence goes into wordnet.txt
in the same folder.
"""

import lzma
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from groundup.core import DataError

from .wordnet import PARTS_OF_SPEECH, TABLE_FILE

NUMBERED = re.compile(r" +\d+ (.*)")
NOTICE = """\
wordnet.xz is derived from WordNet 3.0: the single words of its sets of synonyms and its lists of
irregular forms, made by groundup/measure/text/wordnet_table.py. WordNet's licence follows.

"""


def _build_table(source: Path, table: Path = TABLE_FILE) -> None:
    """Write the table and its notice from WordNet's files; DataError if one is missing."""
    blocks = []
    for part in PARTS_OF_SPEECH:
        blocks.append("\n".join([f"sets {part}", *sorted(_synset_lines(source, part))]))
        forms = _irregular_forms(source, part)
        lines = [" ".join([form, *others]) for form, others in forms.items()]
        blocks.append("\n".join([f"irregular {part}", *lines]))
    text = "\n\n".join(blocks).encode()
    table.write_bytes(lzma.compress(text, preset=9 | lzma.PRESET_EXTREME))
    heading = (NUMBERED.match(line) for line in _read_lines(source / "data.noun"))
    notice = "\n".join(match[1].rstrip() for match in heading if match)
    table.with_suffix(".txt").write_text(f"{NOTICE}{notice.strip()}\n")


def _synset_lines(source: Path, part: str) -> set[str]:
    """One line per synset: its single words, and multi-word bases of irregular forms.

    Only synsets with a lower-case word are kept, because texts are compared in lower case. A synset
    of one word only records that the word exists, so it is dropped if another one has the word.
    """
    bases = {base for others in _irregular_forms(source, part).values() for base in others}
    several, single = set(), set()
    for line in _read_lines(source / f"data.{part}"):
        if line[:1].isdigit():
            fields = line.split()
            names = (name.partition("(")[0] for name in fields[4 : 4 + 2 * int(fields[3], 16) : 2])
            names = [name for name in names if "_" not in name or name in bases]
            if any(name == name.lower() for name in names):
                (several if len(names) > 1 else single).add(" ".join(names))
    return several | (single - {word for line in several for word in line.split()})


def _irregular_forms(source: Path, part: str) -> dict[str, list[str]]:
    """Single-word irregular forms and their bases; of several lines for a form the last counts."""
    rows = (line.split() for line in _read_lines(source / f"{part}.exc"))
    return {form: others for form, *others in rows if "_" not in form}


def _read_lines(path: Path) -> Iterator[str]:
    """Yield the lines of one of WordNet's files."""
    try:
        yield from path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DataError(
            f"Cannot read {path}: {error.strerror}; expected the files of Debian's wordnet-base."
        ) from None


if __name__ == "__main__":
    _build_table(Path(sys.argv[1] if len(sys.argv) > 1 else "/usr/share/wordnet"))
