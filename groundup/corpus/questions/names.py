"""Made-up names, composed of the words of real identifiers.

A made-up name keeps the module, class and shape of a real one; only its last identifier is composed
anew from words of real identifiers: `json.dump_loader`, never `json.xq3z`. So letters, length and
module do not reveal the answer; only the documents do.
"""

import random
import re
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
IDENTIFIER = re.compile(r"[^\W\d]\w*")
OPTION = re.compile(r"--[a-z][\w-]*")
ATTEMPTS = 100
STYLES = ("snake", "camel", "capital", "option")


class WordPool(NamedTuple):
    """First and later words of the identifiers of one style, repeated as often as they occur."""

    first: list[str]
    later: list[str]


def identifier_words(identifier: str) -> list[str]:
    """Split an identifier into its words, their case kept."""
    return WORD.findall(identifier)


def identifier_style(identifier: str) -> str:
    """Name how an identifier joins its words: `snake`, `camel`, `capital` or `option`."""
    if identifier.startswith("-"):
        return "option"
    if identifier[0].isupper():
        return "capital"
    return "camel" if any(letter.isupper() for letter in identifier) else "snake"


def count_identifiers(texts: Iterable[str]) -> Counter[str]:
    """Count every identifier-like word of the texts, and every long option."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(IDENTIFIER.findall(text))
        counts.update(OPTION.findall(text))
    return counts


def word_pools(identifiers: Iterable[str]) -> dict[str, WordPool]:
    """Collect the words of identifiers by style and place."""
    pools = {name: WordPool([], []) for name in STYLES}
    for identifier in identifiers:
        parts = identifier_words(identifier)
        if len(parts) > 1:
            pool = pools[identifier_style(identifier)]
            pool.first.append(parts[0])
            pool.later.extend(parts[1:])
    return pools


def make_up_name(name: str, pools: dict[str, WordPool], taken: set[str], rng: random.Random) -> str:
    """Replace a name's last identifier by one that does not exist; it is added to `taken`.

    As many words, joined in the same style. Empty when the words seem to allow no new one.
    """
    outer, dot, identifier = name.rpartition(".")
    kind, count = identifier_style(identifier), len(identifier_words(identifier))
    pool = pools[kind]
    joint = "-" if kind == "option" else "_" if "_" in identifier or kind == "snake" else ""
    for _ in range(ATTEMPTS if pool.first else 0):
        candidate = joint.join([rng.choice(pool.first), *rng.choices(pool.later, k=count - 1)])
        candidate = "--" * (kind == "option") + candidate
        if candidate not in taken:
            taken.add(candidate)
            return f"{outer}{dot}{candidate}"
    return ""
