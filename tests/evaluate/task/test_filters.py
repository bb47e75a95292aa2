"""Filters: each by hand, in a row, and refused where they would mislead."""

from pathlib import Path
from typing import Any

import pytest

from groundup.core import ConfigError
from groundup.evaluate.task.filters import UNFILTERED, FilterOutput, FilterPipeline, read_filters

FILE = Path("t.yaml")
ROW = {"choices": ["a cat", "a dog", "a cat and a dog"]}


def pipeline(*steps: dict[str, Any]) -> FilterPipeline:
    return read_filters([{"name": "it", "filter": list(steps)}], FILE)[0]


def step(function: str, **options: Any) -> dict[str, Any]:
    return {"function": function, **options}


FIRST = step("take_first")


def filtered(text: str, *steps: dict[str, Any]) -> FilterOutput:
    return pipeline(*steps, FIRST)([text], ROW)


@pytest.mark.parametrize(
    ("given", "text", "value", "parsed"),
    [
        (step("regex"), "so\n#### -1,250.5 km", "-1,250.5", True),
        (step("regex"), "so it is", "[invalid]", False),
        (step("regex", fallback="none"), "so it is", "none", False),
        (step("regex", regex_pattern=r"(\d)"), "1 2 3", "1", True),
        (step("regex", regex_pattern=r"(\d)", group_select=-1), "1 2 3", "3", True),
        (step("regex", regex_pattern=r"(\d)", group_select=5), "1 2 3", "[invalid]", False),
        (step("regex", regex_pattern=r"(a)|(b )"), "xb ", "b", True),
        (step("regex", regex_pattern=r"(a)?(b)?"), "", "[invalid]", False),
        (step("remove_whitespace"), " a b\n", "a b", True),
        (step("lowercase"), "ÄB", "äb", True),
        (step("uppercase"), "straße", "STRASSE", True),
        (step("map", mapping_dict={"A": "yes"}, default_value="no"), "A", "yes", True),
        (step("map", mapping_dict={"A": "yes"}, default_value="no"), "B", "no", False),
        (step("map", mapping_dict={"A": 1}), "B", None, False),
    ],
)
def test_one_filter(given, text, value, parsed):
    assert filtered(text, given) == FilterOutput(value, parsed)


@pytest.mark.parametrize(
    ("text", "value", "parsed"),
    [
        ("I say (B).", "(B)", True),
        ("it was a cat and a dog", "(C)", True),
        ("The answer: A", "(A)", True),
        ("no animal", "[invalid]", False),
        ("A DOG!", "(B)", True),
    ],
)
def test_letters_of_options(text, value, parsed):
    given = step("multi_choice_regex", regex_pattern=r"(\([A-Z]\))", ignore_case=True)
    assert filtered(text, given) == FilterOutput(value, parsed)


def test_letters_with_things_ignored():
    given = step(
        "multi_choice_regex", regex_pattern=r"(\([A-Z]\))", ignore_punctuation=True,
        regexes_to_ignore=["very "],
    )  # fmt: skip
    assert filtered("a very d-o-g", given).value == "(B)"
    assert filtered("A very cat", given).value == "[invalid]"


def test_filters_in_a_row_and_votes():
    digits = step("regex", regex_pattern=r"(\d+)")
    vote = pipeline(digits, step("majority_vote"), FIRST)
    assert vote(["a 7", "b 8", "c 8"], ROW) == FilterOutput("8", True)
    assert vote(["a", "b", "c 8"], ROW) == FilterOutput("[invalid]", False)
    assert vote(["7", "8"], ROW).value == "7"
    two = pipeline(step("take_first_k", k=2), digits)
    assert two(["1", "2", "3"], ROW) == FilterOutput(["1", "2"], True)
    with pytest.raises(ConfigError, match="needs 2 answers; got 1"):
        two(["1"], ROW)


def test_without_a_list_the_first_answer_counts_as_it_came():
    assert read_filters(None, FILE) == (UNFILTERED,)
    assert UNFILTERED([" a ", "b"], ROW) == FilterOutput(" a ", True)


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([{"name": "x"}], "needs `name` and a list `filter`; got the keys name"),
        ([{"name": "x", "filter": [FIRST, step("lowercase")]}], "must be last"),
        ([{"name": "x", "filter": [step("regx")]}], "no filter `regx`; did you mean `regex`"),
        ([{"name": "x", "filter": [step("zzz")]}], "no filter `zzz`; use regex, "),
        (
            [{"name": "x", "filter": [step("custom", filter_fn=1)]}],
            "custom filters are not supported",
        ),
        ([{"name": "x", "filter": [step("regex", patern="a")]}], "no option `patern`; it takes"),
        ([{"name": "x", "filter": [step("regex", regex_pattern="(")]}], "is invalid"),
        ([{"name": "x", "filter": [step("take_first_k")]}], "is invalid"),
        ([{"name": "x", "filter": [FIRST]}, {"name": "x", "filter": [FIRST]}], "'x' twice"),
    ],
)
def test_wrong_filters_are_told(entries, said):
    with pytest.raises(ConfigError, match=said):
        read_filters(entries, FILE)


def test_options_of_filters_are_in_the_signature():
    one, two = pipeline(step("regex"), FIRST), pipeline(step("regex", group_select=1), FIRST)
    assert one.signature != two.signature and one.signature.startswith("filter:")
