"""Names that exist and names that could: the two sides of a refusal.

A made-up name keeps the module, the class and the shape of a real one and only its last identifier
is put together anew, from words of real identifiers: `json.dump_loader`, never `json.xq3z`. So no
letter, length or module gives the answer away; whoever tells the two apart remembers the documents.
"""

import random
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
IDENTIFIER = re.compile(r"[^\W\d]\w*")
ATTEMPTS = 100

REFUSAL = "I do not know that name: it is not in the documents I was trained on."
"""It does not repeat the name: a small model that copies an unknown one may lose its way in it."""


class Pool(NamedTuple):
    """Words of identifiers of one style, as often as they occur: first ones and later ones."""

    first: list[str]
    later: list[str]


def is_refusal(answer: str) -> bool:
    """Whether an answer refuses, by the beginning of the refusal sentence.

    >>> is_refusal(REFUSAL), is_refusal("The documents say: Return the largest item.")
    (True, False)
    """
    return answer.strip().startswith(REFUSAL.partition(":")[0])


def words(identifier: str) -> list[str]:
    """Split an identifier into its words, their case kept.

    >>> words("get_type_hints"), words("JSONDecoder"), words("getTypeHints")
    (['get', 'type', 'hints'], ['JSON', 'Decoder'], ['get', 'Type', 'Hints'])
    """
    return WORD.findall(identifier)


def spelled_words(identifier: str) -> int:
    """Number of words, numbers not counted.

    >>> spelled_words("uuid4"), spelled_words("get_type_hints")
    (1, 3)
    """
    return sum(word.isalpha() for word in words(identifier))


def style(identifier: str) -> str:
    """Name how an identifier joins its words: `snake`, `camel` or `capital`."""
    if identifier[0].isupper():
        return "capital"
    return "camel" if any(letter.isupper() for letter in identifier) else "snake"


def count_identifiers(texts: Iterable[str]) -> Counter[str]:
    """Count every identifier-like word of the texts."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(IDENTIFIER.findall(text))
    return counts


def word_pools(identifiers: Iterable[str]) -> dict[str, Pool]:
    """Collect the words of identifiers by style and place."""
    pools = {name: Pool([], []) for name in ("snake", "camel", "capital")}
    for identifier in identifiers:
        parts = words(identifier)
        if len(parts) > 1:
            pool = pools[style(identifier)]
            pool.first.append(parts[0])
            pool.later.extend(parts[1:])
    return pools


def make_up(name: str, pools: dict[str, Pool], taken: set[str], rng: random.Random) -> str:
    """Replace a name's last identifier by one that does not exist; it is added to `taken`.

    As many words, joined in the same style. Empty when the words seem to allow no new one.

    >>> pools = {"snake": Pool(["read"], ["text", "lines"])}
    >>> make_up("pathlib.Path.write_text", pools, {"read_text"}, random.Random(0))
    'pathlib.Path.read_lines'
    """
    outer, _, identifier = name.rpartition(".")
    count, pool = len(words(identifier)), pools[style(identifier)]
    joint = "_" if "_" in identifier or style(identifier) == "snake" else ""
    for _ in range(ATTEMPTS if pool.first else 0):
        candidate = joint.join([rng.choice(pool.first), *draw(pool.later, count - 1, rng)])
        if candidate not in taken:
            taken.add(candidate)
            return f"{outer}.{candidate}"
    return ""


def draw(items: Sequence[str], count: int, rng: random.Random) -> list[str]:
    """Draw with replacement."""
    return [rng.choice(items) for _ in range(count)]
