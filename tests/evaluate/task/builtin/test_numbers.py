"""Answers agree with a second way to find them, that shares no code with the generator."""

import ast
import operator
import random
import re
from collections import Counter
from fractions import Fraction
from itertools import islice

import pytest

from groundup.evaluate.task.builtin import numbers
from groundup.evaluate.task.builtin.question import TaskQuestion

LEVELS = (1, 2, 3, 5)
OPERATIONS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul}


def questions(make: numbers.QuestionMaker, level: int, count: int = 300) -> list[TaskQuestion]:
    stream = random.Random(f"{make.__name__}/{level}")
    return list(islice(numbers.question_stream(make, level)(stream), count))


def evaluated(node: ast.AST) -> int:
    if isinstance(node, ast.BinOp):
        return OPERATIONS[type(node.op)](evaluated(node.left), evaluated(node.right))
    assert isinstance(node, ast.Constant) and isinstance(node.value, int)
    return node.value


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("make", [numbers.arithmetic, numbers.expression])
def test_sums_are_right_and_as_long_as_the_level_says(make: numbers.QuestionMaker, level: int):
    for each in questions(make, level):
        text = each.text.removeprefix("What is ").removesuffix("?")
        tree = ast.parse(text, mode="eval").body
        assert evaluated(tree) == int(each.answer), each
        operations = sum(isinstance(node, ast.BinOp) for node in ast.walk(tree))
        assert operations == (1 if make is numbers.arithmetic else level + 1)
        assert max(len(digits) for digits in re.findall(r"\d+", text)) <= level or operations > 1


@pytest.mark.parametrize("level", LEVELS)
def test_the_larger_is_larger(level: int):
    found = questions(numbers.comparison, level)
    for each in found:
        a, b = (Fraction(option) for option in each.options)
        assert a != b and Fraction(each.answer) == max(a, b) and each.answer in each.options
        assert f"{each.options[0]} or {each.options[1]}?" in each.text
    misleading = [e for e in found if len(e.answer) < max(map(len, e.options))]
    assert level == 1 or len(misleading) > len(found) / 20


@pytest.mark.parametrize("level", LEVELS)
def test_sorted_is_a_permutation_in_order(level: int):
    for each in questions(numbers.sorting, level):
        given = [int(n) for n in each.text.partition(": ")[2].split()]
        found = [int(n) for n in each.answer.split()]
        assert Counter(given) == Counter(found) and len(given) == 2 * level + 1
        assert all(a <= b for a, b in zip(found, found[1:], strict=False))


@pytest.mark.parametrize("level", LEVELS)
def test_letters_are_counted_one_by_one(level: int):
    found = questions(numbers.counting, level)
    for each in found:
        letter, words = re.findall(r'"(.*?)"', each.text)
        assert sum(sign == letter for sign in words) == int(each.answer)
        assert len(words.split()) == level
    assert any(each.answer == "0" for each in found)


def day_number(text: str) -> int:
    """Days since 1 March of the year 0, by counting years, leap days and months."""
    year, month, day = map(int, text.split("-"))
    year, month = (year, month - 3) if month > 2 else (year - 1, month + 9)
    leap_days = year // 4 - year // 100 + year // 400
    return 365 * year + leap_days + (153 * month + 2) // 5 + day - 1


@pytest.mark.parametrize("level", LEVELS)
def test_dates_are_so_many_days_apart(level: int):
    for each in questions(numbers.dates, level):
        days, way, start = re.findall(r"is (\d+) days? (after|before) (\S+)\?", each.text)[0]
        apart = day_number(each.answer) - day_number(start)
        assert apart == (int(days) if way == "after" else -int(days)), each
        assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", each.answer)


STEPS = {
    r"\w+ has (\d+) \w+\.": lambda have, n: n,
    r"\w+ finds (\d+) more\.": lambda have, n: have + n,
    r"\w+ buys (\d+) bags with (\d+) \w+ each\.": lambda have, n, m: have + n * m,
    r"\w+ gives \w+ twice as many as \w+ has\.": lambda have: have + 2 * have,
    r"\w+ gives (\d+) to \w+\.": lambda have, n: have - n,
    r"\w+ loses half of them\.": lambda have: have / 2,
    r"\w+ puts all but (\d+) in a box and leaves it\.": lambda have, n: n,
}


@pytest.mark.parametrize("level", LEVELS)
def test_stories_are_lived_through_sentence_by_sentence(level: int):
    told = Counter()
    for each in questions(numbers.word_problem, level):
        have = 0
        *sentences, asked = re.split(r"(?<=[.?]) ", each.text)
        assert asked.startswith("How many ") and len(sentences) == level + 2
        for sentence in sentences:
            (pattern,) = [one for one in STEPS if re.fullmatch(one, sentence)]
            match = re.fullmatch(pattern, sentence)
            assert match
            have = STEPS[pattern](have, *map(int, match.groups()))
            assert have >= 0 and have == int(have)
            told[pattern] += 1
        assert have == int(each.answer), each
    assert set(told) == set(STEPS)
