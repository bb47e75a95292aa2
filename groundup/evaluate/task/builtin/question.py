"""Questions with one correct answer as a task, generated or read from a file.

A question with options is a multiple choice, scored by likelihood; one without is answered in text,
which is scored twice: `exact_match` of the first line, and `exact_match,last` of the last match of
the answer's pattern, which is fairer to a model that explains itself.
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
"""Number of questions from which examples are drawn."""
CHOICES = ("acc", "acc_norm")
TEXTS = {
    "none": "exact_match|of:first_line|ignores:case,final_point,thousands_comma",
    "last": "exact_match|of:last_match|ignores:case,thousands_comma",
}


class Question(NamedTuple):
    """One question and its correct answer."""

    text: str
    answer: str
    options: tuple[str, ...] = ()
    """Options of a multiple choice, the answer included."""
    group: str = ""
    """Questions of one group are resampled together."""


class Questions(NamedTuple):
    """A source of questions and the form of their answers."""

    draw: Callable[[random.Random], Iterable[Question]]
    """All questions, given a random stream; may be infinite."""
    instruction: str
    """Text before the first question."""
    pattern: str
    """Regular expression of an answer in text; "" for multiple choice."""
    common: int = 500
    """Default number of questions."""
    is_choice: bool = False
    shots: int = 4
    """Default number of few-shot examples."""
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
        """multiple_choice with options, else generate_until."""
        return "multiple_choice" if self.questions.is_choice else "generate_until"

    @property
    def shots(self) -> int:
        """Number of few-shot examples."""
        return self.questions.shots if self.ways.few_shot is None else self.ways.few_shot

    @property
    def signature(self) -> str:
        """Everything that affects a score, with a digest of the first questions."""
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
        """One paragraph after few-shot examples; more in a chat, which may explain itself."""
        if self.ways.chat.template:
            return Stops(Sampling(max_tokens=512))
        return Stops(Sampling(max_tokens=64), ("\n\n", "\nQuestion:"))

    def drawn(self, purpose: str) -> Iterator[Question]:
        """The questions, with a separate random stream for each purpose."""
        stream = random.Random(f"{self.ways.seed}/{self.name}/{purpose}")
        return iter(self.questions.draw(stream))

    @cached_property
    def pool(self) -> list[Question]:
        """Questions from which examples are drawn."""
        return list(islice(self.drawn("examples"), POOL))

    def items(self, model: TextModel | None, limit: int | None) -> Iterator[Item]:
        """Yield the questions; `limit` may exceed the default number of generated ones."""
        count = self.questions.common if limit is None else limit
        for number, each in enumerate(islice(self.drawn("questions"), count)):
            prompt = self.prompt(each, number, model)
            target: Any = each.options.index(each.answer) if each.options else each.answer
            pairs = tuple(Pair(prompt, self.gap + option) for option in each.options)
            document = {"question": each.text, "answer": each.answer, "options": [*each.options]}
            yield Item(str(number), each.group, prompt, pairs, target, document)

    @property
    def gap(self) -> str:
        """Delimiter between a prompt and its answer."""
        return "" if self.ways.chat.template else " "

    def prompt(self, asked: Question, number: int, model: TextModel | None) -> str:
        """Instruction, examples and the question, as the model reads them."""
        chat, form = self.ways.chat, self.questions.form
        others = [each for each in self.pool if each.text != asked.text]
        if self.shots > len(others):
            raise ConfigError(
                f"--few-shot {self.shots} exceeds the {len(others)} examples of {self.name}; give "
                f"at most {len(others)}."
            )
        draw = random.Random(f"{self.ways.seed}/{self.name}/shots/{number}")
        shown = draw.sample(others, self.shots)
        instruction = " ".join(part for part in (chat.system, self.questions.instruction) if part)
        turns = [Turn("system", instruction, "\n\n")] if instruction else []
        for each in shown:
            turns += example(form.format(each.text), each.answer, None, "", " ", "\n\n")
        return rendered([*turns, *question(form.format(asked.text), "", " ")], chat, model)

    def score(self, item: Item, answers: Sequence[Asked]) -> Scored:
        """All measures of one question; a Reason for all if a request failed."""
        failed = next((each for each in answers if isinstance(each, Reason)), None)
        if failed is not None:
            return Scored({}, {}, {measure.key: failed for measure in self.measures})
        if self.questions.is_choice:
            likelihoods = [each for each in answers if isinstance(each, Likelihood)]
            options = Options(item.document["options"], likelihoods, item.target)
            return Scored({}, score_options(CHOICES, options), {})
        text = next(each.text for each in answers if isinstance(each, Completion))
        matches = re.findall(self.questions.pattern, text)
        read = {"none": text.strip().partition("\n")[0], "last": matches[-1] if matches else ""}
        values = {m.key: float(bare(read[m.filter]) == bare(item.target)) for m in self.measures}
        return Scored(read, values, {}, () if matches else ("last",))


def bare(text: str) -> str:
    """Normalise an answer for comparison.

    >>> bare(" 1,234. "), bare("Blue"), bare("5, 7")
    ('1234', 'blue', '5 7')
    """
    text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", text.strip().rstrip(".").casefold())
    return " ".join(text.replace(",", " ").split())
