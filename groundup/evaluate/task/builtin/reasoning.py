"""Generated questions of logic: boolean expressions, syllogisms, object tracking.

All are multiple choice, so that a base model can be scored by likelihood.
"""

import random
from collections.abc import Sequence
from functools import cache
from itertools import combinations, product
from typing import Any, NamedTuple

from .numbers import PEOPLE
from .question import TaskQuestion

KIND_NAMES = ("zorps", "mibs", "quaxes", "blins", "dreps", "fants", "glims", "wozzes", "prins")
OBJECTS = ("red ball", "blue ball", "green ball", "yellow ball", "white ball", "black ball")
STATEMENT_FORMS = (
    "All {0} are {1}.",
    "No {0} are {1}.",
    "Some {0} are {1}.",
    "Some {0} are not {1}.",
)


def boolean_expression(stream: random.Random, level: int) -> TaskQuestion:
    """A boolean expression with `level` + 1 operators."""

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
    return TaskQuestion(f"Is this true or false: {text}", str(value), ("True", "False"))


class SyllogismStatement(NamedTuple):
    """A form of FORMS about two of the three kinds, by index."""

    form: int
    subject: int
    predicate: int

    def holds(self, world: frozenset[tuple[bool, ...]]) -> bool:
        """Whether it is true in a world with exactly these combinations of kinds.

        >>> world = frozenset({(True, True, False), (False, True, False)})
        >>> SyllogismStatement(0, 0, 1).holds(world)
        True
        """
        members = [each for each in world if each[self.subject]]
        hits = [each[self.predicate] for each in members]
        return (all(hits), not any(hits), any(hits), not all(hits))[self.form]

    def to_text(self, kinds: Sequence[str]) -> str:
        """The statement in words."""
        return STATEMENT_FORMS[self.form].format(kinds[self.subject], kinds[self.predicate])


@cache
def _syllogisms_by_validity() -> dict[
    bool, list[tuple[SyllogismStatement, SyllogismStatement, SyllogismStatement]]
]:
    """All pairs of premises with a conclusion, by whether it follows in every possible world.

    A kind may be empty, so "all" does not say "some": 15 of the 256 forms are valid.
    """
    regions = list(product((True, False), repeat=3))
    worlds = [frozenset(some) for n in range(len(regions) + 1) for some in combinations(regions, n)]
    by_validity: dict[bool, list[Any]] = {True: [], False: []}
    for first, second, third in product(range(4), repeat=3):
        for a, b in product([(0, 1), (1, 0)], [(1, 2), (2, 1)]):
            first_premise, second_premise = (
                SyllogismStatement(first, *a),
                SyllogismStatement(second, *b),
            )
            conclusion = SyllogismStatement(third, 2, 0)
            possible = [
                world
                for world in worlds
                if first_premise.holds(world) and second_premise.holds(world)
            ]
            by_validity[all(conclusion.holds(world) for world in possible)].append(
                (first_premise, second_premise, conclusion)
            )
    return by_validity


def syllogism(stream: random.Random, level: int) -> TaskQuestion:
    """Two premises and a conclusion that follows half of the time, with `level` - 1 distractors."""
    follows = stream.random() < 0.5
    *premises, conclusion = stream.choice(_syllogisms_by_validity()[follows])
    kinds = stream.sample(KIND_NAMES, 3)
    premise_texts = [each.to_text(kinds) for each in premises]
    others = [
        kind for kind in KIND_NAMES if kind not in kinds
    ]  # says nothing about the three kinds
    premise_texts += [
        STATEMENT_FORMS[0].format(*stream.sample(others, 2)) for _ in range(level - 1)
    ]
    stream.shuffle(premise_texts)
    end = conclusion.to_text(kinds).rstrip(".")
    text = f"There may be none of a kind. {' '.join(premise_texts)} Does it follow: {end}?"
    return TaskQuestion(text, "yes" if follows else "no", ("yes", "no"))


def object_tracking(stream: random.Random, level: int) -> TaskQuestion:
    """Who holds which ball after 2 · `level` swaps."""
    people = stream.sample(PEOPLE, min(level + 2, len(OBJECTS)))
    balls = stream.sample(OBJECTS, len(people))
    holds = dict(zip(people, balls, strict=True))
    sentences = [f"{person} has the {ball}." for person, ball in holds.items()]
    for _ in range(2 * level):
        a, b = stream.sample(people, 2)
        holds[a], holds[b] = holds[b], holds[a]
        sentences.append(f"{a} and {b} swap.")
    person_asked = stream.choice(people)
    return TaskQuestion(
        f"{' '.join(sentences)} Which ball does {person_asked} have?",
        holds[person_asked],
        tuple(balls),
    )
