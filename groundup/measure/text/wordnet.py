"""Synonyms of English words, from Princeton's WordNet 3.0 as a table of 0.3 MB.

The table holds sets of synonyms and irregular forms by part of speech, see wordnet_table.py. An
inflected form is brought back to its base as WordNet's own `morphy` does it: irregular forms by
list, others by endings, and only a base that the same part of speech has counts.
"""

import lzma
from collections import defaultdict
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

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
        found.update(other for other in known[name].sets[place] if "_" not in other)
    return frozenset(found)
