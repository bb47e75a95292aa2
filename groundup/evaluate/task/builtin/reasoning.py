"""Generated questions of logic: truth values, syllogisms, who holds what after many swaps.

Each has a few possible answers, so a model that only predicts text can be asked by likelihood.
"""

import random
from collections.abc import Sequence
from functools import cache
from itertools import combinations, product
from typing import Any, NamedTuple

from .numbers import PEOPLE
from .question import Question

KINDS = ("zorps", "mibs", "quaxes", "blins", "dreps", "fants", "glims", "wozzes", "prins")
OBJECTS = ("red ball", "blue ball", "green ball", "yellow ball", "white ball", "black ball")
FORMS = ("All {0} are {1}.", "No {0} are {1}.", "Some {0} are {1}.", "Some {0} are not {1}.")


def boolean(stream: random.Random, level: int) -> Question:
    """An expression of truth values with `level` + 1 operators."""

    def grow(operators: int) -> tuple[str, bool]:
        if not operators:
            value = stream.random() < 0.5
            return str(value), value
        if stream.random() < 0.3:
            text, value = grow(operators - 1)
            return f"not {text}", not value
        left = stream.randrange(operators)
        (a, x), (b, y) = grow(left), grow(operators - 1 - left)
        sign, value = stream.choice([("and", x and y), ("or", x or y)])
        return f"({a} {sign} {b})", value

    text, value = grow(level + 1)
    return Question(f"Is this true or false: {text}", str(value), ("True", "False"))


class Statement(NamedTuple):
    """A form of FORMS about two of the three kinds, by their places."""

    form: int
    subject: int
    predicate: int

    def holds(self, world: frozenset[tuple[bool, ...]]) -> bool:
        """Whether it is true where just these combinations of kinds occur.

        >>> Statement(0, 0, 1).holds(frozenset({(True, True, False), (False, True, False)}))
        True
        """
        members = [each for each in world if each[self.subject]]
        hits = [each[self.predicate] for each in members]
        return (all(hits), not any(hits), any(hits), not all(hits))[self.form]

    def told(self, kinds: Sequence[str]) -> str:
        """The statement in words."""
        return FORMS[self.form].format(kinds[self.subject], kinds[self.predicate])


@cache
def syllogisms() -> dict[bool, list[tuple[Statement, Statement, Statement]]]:
    """All pairs of premises with a conclusion, by whether it follows in every possible world.

    A kind may be empty, so "all" does not say "some": 15 of the 256 forms are valid.
    """
    regions = list(product((True, False), repeat=3))
    worlds = [frozenset(some) for n in range(len(regions) + 1) for some in combinations(regions, n)]
    found: dict[bool, list[Any]] = {True: [], False: []}
    for first, second, third in product(range(4), repeat=3):
        for a, b in product([(0, 1), (1, 0)], [(1, 2), (2, 1)]):
            one, two = Statement(first, *a), Statement(second, *b)
            end = Statement(third, 2, 0)
            possible = [world for world in worlds if one.holds(world) and two.holds(world)]
            found[all(end.holds(world) for world in possible)].append((one, two, end))
    return found


def syllogism(stream: random.Random, level: int) -> Question:
    """Two premises and a conclusion, which follows half of the time, and `level` - 1 idle ones."""
    follows = stream.random() < 0.5
    *premises, conclusion = stream.choice(syllogisms()[follows])
    kinds = stream.sample(KINDS, 3)
    told = [each.told(kinds) for each in premises]
    others = [kind for kind in KINDS if kind not in kinds]  # nothing about the three follows
    told += [FORMS[0].format(*stream.sample(others, 2)) for _ in range(level - 1)]
    stream.shuffle(told)
    end = conclusion.told(kinds).rstrip(".")
    text = f"There may be none of a kind. {' '.join(told)} Does it follow: {end}?"
    return Question(text, "yes" if follows else "no", ("yes", "no"))


def tracking(stream: random.Random, level: int) -> Question:
    """Who holds which ball after 2 · `level` swaps."""
    people = stream.sample(PEOPLE, min(level + 2, len(OBJECTS)))
    balls = stream.sample(OBJECTS, len(people))
    holds = dict(zip(people, balls, strict=True))
    told = [f"{person} has the {ball}." for person, ball in holds.items()]
    for _ in range(2 * level):
        a, b = stream.sample(people, 2)
        holds[a], holds[b] = holds[b], holds[a]
        told.append(f"{a} and {b} swap.")
    asked = stream.choice(people)
    return Question(f"{' '.join(told)} Which ball does {asked} have?", holds[asked], tuple(balls))
