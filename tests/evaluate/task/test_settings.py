"""Fields of a task file: unknown and impossible ones are errors that help."""

from pathlib import Path
from typing import Any

import pytest

from groundup.core import ConfigError
from groundup.evaluate.task.settings import (
    TaskSettings,
    prompt_digest,
    read_stop_criteria,
    read_task_settings,
)

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
    with pytest.raises(ConfigError, match="generation_kwargs does not support `num_beams`"):
        stops(num_beams=4)


def test_where_the_rows_lie_on_a_disk_does_not_move_the_digest():
    one = TaskSettings(**LEAST, dataset_kwargs={"data_files": "a.json"})
    two = TaskSettings(**LEAST, dataset_kwargs={"data_files": "b.json"})
    assert prompt_digest(one) == prompt_digest(two)
    assert prompt_digest(one) != prompt_digest(TaskSettings(**LEAST, fewshot_delimiter="\n"))
