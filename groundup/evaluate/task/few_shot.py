"""Solved examples before a question: which ones, drawn how, never the question itself.

The draws are lm-eval's, number for number: one random stream a task runs through its questions in
order, and where the question may be among the examples one more is drawn than needed. lm-eval
leaves a question among its own examples when the examples come from the validation split that is
asked; here it is always taken out.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal

from groundup.core import ConfigError

from .rows import Row


@dataclass
class Examples:
    """A source of examples with its random stream; made anew for each pass over the questions."""

    task: str
    rows: Sequence[Row]
    count: int
    sampler: Literal["default", "first_n"] = "default"
    seed: int = 1234
    may_hold_question: bool = False
    """Whether the question is taken out."""
    stream: random.Random = field(init=False)

    def __post_init__(self) -> None:
        """Start the random stream."""
        self.stream = random.Random(self.seed)

    def of(self, question: Row) -> list[Row]:
        """The examples of the next question.

        Raises ConfigError if there are too few rows.

        >>> pool = [{"q": n} for n in range(9)]
        >>> [row["q"] for row in Examples("t", pool, 3).of({"q": 9})]
        [7, 1, 0]
        >>> [row["q"] for row in Examples("t", pool, 2, "first_n", 0, True).of({"q": 0})]
        [1, 2]
        """
        if not self.count:
            return []
        if self.sampler == "first_n":
            others = self.others(question) if self.may_hold_question else self.rows
            return list(self.enough(list(islice(others, self.count))))
        if not self.may_hold_question or not question:
            return self.stream.sample(self.enough(self.rows), self.count)
        drawn = self.stream.sample(self.enough(self.rows, spare=1), self.count + 1)
        found = [row for row in drawn if row != question][: self.count]
        if len(found) < self.count:
            found = self.stream.sample(self.enough(list(self.others(question))), self.count)
        return found

    def others(self, question: Row) -> Iterator[Row]:
        """The rows that are not the question."""
        return (row for row in self.rows if row != question)

    def enough(self, rows: Sequence[Row], spare: int = 0) -> Sequence[Row]:
        """The rows, if there are as many as needed."""
        if len(rows) < self.count + spare:
            raise ConfigError(
                f"{self.task}: {self.count} examples before a question need "
                f"{self.count + spare} rows to draw from; got {len(rows)}."
            )
        return rows
