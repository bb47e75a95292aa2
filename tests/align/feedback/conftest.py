"""Comparisons of a few answers, and a judge of random weights whose verdicts differ by the pair."""

import json
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from urllib.request import urlopen

import pytest
import torch

from groundup.align import AnswersConfig, sample_answers
from groundup.core import Artifact, Config, child, produce
from groundup.model import load, save
from tests.serve.servers import START_SECONDS, Serving, serving, write_chat_model

PROMPT = """
part = [
    {kind = "data", name = "principle"}, {kind = "data", name = "turn"},
    {kind = "question", name = "question"}, {kind = "data", name = "answer"},
]
"""
"""Ends with the answers, so that the last words of one sway a model of random weights."""
ANSWERS = ["yes", "no", "A longer answer, with reasons.", "4", "I do not know.", "apple"]


def rows(count: int = 6) -> list[dict]:
    """Prompts with two answers each, but for the first, which has three."""
    first = {"prompt": "Which fruit?", "answers": ANSWERS[:3], "origins": ["m-x", "m-y", "m-z"]}
    pairs = [(one, other) for at, one in enumerate(ANSWERS) for other in ANSWERS[at + 1 :]]
    others = [{"prompt": f"Why {n}?", "answers": list(pairs[n % 15])} for n in range(count - 1)]
    return [first, *others]


def write_rows(path: Path, lines: list) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def compared(folder: Path, lines: list | None = None) -> Artifact:
    """An artifact of such rows."""
    folder.mkdir(parents=True, exist_ok=True)
    file = write_rows(folder / "rows.jsonl", lines or rows())
    return sample_answers(AnswersConfig(), [file], folder / "comparisons")


@pytest.fixture
def comparisons(tmp_path) -> Artifact:
    return compared(tmp_path)


@pytest.fixture(scope="session")
def judge_model(tmp_path_factory) -> Artifact:
    def write(draft):
        model = load(write_chat_model(draft.path))
        generator = torch.Generator().manual_seed(9)
        with torch.no_grad():
            for weight in model.parameters():
                if weight.ndim == 2:
                    weight.copy_(torch.randn(weight.shape, generator=generator) * 0.3)
        save(model, draft.path)

    return produce(
        tmp_path_factory.mktemp("judge") / "judge", kind="model", stage="test", version=1,
        config=Config(), parents={}, write=write,
    )  # fmt: skip


@pytest.fixture(scope="session")
def judge_server(judge_model):
    with serving(judge_model.path, name="judge") as server:
        yield server


@pytest.fixture
def prompt(tmp_path) -> Path:
    (tmp_path / "prompt.toml").write_text(PROMPT)
    return tmp_path / "prompt.toml"


def address(server: Serving) -> str:
    return f"{server.url}/v1#{server.name}"


def requests_answered(server: Serving) -> int:
    """How many the server has answered."""
    with urlopen(f"{server.url}/metrics") as reply:
        text = reply.read().decode()
    return int(sum(map(float, re.findall(r"^vllm:request_success_total\S* (\S+)$", text, re.M))))


def kill_midway(words: list, server: Serving, done: Callable[[], int], at: int) -> None:
    """Run a command that asks a server, and kill it once some is done and an answer is missing."""
    command = child.python_command("-m", "groundup", *map(str, words))
    deadline = time.monotonic() + START_SECONDS
    with subprocess.Popen(command, env=child.python_environment()) as process:
        try:
            while done() < at:
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.002)
            server.engine.suspend()
        finally:
            process.kill()
            server.engine.resume()
