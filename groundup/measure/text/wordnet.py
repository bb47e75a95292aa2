"""Synonyms of English words, from Princeton's WordNet 3.0 in a table of 0.3 MB.

benchmarks/measure/wordnet_table.py makes the table from the 30 MB of Debian's package
wordnet-base: the single words of each synset and the irregular forms, by part of speech.
Inflected forms are lemmatised as by WordNet's `morphy`: irregular forms by list, others by endings,
and only bases that exist in the same part of speech count.
"""

import lzma
from collections import defaultdict
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

TABLE_FILE = Path(__file__).with_name("wordnet.xz")
PARTS_OF_SPEECH = ("noun", "verb", "adj", "adv")
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


class WordNetPart(NamedTuple):
    """The synsets of one part of speech."""

    synsets: list[tuple[str, ...]]
    """Synsets, in WordNet's spelling."""
    synset_indices: dict[str, list[int]]
    """Lower-case word to its indices in `synsets`."""
    irregular: dict[str, list[str]]
    """Irregular form to its base forms."""


@cache
def _load_wordnet() -> dict[str, WordNetPart]:
    """The table by part of speech, read once, in about 0.1 s."""
    result: dict[str, WordNetPart] = {}
    for block in lzma.decompress(TABLE_FILE.read_bytes()).decode().split("\n\n"):
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
        result[part] = WordNetPart(sets, dict(indices), {})
    return result


def _base_forms(word: str, part: str) -> list[str]:
    """The word and its base forms that exist in this part of speech.

    >>> _base_forms("leaves", "noun"), _base_forms("mice", "noun"), _base_forms("was", "verb")
    (['leaf', 'leave'], ['mouse'], ['be'])
    """
    known = _load_wordnet()[part]
    forms = known.irregular.get(word)
    if forms is None:
        endings = ENDINGS[part]
        forms = [word[: -len(old)] + new for old, new in endings if word.endswith(old)]
    return [form for form in dict.fromkeys([word, *forms]) if form in known.synset_indices]


@lru_cache(maxsize=2**16)
def synset_ids(word: str) -> frozenset[tuple[str, int]]:
    """Synsets of the word's base forms, as (part of speech, index).

    >>> synset_ids("Cars").isdisjoint(synset_ids("automobile")), synset_ids("xyzzy")
    (False, frozenset())
    """
    return frozenset(
        (name, index)
        for name, part in _load_wordnet().items()
        for base in _base_forms(word.lower(), name)
        for index in part.synset_indices[base]
    )


@lru_cache(maxsize=2**16)
def synonyms(word: str) -> frozenset[str]:
    """The word itself and all single words of its synsets, in WordNet's spelling.

    These are base forms: `automobile` is a synonym of `cars`, `automobiles` is not.

    >>> sorted(synonyms("cars"))[:4], sorted(synonyms("xyzzy"))
    (['auto', 'automobile', 'car', 'cars'], ['xyzzy'])
    """
    result, tables = {word}, _load_wordnet()
    for name, index in synset_ids(word):
        result.update(other for other in tables[name].synsets[index] if "_" not in other)
    return frozenset(result)
