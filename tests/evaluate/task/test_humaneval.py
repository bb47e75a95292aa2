"""HumanEval's problems: prompts, verdicts by sandboxed tests, pass@k."""

import gzip
import json
from pathlib import Path

import pytest

from groundup.core import Completion, ConfigError, DataError, Reason, Sandbox
from groundup.evaluate.task.builtin import _make_humaneval
from groundup.evaluate.task.humaneval import STOP_STRINGS, HumanEval
from groundup.evaluate.task.task import ChatOptions, EvaluationTask, TaskOptions

ROW = {
    "task_id": "Own/0",
    "prompt": 'def add(a, b):\n    """Sum of two numbers."""\n',
    "entry_point": "add",
    "canonical_solution": "    return a + b\n",
    "test": "def check(candidate):\n    assert candidate(1, 2) == 3 and candidate(0, 0) == 0\n",
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    with gzip.open(tmp_path / "HumanEval.jsonl.gz", "wt") as file:
        file.writelines(json.dumps({**ROW, "task_id": f"Own/{n}"}) + "\n" for n in range(3))
    return tmp_path


@pytest.fixture(scope="module")
def box() -> Sandbox:
    try:
        return Sandbox.open()
    except ConfigError as error:
        pytest.skip(str(error))


class Rendering:
    """A model that is asked for nothing but its chat format."""

    name = digest = signature = "rendering"

    def render(self, conversation):
        return "".join(f"<{role}>{content}" for role, content in conversation)

    def loglikelihood(self, pairs):
        raise NotImplementedError

    rolling = complete = loglikelihood


def test_problems_become_prompts(data: Path, box: Sandbox):
    task = HumanEval(TaskOptions(data), sandbox=box)
    assert isinstance(task, EvaluationTask) and task.name == "humaneval"
    items = list(task.items(None, 2))
    assert [item.id for item in items] == ["Own/0", "Own/1"] and items[0].prompt == ROW["prompt"]
    assert task.stops.until == STOP_STRINGS and task.stops.sampling.temperature == 0
    assert "answers:1" in task.signature and [m.key for m in task.measures] == ["pass@1"]


def test_several_answers_are_drawn_and_give_pass_at_k(data: Path, box: Sandbox):
    task = HumanEval(TaskOptions(data), 5, box)
    assert task.stops.sampling.temperature == 0.8 and task.repeats == 5
    (item,) = task.items(None, 1)
    right, wrong = "    return a + b\n", "    return a - b\n"
    answers = [Completion(text, "stop", 9) for text in (right, wrong, wrong, right, wrong)]
    scored = task.score(item, answers)
    assert scored.scores == {"pass@1": pytest.approx(0.4), "pass@5": 1.0}
    assert [v.partition(":")[0] for v in scored.filtered["verdict"]] == [
        "passed", "wrong", "wrong", "passed", "wrong",
    ]  # fmt: skip
    assert scored.filtered["none"][0] == ROW["prompt"] + right


def test_a_chat_answers_with_a_block(data: Path, box: Sandbox):
    task = HumanEval(TaskOptions(data, chat=ChatOptions(apply_template=True)), sandbox=box)
    (item,) = task.items(Rendering(), 1)
    assert item.prompt.startswith("<user>Complete this Python function.")
    text = "Sure:\n```python\ndef add(a, b):\n    return a + b\n```"
    assert task.score(item, [Completion(text, "stop", 9)]).scores == {"pass@1": 1.0}
    assert task.stops.until == ()


def test_a_failed_request_is_open_and_hostile_code_is_wrong(data: Path, box: Sandbox):
    task = HumanEval(TaskOptions(data), sandbox=box)
    (item,) = task.items(None, 1)
    reason = Reason("timeout", "no answer")
    assert task.score(item, [reason]).undefined == {"pass@1": reason}
    killed = task.score(item, [Completion("    import os; os.kill(os.getpid(), 9)", "stop", 9)])
    assert killed.scores == {"pass@1": 0.0}
    assert killed.filtered["verdict"] == ["killed: ended by SIGKILL"]


def test_problems_that_are_missing_or_damaged_are_told(tmp_path: Path, box: Sandbox):
    (tmp_path / "HumanEval.jsonl").write_text(json.dumps({**ROW, "test": None}) + "\n")
    with pytest.raises(DataError, match="problem 0 has no test"):
        list(HumanEval(TaskOptions(tmp_path), sandbox=box).items(None, None))
    with pytest.raises(ConfigError, match="number of answers"):
        _make_humaneval(TaskOptions(tmp_path), 0)
