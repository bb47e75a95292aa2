"""Synonyms of English words, from Princeton's WordNet 3.0 in a table of 0.3 MB.

The table holds synsets and irregular forms by part of speech, see wordnet_table.py. Inflected forms
are lemmatised as by WordNet's `morphy`: irregular forms by list, others by endings, and only bases
that exist in the same part of speech count.
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
    """The synsets of one part of speech."""

    sets: list[tuple[str, ...]]
    """Synsets, in WordNet's spelling."""
    places: dict[str, list[int]]
    """Lower-case word to its indices in `sets`."""
    irregular: dict[str, list[str]]
    """Irregular form to its base forms."""


@cache
def parts() -> dict[str, Part]:
    """The table by part of speech, read once, in about 0.1 s."""
    result: dict[str, Part] = {}
    for block in lzma.decompress(TABLE.read_bytes()).decode().split("\n\n"):
        name, *lines = block.splitlines()
        kind, part = name.split()
        if kind == "irregular":
            forms = (line.split() for line in lines)
            result[part].irregular.update({form: bases for form, *bases in forms})
            continue
        sets = [tuple(line.split()) for line in lines]
        indices = defaultdict(list)
        for index, synonyms in enumerate(sets):
            for word in synonyms:
                indices[word.lower()].append(index)
        result[part] = Part(sets, dict(indices), {})
    return result


def bases(word: str, part: str) -> list[str]:
    """The word and its base forms that exist in this part of speech.

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
    """Synsets of the word's base forms, as (part of speech, index).

    >>> senses("Cars").isdisjoint(senses("automobile")), senses("xyzzy")
    (False, frozenset())
    """
    return frozenset(
        (name, index)
        for name, part in parts().items()
        for base in bases(word.lower(), name)
        for index in part.places[base]
    )


@lru_cache(maxsize=2**16)
def synonyms(word: str) -> frozenset[str]:
    """The word itself and all single words of its synsets, in WordNet's spelling.

    These are base forms: `automobile` is a synonym of `cars`, `automobiles` is not.

    >>> sorted(synonyms("cars"))[:4], sorted(synonyms("xyzzy"))
    (['auto', 'automobile', 'car', 'cars'], ['xyzzy'])
    """
    result, tables = {word}, parts()
    for name, index in senses(word):
        result.update(other for other in tables[name].sets[index] if "_" not in other)
    return frozenset(result)
