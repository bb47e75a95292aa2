"""Synonyms of English words, from Princeton's WordNet 3.0 as a table of 0.3 MB.

    python -m groundup.measure.text.wordnet /usr/share/wordnet      make the table anew

The directory is that of Debian's package wordnet-base. Of WordNet remain the single words of each
set of synonyms and the irregular forms, by part of speech; meanings, examples, relations and names
of several words are left out. The licence and its notice stand in wordnet.txt beside the table.

An inflected form is brought back to its base as WordNet's own `morphy` does it: irregular forms by
list, others by endings, and only a base that the same part of speech has counts.
"""

import lzma
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

from groundup.core import DataError

TABLE = Path(__file__).with_name("wordnet.xz")
PARTS = ("noun", "verb", "adj", "adv")
ENDINGS = {
    "noun": (
        ("s", ""), ("ses", "s"), ("ves", "f"), ("xes", "x"), ("zes", "z"), ("ches", "ch"),
        ("shes", "sh"), ("men", "man"), ("ies", "y"),
    ),
    "verb": (
        ("s", ""), ("ies", "y"), ("es", "e"), ("es", ""), ("ed", "e"), ("ed", ""), ("ing", "e"),
        ("ing", ""),
    ),
    "adj": (("er", ""), ("est", ""), ("er", "e"), ("est", "e")),
    "adv": (),
}  # fmt: skip


class Part(NamedTuple):
    """The words of one part of speech."""

    sets: list[tuple[str, ...]]
    """Sets of synonyms, as WordNet spells them."""
    places: dict[str, list[int]]
    """Word in lower case to its places in `sets`."""
    irregular: dict[str, list[str]]
    """Irregular form to its bases."""


@cache
def parts() -> dict[str, Part]:
    """The table by part of speech, read once, in about a tenth of a second."""
    found: dict[str, Part] = {}
    for block in lzma.decompress(TABLE.read_bytes()).decode().split("\n\n"):
        name, *lines = block.splitlines()
        kind, part = name.split()
        if kind == "irregular":
            forms = (line.split() for line in lines)
            found[part].irregular.update({form: bases for form, *bases in forms})
            continue
        sets = [tuple(line.split()) for line in lines]
        places = defaultdict(list)
        for place, synonyms in enumerate(sets):
            for word in synonyms:
                places[word.lower()].append(place)
        found[part] = Part(sets, dict(places), {})
    return found


def bases(word: str, part: str) -> list[str]:
    """The word and its base forms that this part of speech has.

    >>> bases("leaves", "noun"), bases("mice", "noun"), bases("was", "verb")
    (['leaf', 'leave'], ['mouse'], ['be'])
    """
    known = parts()[part]
    forms = known.irregular.get(word)
    if forms is None:
        endings = ENDINGS[part]
        forms = [word[: -len(old)] + new for old, new in endings if word.endswith(old)]
    return [form for form in dict.fromkeys([word, *forms]) if form in known.places]


@lru_cache(maxsize=2**16)
def senses(word: str) -> frozenset[tuple[str, int]]:
    """The sets of synonyms that hold a base form of the word: part of speech and place.

    >>> senses("Cars").isdisjoint(senses("automobile")), senses("xyzzy")
    (False, frozenset())
    """
    return frozenset(
        (name, place)
        for name, part in parts().items()
        for base in bases(word.lower(), name)
        for place in part.places[base]
    )


@lru_cache(maxsize=2**16)
def synonyms(word: str) -> frozenset[str]:
    """The word itself and all single words of its sets, spelt as WordNet spells them.

    These are base forms: `automobile` is one of `cars`, `automobiles` is not.

    >>> sorted(synonyms("cars"))[:4], sorted(synonyms("xyzzy"))
    (['auto', 'automobile', 'car', 'cars'], ['xyzzy'])
    """
    found, known = {word}, parts()
    for name, place in senses(word):
        found.update(known[name].sets[place])
    return frozenset(found)


def make(source: Path, table: Path = TABLE) -> None:
    """Write the table and its notice from WordNet's own files.

    Raises DataError if a file is missing.
    """
    blocks = []
    for part in PARTS:
        blocks.append("\n".join([f"sets {part}", *sorted(set_lines(source, part))]))
        blocks.append("\n".join([f"irregular {part}", *irregular_lines(source, part)]))
    text = "\n\n".join(blocks).encode()
    table.write_bytes(lzma.compress(text, preset=9 | lzma.PRESET_EXTREME))
    heading = (NUMBERED.match(line) for line in lines_of(source / "data.noun"))
    notice = "\n".join(match[1].rstrip() for match in heading if match)
    table.with_suffix(".txt").write_text(f"{NOTICE}{notice.strip()}\n")


NUMBERED = re.compile(r" +\d+ (.*)")
NOTICE = """\
wordnet.xz is derived from WordNet 3.0: the single words of its sets of synonyms and its lists of
irregular forms, made by groundup/measure/text/wordnet.py. WordNet's licence follows.

"""


def set_lines(source: Path, part: str) -> set[str]:
    """One line a set: its single words. What can match nothing new is left out.

    A set is kept if it has a word of small letters: texts are compared in small letters. A set of
    one word says only that the word exists, so it is dropped where another set says it too.
    """
    several, single = set(), set()
    for line in lines_of(source / f"data.{part}"):
        if line[:1].isdigit():
            fields = line.split()
            names = fields[4 : 4 + 2 * int(fields[3], 16) : 2]
            names = [name.partition("(")[0] for name in names if "_" not in name]
            if any(name == name.lower() for name in names):
                (several if len(names) > 1 else single).add(" ".join(names))
    return several | (single - {word for line in several for word in line.split()})


def irregular_lines(source: Path, part: str) -> Iterator[str]:
    """One line a form: the form and its bases, single words only."""
    for line in lines_of(source / f"{part}.exc"):
        form, *others = line.split()
        if "_" not in form:
            yield " ".join([form, *(base for base in others if "_" not in base)])


def lines_of(path: Path) -> Iterator[str]:
    """The lines of one of WordNet's files."""
    try:
        yield from path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DataError(
            f"Cannot read {path}: {error.strerror}; expected the files of Debian's wordnet-base."
        ) from None


if __name__ == "__main__":
    make(Path(sys.argv[1] if len(sys.argv) > 1 else "/usr/share/wordnet"))
