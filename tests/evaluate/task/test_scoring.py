"""Answers become numbers, by a task's own code too; what its code does wrong is a Reason."""

from pathlib import Path
from typing import Any

import pytest

from groundup.core import Completion, DataError, Likelihood
from groundup.evaluate.task.code import FunctionReference
from groundup.evaluate.task.lm_eval import open_yaml_task
from groundup.evaluate.task.prompt import TaskOptions
from groundup.evaluate.task.task import ItemScores, TaskItem

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
