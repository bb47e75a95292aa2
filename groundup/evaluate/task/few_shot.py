"""Few-shot examples: sampled as in lm-eval, and never the question itself.

Each task has one random stream for its questions in order, and draws one example more than needed
where the question may be among them. lm-eval keeps a question among its own examples when they come
from the evaluated validation split; here it is always removed.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal

from groundup.core import ConfigError

from .dataset import Row


@dataclass
class FewShotSampler:
    """A source of examples with its random stream; create one per pass over the questions."""

    task: str
    rows: Sequence[Row]
    count: int
    sampler: Literal["default", "first_n"] = "default"
    seed: int = 1234
    may_hold_question: bool = False
    """Whether the rows may contain the question, which is then removed."""
    stream: random.Random = field(init=False)

    def __post_init__(self) -> None:
        """Seed the random stream."""
        self.stream = random.Random(self.seed)

    def sample(self, question: Row) -> list[Row]:
        """The examples of the next question; ConfigError if there are too few rows.

        >>> pool = [{"q": n} for n in range(9)]
        >>> [row["q"] for row in FewShotSampler("t", pool, 3).sample({"q": 9})]
        [7, 1, 0]
        >>> [row["q"] for row in FewShotSampler("t", pool, 2, "first_n", 0, True).sample({"q": 0})]
        [1, 2]
        """
        if not self.count:
            return []
        if self.sampler == "first_n":
            others = self.without_question(question) if self.may_hold_question else self.rows
            return list(self.check_enough(list(islice(others, self.count))))
        if not self.may_hold_question or not question:
            return self.stream.sample(self.check_enough(self.rows), self.count)
        drawn = self.stream.sample(self.check_enough(self.rows, spare=1), self.count + 1)
        examples = [row for row in drawn if row != question][: self.count]
        if len(examples) < self.count:
            examples = self.stream.sample(
                self.check_enough(list(self.without_question(question))), self.count
            )
        return examples

    def without_question(self, question: Row) -> Iterator[Row]:
        """The rows that are not the question."""
        return (row for row in self.rows if row != question)

    def check_enough(self, rows: Sequence[Row], spare: int = 0) -> Sequence[Row]:
        """The rows; ConfigError if there are too few."""
        if len(rows) < self.count + spare:
            raise ConfigError(
                f"{self.task}: {self.count} examples before a question need "
                f"{self.count + spare} rows to draw from; got {len(rows)}."
            )
        return rows
