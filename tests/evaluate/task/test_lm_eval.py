"""lm-eval's record of every kind of task file, and what is refused or told of the others."""

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from groundup.core import Completion, ConfigError, DataError, Likelihood, Reason
from groundup.evaluate.task.lm_eval import FewShotSampler, YamlTask, open_yaml_task
from groundup.evaluate.task.task import ChatOptions, EvaluationTask, TaskOptions
from tests.evaluate.task.lm_eval_peer import FIXTURE, Fake, differences, expected
from tests.oracles.lm_eval_shipped import write_rows

CHOICE: dict[str, Any] = {
    "task": "t",
    "dataset_path": "json",
    "dataset_kwargs": {"data_files": {"test": "rows.jsonl"}},
    "test_split": "test",
    "output_type": "multiple_choice",
    "doc_to_text": "q",
    "doc_to_choice": ["no", "yes"],
    "doc_to_target": "a",
}
TEXT = CHOICE | {"output_type": "generate_until", "doc_to_target": "{{a}}"}
del TEXT["doc_to_choice"]


def names(record: dict[str, Any]) -> str:
    options = {key: value for key, value in record["case"].items() if key != "tasks"}
    return " ".join(record["case"]["tasks"] + [f"{key}={options[key]}" for key in options])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [{"q": f"q{n}", "a": n % 2} for n in range(6)]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "rows.jsonl").write_text(text)
    return tmp_path


def opened(folder: Path, settings: dict[str, Any], **ways: Any) -> YamlTask:
    return open_yaml_task(settings, folder / "t.yaml", TaskOptions(**ways))


@pytest.mark.parametrize("record", expected(), ids=names)
def test_every_item_is_equal_to_lm_evals(record: dict[str, Any]):
    assert differences(record, FIXTURE / "tasks", FIXTURE / "data") == []


def test_the_record_holds_what_it_claims():
    rows = [row for case in expected() for rows in case["samples"].values() for row in rows]
    assert len(expected()) >= 39 and len(rows) >= 200
    assert sum(len(row["arguments"]) for row in rows) >= 350
    filters = {row["filter"] for row in rows}
    assert {"none", "strict-match", "flexible-extract", "vote", "letter", "mapped"} <= filters


def test_a_yaml_task_is_a_task(folder: Path):
    assert isinstance(opened(folder, CHOICE), EvaluationTask)


def test_a_question_is_never_among_its_own_examples(folder: Path):
    settings = {key: v for key, v in CHOICE.items() if key != "test_split"}
    settings["dataset_kwargs"] = {"data_files": {"validation": "rows.jsonl"}}
    settings |= {"validation_split": "validation", "fewshot_split": "validation"}
    for item in opened(folder, settings, few_shot=5).items(None, None):
        question = item.document["q"]
        assert item.prompt.count(question) == 1 and item.prompt.endswith(question)


def test_too_few_examples_are_an_error_that_counts_them(folder: Path):
    with pytest.raises(ConfigError, match="6 examples need 6 rows; got 5"):
        list(opened(folder, CHOICE | {"fewshot_config": {"sampler": "first_n", "split": "test"}},
                    few_shot=6).items(None, None))  # fmt: skip


def test_items_are_lazy_and_limited(folder: Path):
    task = opened(folder, CHOICE)
    assert [item.id for item in task.items(None, 2)] == ["0", "1"]
    assert next(task.items(None, None)).document == {"q": "q0", "a": 0}


def test_every_pass_draws_the_same_examples(folder: Path):
    task = opened(folder, CHOICE, few_shot=2)
    assert list(task.items(None, None)) == list(task.items(None, None))
    assert list(opened(folder, CHOICE, few_shot=2, seed=1).items(None, None)) != list(
        task.items(None, None)
    )


def test_a_task_of_no_examples_keeps_to_it(folder: Path):
    assert opened(folder, CHOICE | {"num_fewshot": 0}, few_shot=3).num_fewshot == 0
    assert opened(folder, CHOICE | {"num_fewshot": 2}).num_fewshot == 2
    assert opened(folder, CHOICE | {"num_fewshot": 2}, few_shot=3).num_fewshot == 3


@pytest.mark.parametrize(
    "change",
    [
        {"doc_to_text": "{{q}}?"},
        {"target_delimiter": "\n"},
        {"description": "Think."},
        {"num_fewshot": 1},
        {"dataset_path": "csv"},
        {"gen_prefix": "So:"},
        {"generation_kwargs": {"until": ["."]}},
        {"generation_kwargs": {"max_gen_toks": 3}},
        {"filter_list": [{"name": "x", "filter": [{"function": "lowercase"}]}]},
        {"fewshot_config": {"sampler": "first_n"}},
        {"repeats": 2},
    ],
)
def test_what_moves_a_number_moves_the_signature(folder: Path, change: dict[str, Any]):
    assert opened(folder, TEXT).signature != opened(folder, TEXT | change).signature


def test_what_the_caller_decides_is_in_the_signature(folder: Path):
    known = {
        opened(folder, TEXT, **ways).signature
        for ways in (
            {}, {"few_shot": 2}, {"few_shot": 2, "seed": 5}, {"chat": ChatOptions(True)},
            {"chat": ChatOptions(True, multiturn=False)}, {"chat": ChatOptions(system="Be brief.")},
        )
    }  # fmt: skip
    assert len(known) == 6
    assert "shots:0|draw:no|template:no|system:no" in opened(folder, TEXT).signature


def test_names_and_notes_do_not_move_the_signature(folder: Path):
    other = TEXT | {"task": "u", "task_alias": "U", "metadata": {"version": 9, "about": "x"}}
    assert opened(folder, TEXT).signature == opened(folder, other).signature
    assert opened(folder, other).version == "9"


def test_an_answer_that_failed_leaves_its_reason(folder: Path):
    task = opened(folder, CHOICE)
    item = next(task.items(None, 1))
    scored = task.score(item, [Likelihood(-1.0, True, 1), Reason("timeout", "60 s")])
    assert scored.scores == {} and set(scored.undefined) == {"acc", "acc_norm"}
    assert scored.undefined["acc"].code == "timeout"


def test_a_label_that_is_no_option_has_no_score(folder: Path):
    (folder / "rows.jsonl").write_text('{"q": "x", "a": -1}\n')
    task = opened(folder, CHOICE)
    asked = [Likelihood(-1.0, True, 1), Likelihood(-2.0, True, 1)]
    scored = task.score(next(task.items(None, 1)), asked)
    assert scored.undefined["acc"].code == "target_out_of_range"


def test_errors_in_rows_name_the_file_the_field_and_the_row(folder: Path):
    with open(folder / "rows.jsonl", "a") as file:
        file.write('{"q": null, "a": 1}\n')
    with pytest.raises(DataError, match=r"doc_to_text must give a text.*row 6"):
        list(opened(folder, CHOICE).items(None, None))
    with pytest.raises(DataError, match=r"t\.yaml: doc_to_text cannot be filled.*'z'.*q, a"):
        list(opened(folder, CHOICE | {"doc_to_text": "{{z}}"}).items(None, None))


def test_a_chat_template_needs_a_model(folder: Path):
    task = opened(folder, TEXT, chat=ChatOptions(True))
    with pytest.raises(ConfigError, match="needs a model"):
        next(task.items(None, 1))
    assert next(task.items(Fake(), 1)).prompt == "<user>q0</user><assistant>"


def test_filters_of_texts_need_texts(folder: Path):
    filters = [{"name": "x", "filter": [{"function": "lowercase"}, {"function": "take_first"}]}]
    with pytest.raises(ConfigError, match="multiple_choice generates none"):
        opened(folder, CHOICE | {"filter_list": filters})


def test_the_text_to_look_for_in_training_data(folder: Path):
    row = {"q": "q0", "a": 0}
    assert opened(folder, CHOICE).decontamination_query(row) is None
    asked = CHOICE | {"should_decontaminate": True}
    assert opened(folder, asked).decontamination_query(row) == "q0"
    asked["doc_to_decontamination_query"] = "Is {{q}}?"
    assert opened(folder, asked).decontamination_query(row) == "Is q0?"


def test_repeats_are_of_generated_texts_alone(folder: Path):
    assert opened(folder, CHOICE | {"repeats": 3}).repeats == 1
    task = opened(folder, TEXT | {"repeats": 2})
    assert task.repeats == 2
    answers = [Completion("0", "stop", 1), Completion("1", "stop", 1)]
    assert task.score(next(task.items(None, 1)), answers).scores == {"exact_match": 1.0}


POOL = [{"n": n} for n in range(20)]


def drawn(
    count: int, *, seed: int = 1234, held: bool = False, rows: list[dict] = POOL
) -> FewShotSampler:
    return FewShotSampler("t", rows, count, "default", seed, held)


def test_one_stream_runs_through_the_questions():
    examples, stream = drawn(3), random.Random(1234)
    for _ in range(5):
        assert examples.sample({"n": 99}) == stream.sample(POOL, 3)


def test_one_more_is_drawn_where_the_question_may_be_among_them():
    examples, stream = drawn(3, held=True), random.Random(1234)
    for row in POOL:
        wanted = [each for each in stream.sample(POOL, 4) if each != row][:3]
        found = examples.sample(row)
        assert found == wanted and row not in found


def test_copies_of_the_question_are_taken_out_too():
    rows = [{"n": 0}] * 6 + [{"n": 1}, {"n": 2}]
    for seed in range(20):
        found = drawn(2, seed=seed, held=True, rows=rows).sample({"n": 0})
        assert sorted(row["n"] for row in found) == [1, 2]


def test_the_first_ones():
    examples = FewShotSampler("t", POOL, 2, "first_n", 1234, True)
    assert examples.sample({"n": 0}) == [{"n": 1}, {"n": 2}]
    assert examples.sample({"n": 9}) == [{"n": 0}, {"n": 1}]


def test_none_are_asked_for():
    assert drawn(0, rows=[]).sample({"n": 1}) == []


@pytest.mark.parametrize(("held", "needed"), [(False, 5), (True, 6)])
def test_too_few_rows(held, needed):
    with pytest.raises(ConfigError, match=f"t: 5 examples need {needed} rows; got 3"):
        drawn(5, held=held, rows=POOL[:3]).sample({"n": 99})


ROOT = Path(__file__).resolve().parents[3]
RECORD = expected(FIXTURE / "shipped.json.xz")


def folders() -> Iterator[Path]:
    if named := os.environ.get("LM_EVAL_TASKS"):
        yield Path(named)
    yield from ROOT.glob(".oracles/lm-eval/lib/python3*/site-packages/lm_eval/tasks")


TASKS = next((path for path in folders() if path.is_dir()), None)


@pytest.mark.slow
@pytest.mark.skipif(TASKS is None, reason="lm-eval's task files are not here: make oracles")
def test_every_item_of_lm_evals_own_files_is_equal(tmp_path: Path):
    assert TASKS is not None
    rows = write_rows(tmp_path)
    wrong = [line for record in RECORD for line in differences(record, TASKS, rows)]
    assert wrong == []


def test_the_record_is_of_many_public_tasks():
    names = {name for record in RECORD for name in record["samples"]}
    assert len(names) >= 60 and {"hellaswag", "gsm8k", "wikitext", "mmlu_anatomy"} <= names
