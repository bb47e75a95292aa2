"""Fields of a task file: wrong ones are errors that help; how a row fills them."""

from pathlib import Path
from typing import Any

import pytest

from groundup.core import ConfigError, DataError
from groundup.evaluate.task.settings import (
    FieldReader,
    TaskSettings,
    _fill_template,
    prompt_digest,
    read_stop_criteria,
    read_task_settings,
)
from groundup.evaluate.task.yaml_files import TaskCode

FILE = Path("t.yaml")
LEAST: dict[str, Any] = {
    "task": "t", "dataset_path": "json", "test_split": "test", "doc_to_text": "q",
    "doc_to_target": "a",
}  # fmt: skip


def stops(**given: Any):
    settings = TaskSettings(task="t", generation_kwargs=given or None)
    return read_stop_criteria(settings, FILE)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"doc_to_txt": "q"}, r"t\.yaml: .*no key `doc_to_txt`; did you mean `doc_to_text`"),
        ({"output_type": "classify"}, "output_type: Input should be 'loglikelihood'"),
        ({"num_fewshot": -1}, "num_fewshot"),
        ({"repeats": 0}, "repeats"),
        ({"fewshot_config": {"sampler": "balanced"}}, "sampler: Input should be 'default' or"),
        (
            {"fewshot_config": {"fewshot_indices": [1]}},
            "FewShotSettings has no key `fewshot_indices`",
        ),
        ({"class": "x"}, "`class` is a task written in Python"),
        ({"doc_to_image": ["x"]}, "`doc_to_image` shows images"),
        ({"use_prompt": "x"}, "`use_prompt` needs promptsource"),
        ({"unsafe_code": True}, "without a sandbox; use the built-in task humaneval"),
        ({"test_split": None}, "expected a test_split or a validation_split"),
        ({"dataset_path": None}, "expected dataset_path"),
        ({"doc_to_text": None}, "generate_until needs `doc_to_text`"),
        ({"output_type": "multiple_choice"}, "multiple_choice needs `doc_to_choice`"),
        ({"task": None}, "task is required"),
    ],
)
def test_wrong_fields_are_told(change, said):
    with pytest.raises(ConfigError, match=said):
        read_task_settings(LEAST | change, FILE)


def test_examples_take_from_the_task_what_they_leave_open():
    given = LEAST | {
        "fewshot_split": "dev", "target_delimiter": "=",
        "fewshot_config": {"doc_to_text": "Q: {{q}}", "fewshot_delimiter": "\n"},
    }  # fmt: skip
    shots = read_task_settings(given, FILE).few_shot_settings
    assert (shots.split, shots.doc_to_text, shots.doc_to_target) == ("dev", "Q: {{q}}", "a")
    assert (shots.target_delimiter, shots.fewshot_delimiter) == ("=", "\n")


def test_how_to_generate():
    assert stops().until == ("\n\n",) and stops().sampling.max_tokens == 256
    assert stops(until="x").until == ("x",) and stops(until=["a", ""]).until == ("a",)
    assert stops(max_gen_toks=9, max_tokens=5).sampling.max_tokens == 9
    assert stops(max_new_tokens=7).sampling.max_tokens == 7
    assert stops(do_sample=False, temperature=0.7).sampling.temperature == 0.0
    assert stops(temperature=0.7).sampling.temperature == 0.7
    assert stops(do_sample=True).sampling.temperature == 1.0
    found = stops(do_sample=True, temperature=0.2, top_p=0.9, top_k=40).sampling
    assert (found.temperature, found.top_p, found.top_k) == (0.2, 0.9, 40)
    with pytest.raises(ConfigError, match="generation_kwargs has no key `num_beams`"):
        stops(num_beams=4)


def test_where_the_rows_lie_on_a_disk_does_not_move_the_digest():
    one = TaskSettings(**LEAST, dataset_kwargs={"data_files": "a.json"})
    two = TaskSettings(**LEAST, dataset_kwargs={"data_files": "b.json"})
    assert prompt_digest(one) == prompt_digest(two)
    assert prompt_digest(one) != prompt_digest(TaskSettings(**LEAST, fewshot_delimiter="\n"))


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
    monkeypatch.setattr("groundup.evaluate.task.settings.REGEX_SECONDS", 0.3)
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
