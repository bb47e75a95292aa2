"""Questions with one right answer as a task, whether generated or read from a file.

A question with options is a multiple choice, asked by likelihood; one without is answered in text,
read in two ways: `exact_match` of the first line, and `exact_match,last` of the last thing in the
text that looks like an answer, which is fairer to a model that explains itself.
"""

import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any, NamedTuple

from groundup.core import (
    Completion,
    ConfigError,
    Likelihood,
    Pair,
    Reason,
    Sampling,
    Stops,
    TextModel,
    digest,
)

from ..metrics import Options, score_options
from ..prompt import Turn, Ways, example, question, rendered
from ..task import Asked, Item, Kind, Measure, Scored

POOL = 200
"""Questions that examples are drawn from."""
CHOICES = ("acc", "acc_norm")
TEXTS = {
    "none": "exact_match|of:first_line|ignores:case,final_point,thousands_comma",
    "last": "exact_match|of:last_match|ignores:case,thousands_comma",
}


class Question(NamedTuple):
    """One question and its right answer."""

    text: str
    answer: str
    options: tuple[str, ...] = ()
    """What a multiple choice offers, the answer among them."""
    group: str = ""
    """What is resampled together."""


class Questions(NamedTuple):
    """Where a task's questions come from and how their answers look."""

    draw: Callable[[random.Random], Iterable[Question]]
    """All questions, from a random stream that is the task's own; it may never end."""
    instruction: str
    """What stands before the first question."""
    pattern: str
    """How an answer in text looks; "" where options are offered."""
    common: int = 500
    """How many are asked if nobody says."""
    is_choice: bool = False
    shots: int = 4
    """Solved examples before a question if nobody says."""
    form: str = "Question: {}\nAnswer:"


@dataclass
class QuestionTask:
    """A task of such questions."""

    name: str
    ways: Ways
    questions: Questions
    version: str = "1"

    repeats: int = 1

    @property
    def kind(self) -> Kind:
        """Text or options."""
        return "multiple_choice" if self.questions.is_choice else "generate_until"

    @property
    def shots(self) -> int:
        """Solved examples before a question."""
        return self.questions.shots if self.ways.few_shot is None else self.ways.few_shot

    @property
    def signature(self) -> str:
        """How it is asked, with a digest of the first questions, which any change moves."""
        first = digest([list(each) for each in islice(self.drawn("questions"), 50)])[:12]
        return (
            f"{self.name}|seed:{self.ways.seed}|shots:{self.shots}|"
            f"{self.ways.chat.signature()}|questions:{first}"
        )

    @property
    def measures(self) -> tuple[Measure, ...]:
        """Accuracy of the options, or exact matches of the text."""
        if self.questions.is_choice:
            return tuple(Measure(n, "none", "higher", "share", "mean", n) for n in CHOICES)
        return tuple(
            Measure("exact_match", name, "higher", "share", "mean", signature)
            for name, signature in TEXTS.items()
        )

    @property
    def stops(self) -> Stops:
        """A line is enough for an example-led answer; a chat may explain itself."""
        if self.ways.chat.template:
            return Stops(Sampling(max_tokens=512))
        return Stops(Sampling(max_tokens=64), ("\n\n", "\nQuestion:"))

    def drawn(self, purpose: str) -> Iterator[Question]:
        """The questions, from a stream of their own for each purpose."""
        stream = random.Random(f"{self.ways.seed}/{self.name}/{purpose}")
        return iter(self.questions.draw(stream))

    @cached_property
    def pool(self) -> list[Question]:
        """What examples are taken from."""
        return list(islice(self.drawn("examples"), POOL))

    def items(self, model: TextModel | None, limit: int | None) -> Iterator[Item]:
        """Yield the questions; a limit may exceed the common number where they never end."""
        count = self.questions.common if limit is None else limit
        for number, each in enumerate(islice(self.drawn("questions"), count)):
            prompt = self.prompt(each, number, model)
            target: Any = each.options.index(each.answer) if each.options else each.answer
            pairs = tuple(Pair(prompt, self.gap + option) for option in each.options)
            document = {"question": each.text, "answer": each.answer, "options": [*each.options]}
            yield Item(str(number), each.group, prompt, pairs, target, document)

    @property
    def gap(self) -> str:
        """What lies between a prompt and its answer."""
        return "" if self.ways.chat.template else " "

    def prompt(self, asked: Question, number: int, model: TextModel | None) -> str:
        """Instruction, examples and the question, as the model reads them."""
        chat, form = self.ways.chat, self.questions.form
        others = [each for each in self.pool if each.text != asked.text]
        if self.shots > len(others):
            raise ConfigError(
                f"--few-shot {self.shots} is more than the {len(others)} examples that "
                f"{self.name} has beside a question; give at most {len(others)}."
            )
        draw = random.Random(f"{self.ways.seed}/{self.name}/shots/{number}")
        shown = draw.sample(others, self.shots)
        before = " ".join(part for part in (chat.system, self.questions.instruction) if part)
        turns = [Turn("system", before, "\n\n")] if before else []
        for each in shown:
            turns += example(form.format(each.text), each.answer, None, "", " ", "\n\n")
        return rendered([*turns, *question(form.format(asked.text), "", " ")], chat, model)

    def score(self, item: Item, answers: Sequence[Asked]) -> Scored:
        """Every measure of one question; a Reason for all if an answer failed."""
        failed = next((each for each in answers if isinstance(each, Reason)), None)
        if failed is not None:
            return Scored({}, {}, {measure.key: failed for measure in self.measures})
        if self.questions.is_choice:
            asked = [each for each in answers if isinstance(each, Likelihood)]
            options = Options(item.document["options"], asked, item.target)
            return Scored({}, score_options(CHOICES, options), {})
        text = next(each.text for each in answers if isinstance(each, Completion))
        found = re.findall(self.questions.pattern, text)
        read = {"none": text.strip().partition("\n")[0], "last": found[-1] if found else ""}
        values = {m.key: float(bare(read[m.filter]) == bare(item.target)) for m in self.measures}
        return Scored(read, values, {}, () if found else ("last",))


def bare(text: str) -> str:
    """An answer without what does not matter.

    >>> bare(" 1,234. "), bare("Blue"), bare("5, 7")
    ('1234', 'blue', '5 7')
    """
    text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", text.strip().rstrip(".").casefold())
    return " ".join(text.replace(",", " ").split())
