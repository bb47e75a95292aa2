"""Answers are filtered and become numbers; what a task's own code does wrong is a Reason."""

from pathlib import Path
from typing import Any

import pytest

from groundup.core import Completion, ConfigError, DataError, Likelihood
from groundup.evaluate.task.lm_eval import open_yaml_task
from groundup.evaluate.task.scoring import UNFILTERED, FilterOutput, FilterPipeline, read_filters
from groundup.evaluate.task.task import ItemScores, TaskItem, TaskOptions
from groundup.evaluate.task.yaml_files import FunctionReference

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
        ([{"name": "x"}], "needs `name` and a list `filter`; got name"),
        ([{"name": "x", "filter": [FIRST, step("lowercase")]}], "must be last"),
        ([{"name": "x", "filter": [step("regx")]}], "no filter `regx`; did you mean `regex`"),
        ([{"name": "x", "filter": [step("zzz")]}], "no filter `zzz`; use regex, "),
        (
            [{"name": "x", "filter": [step("custom", filter_fn=1)]}],
            "custom filters are not supported",
        ),
        ([{"name": "x", "filter": [step("regex", patern="a")]}], "no key `patern`; it takes"),
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


OWN = """
def results(doc, results):
    return {"good": float(results[0] == doc["a"]), "length": len(results[0]), "bad": "x"}

def broken(doc, results):
    raise KeyError("no such thing")

def nothing(doc, results):
    return None

def whole(doc, results):
    return {"nats": results[0]}

def both(doc, results):
    return {"sure": results[0][1] and results[0][0] > -1}

def metric(references, predictions, scale=1):
    return {"own": scale * float(references[0] in predictions[0])}

def paired(items):
    return float(items[0] == items[1])
"""
NUMBER = {"aggregation": "mean", "higher_is_better": True}


@pytest.fixture
def score(tmp_path: Path) -> Any:
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "rows.jsonl").write_text('{"q": "Who?", "a": "me", "more": ["me", "I"]}\n')

    def run(answer: Any, **fields: Any) -> ItemScores:
        settings = {
            "task": "t", "dataset_path": "json", "test_split": "test", "doc_to_text": "q",
            "doc_to_target": "a", "dataset_kwargs": {"data_files": {"test": "rows.jsonl"}},
        } | fields  # fmt: skip
        task = open_yaml_task(settings, tmp_path / "t.yaml", TaskOptions(trust_code=True))
        item: TaskItem = next(task.items(None, 1))
        found = [answer] if not isinstance(answer, str) else [Completion(answer, "stop", 1)]
        return task.score(item, found)

    run.own = lambda name: FunctionReference(tmp_path / "t.yaml", f"own.{name}")  # type: ignore
    return run


def test_a_text_is_filtered_then_compared(score):
    filters = [
        {"name": "mine", "filter": [{"function": "regex", "regex_pattern": "is (\\w+)"},
                                    {"function": "take_first"}]},
        {"name": "raw", "filter": [{"function": "take_first"}]},
    ]  # fmt: skip
    scored = score("It is me", filter_list=filters)
    assert scored.filtered == {"mine": "me", "raw": "It is me"}
    assert scored.scores == {"exact_match,mine": 1.0, "exact_match,raw": 0.0}
    assert scored.unparsed == ()
    assert score("Nobody", filter_list=filters).unparsed == ("mine",)


def test_any_of_several_right_answers_will_do(score):
    assert score("I", doc_to_target="more").scores == {"exact_match": 1.0}
    assert score("you", doc_to_target="more").scores == {"exact_match": 0.0}


def test_process_results_gives_the_numbers_it_is_asked_for(score):
    metrics = [{"metric": "good", **NUMBER}, {"metric": "length", **NUMBER}]
    scored = score("me", process_results=score.own("results"), metric_list=metrics)
    assert scored.scores == {"good": 1.0, "length": 2.0, "bad": "x"}  # "bad" stays, unreported


def test_what_is_no_number_or_is_missing_has_a_reason(score):
    metrics = [{"metric": "bad", **NUMBER}, {"metric": "absent", **NUMBER}]
    scored = score("me", process_results=score.own("results"), metric_list=metrics)
    assert {key: reason.code for key, reason in scored.undefined.items()} == {
        "bad": "no_number", "absent": "no_number",
    }  # fmt: skip


def test_code_that_raises_loses_its_own_sample_alone(score):
    metrics = [{"metric": "good", **NUMBER}]
    scored = score("me", process_results=score.own("broken"), metric_list=metrics)
    assert scored.undefined["good"].code == "task_code_failed"
    assert "KeyError" in scored.undefined["good"].message
    with pytest.raises(DataError, match="must return a dictionary"):
        score("me", process_results=score.own("nothing"), metric_list=metrics)


def test_code_gets_likelihoods_as_lm_eval_gives_them(score):
    rolling = score(
        Likelihood(-3.0, False, 2), output_type="loglikelihood_rolling",
        process_results=score.own("whole"),
        metric_list=[{"metric": "nats", "aggregation": "perplexity", "higher_is_better": False}],
    )  # fmt: skip
    assert rolling.scores == {"nats": [3.0, 1.0]}
    single = score(
        Likelihood(-0.5, True, 1), output_type="loglikelihood",
        process_results=score.own("both"), metric_list=[{"metric": "sure", **NUMBER}],
    )  # fmt: skip
    assert single.scores == {"sure": 1.0}


def test_a_metric_of_the_tasks_own(score):
    metrics = [{"metric": score.own("metric"), "scale": 3, **NUMBER}]
    scored = score("it is me", metric_list=metrics)
    assert scored.scores == {"own": 3.0, "metric": 3.0}
    metrics = [{"metric": score.own("paired"), **NUMBER}]
    assert score("me", metric_list=metrics).scores == {"paired": 1.0}
    assert score("I", metric_list=metrics, doc_to_target="more").scores == {"paired": 1.0}


def test_an_option_named_by_its_index_is_compared_as_text(score):
    fields = {"doc_to_choice": ["red", "green"], "doc_to_target": 1}
    assert score("green", **fields).scores == {"exact_match": 1.0}
    assert score("green", **fields | {"doc_to_target": 7}).undefined["exact_match"].code == (
        "target_out_of_range"
    )
