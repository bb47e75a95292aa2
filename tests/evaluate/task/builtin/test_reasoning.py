"""Answers agree with a second way to find them: Python's own logic, models of sets, a replay."""

import random
import re
from itertools import islice, product

import pytest

from groundup.evaluate.task.builtin import numbers, reasoning
from groundup.evaluate.task.builtin.question import TaskQuestion

LEVELS = (1, 2, 4)


def questions(make: numbers.QuestionMaker, level: int, count: int = 200) -> list[TaskQuestion]:
    stream = random.Random(f"{make.__name__}/{level}")
    return list(islice(numbers.question_stream(make, level)(stream), count))


@pytest.mark.parametrize("level", LEVELS)
def test_python_agrees_on_what_is_true(level: int):
    found = questions(reasoning.boolean_expression, level)
    for each in found:
        text = each.text.partition(": ")[2]
        assert set(re.findall(r"\w+", text)) <= {"True", "False", "and", "or", "not"}
        assert str(eval(text, {"__builtins__": {}})) == each.answer
        assert len(re.findall("and|or|not", text)) == level + 1
    assert 0.3 < sum(each.answer == "True" for each in found) / len(found) < 0.7


QUANTIFIERS = {
    r"All (\w+) are (\w+)": lambda a, b: a <= b,
    r"No (\w+) are (\w+)": lambda a, b: not a & b,
    r"Some (\w+) are (?!not )(\w+)": lambda a, b: bool(a & b),
    r"Some (\w+) are not (\w+)": lambda a, b: bool(a - b),
}


def follows(premises: list[str], conclusion: str) -> bool:
    """Whether no assignment of subsets of three things makes the premises true and it false."""
    names = sorted({word for text in [*premises, conclusion] for word in terms(text)})
    subsets = [frozenset(i for i in range(3) if bits >> i & 1) for bits in range(8)]
    for chosen in product(subsets, repeat=len(names)):
        world = dict(zip(names, chosen, strict=True))
        if all(holds(text, world) for text in premises) and not holds(conclusion, world):
            return False
    return True


def terms(text: str) -> tuple[str, ...]:
    for pattern in QUANTIFIERS:
        if match := re.fullmatch(pattern, text):
            return match.groups()
    raise AssertionError(text)


def holds(text: str, world: dict[str, frozenset[int]]) -> bool:
    for pattern, test in QUANTIFIERS.items():
        if match := re.fullmatch(pattern, text):
            return test(*(world[name] for name in match.groups()))
    raise AssertionError(text)


def renamed(key: tuple[str, ...]) -> tuple[str, ...]:
    """The same argument whatever its kinds are called."""
    text = "|".join(key)
    for number, name in enumerate(dict.fromkeys(re.findall(r"\w+s\b", text))):
        text = re.sub(rf"\b{name}\b", f"k{number}", text)
    return tuple(text.split("|"))


def test_syllogisms_agree_with_models_of_sets():
    known: dict[tuple, bool] = {}
    found = questions(reasoning.syllogism, 1)
    for each in found:
        start, _, told = each.text.partition(". ")
        told, _, conclusion = told.partition(" Does it follow: ")
        premises = [part.rstrip(".") for part in told.split(". ")]
        key = (*sorted(premises), conclusion)
        plain = renamed(key)
        if plain not in known:
            known[plain] = follows(premises, conclusion.rstrip("?"))
        assert known[plain] == (each.answer == "yes"), each
    assert 0.35 < sum(each.answer == "yes" for each in found) / len(found) < 0.65


def test_the_known_fifteen_of_256_forms_are_valid():
    found = reasoning._syllogisms_by_validity()
    assert (len(found[True]), len(found[False])) == (15, 241)
    barbara = tuple(reasoning.SyllogismStatement(0, *ends) for ends in ((1, 0), (2, 1), (2, 0)))
    moved = {tuple(sorted((one, two))) + (end,) for one, two, end in found[True]}
    swapped = tuple(
        sorted((reasoning.SyllogismStatement(0, 1, 0), reasoning.SyllogismStatement(0, 2, 1)))
    )
    assert (*swapped, barbara[2]) in moved


@pytest.mark.parametrize("level", [2, 5])
def test_idle_premises_are_about_other_kinds(level: int):
    for each in questions(reasoning.syllogism, level, 50):
        told, _, conclusion = each.text.partition(" Does it follow: ")
        premises = [part.rstrip(".") for part in told.split(". ")[1:]]
        assert len(premises) == 2 + level - 1
        linked = set(terms(conclusion.rstrip("?")))
        for _ in premises:
            linked |= {w for p in premises if set(terms(p)) & linked for w in terms(p)}
        assert len(linked) == 3
        relevant = [p for p in premises if set(terms(p)) <= linked]
        assert len(relevant) == 2 and all(
            p.startswith("All ") for p in premises if p not in relevant
        )


@pytest.mark.parametrize("level", LEVELS)
def test_a_replay_of_the_swaps_ends_with_the_same_ball(level: int):
    for each in questions(reasoning.object_tracking, level):
        place = {
            ball: person for person, ball in re.findall(r"(\w+) has the ([\w ]+)\.", each.text)
        }
        swaps = re.findall(r"(\w+) and (\w+) swap", each.text)
        assert len(swaps) == 2 * level
        for a, b in swaps:
            place = {ball: {a: b, b: a}.get(who, who) for ball, who in place.items()}
        (asked,) = re.findall(r"does (\w+) have", each.text)
        assert place[each.answer] == asked and set(each.options) == set(place)
