"""Fields of rows: columns, templates, literals and functions."""

from pathlib import Path
from typing import Any

import pytest

from groundup.core import ConfigError, DataError
from groundup.evaluate.task.code import TaskCode
from groundup.evaluate.task.template import FieldReader, _fill_template


def reader(has_choices: bool = False, *columns: str) -> FieldReader:
    return FieldReader(Path("t.yaml"), frozenset(columns or ("q", "a")), has_choices)


def test_line_breaks_and_missing_names_are_lm_evals():
    assert _fill_template("a\n", {}) == "a\n" and _fill_template("{{x}}\n\n", {"x": 1}) == "1\n\n"
    assert _fill_template("{{x|regex_replace('o+', '0', 1)}}", {"x": "foo boo"}) == "f0 boo"
    with pytest.raises(DataError, match=r"t\.yaml: doc_to_text cannot be filled in .*'b' is und"):
        reader().text("{{b}}", {"q": 1})


def test_templates_cannot_reach_python():
    row = {"q": "x"}
    for attack in ("{{q.__class__.__mro__}}", "{{q.__init__.__globals__}}", "{{''.__class__}}"):
        with pytest.raises(DataError, match="cannot be filled in"):
            reader().text(attack, row)


@pytest.mark.parametrize(
    "attack",
    [
        "{{ 'a' * 10**10 }}",
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{{ q | wordwrap(1) | wordwrap(10**9) }}",
        "{{ ('a' * 60 ~ 'b') | regex_replace('(a|a)+$', '') }}",
        "{{ ('a' * 99999) | regex_replace('a', 'b' * 99999) }}",
        "{% if q.clear() %}{% endif %}{{ q.append(1) }}",
    ],
)
def test_templates_have_the_limits_of_chat_templates(attack, monkeypatch):
    monkeypatch.setattr("groundup.tokenizer.imported.sandbox.MOST_SECONDS", 0.3)
    monkeypatch.setattr("groundup.evaluate.task.template.REGEX_SECONDS", 0.3)
    with pytest.raises(DataError, match="doc_to_text cannot be filled in"):
        reader().text(attack, {"q": "words"})


def test_a_template_that_is_none_is_told():
    with pytest.raises(ConfigError, match="doc_to_text: The task template is invalid"):
        reader().text("{% if %}", {})


def test_a_column_wins_over_a_template():
    row = {"q": ["kept", 1], "a": "0"}
    assert reader().text("q", row) == ["kept", 1]
    assert reader(True).target("a", row) == "0"  # only what a template wrote becomes a number


@pytest.mark.parametrize(
    ("field", "has_choices", "value"),
    [
        ("{{a}}", True, 1),
        ("{{a}}", False, "1"),
        ("{{[a, 'x']}}", False, [1, "x"]),
        ("[not a list]", False, "[not a list]"),
        ("plain", False, "plain"),
        (3, True, 3),
        (["x", "y"], False, ["x", "y"]),
        (TaskCode("own.f", "", lambda row: row["a"] + 1), True, 2),
    ],
)
def test_targets(field: Any, has_choices: bool, value: Any):
    assert reader(has_choices).target(field, {"q": "Q", "a": 1}) == value


def test_digits_that_are_no_number_are_told():
    with pytest.raises(DataError, match="'²' is not the index"):
        reader(True).text("²", {})
    with pytest.raises(DataError, match="'007' is not the index"):
        reader(True).target("007", {})


def test_options():
    row = {"q": ["a", "b"], "a": 1}
    assert reader().choices("q", row) == ["a", "b"]
    assert reader().choices("{{q}}", row) == ["a", "b"]
    assert reader().choices({"A": "x", "B": "y"}, row) == ["x", "y"]
    with pytest.raises(DataError, match="quote `yes` and `no`"):
        reader().choices([False, True], row)
    with pytest.raises(DataError, match="must give a list"):
        reader().choices("a and b", row)


def test_prefixes_are_columns_or_templates():
    row = {"q": "Q", "a": None}
    assert reader().prefix("q", row) == "Q" and reader().prefix("a", row) == ""
    assert reader().prefix("So {{q}}", row) == "So Q" and reader().prefix(None, row) == ""
