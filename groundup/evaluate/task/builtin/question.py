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
    LoglikelihoodRequest,
    Reason,
    Sampling,
    StopCriteria,
    TextModel,
    digest,
)

from ..metrics import ScoredOptions, score_options
from ..prompt import PromptTurn, TaskOptions, example_turns, question_turns, render_turns
from ..task import ItemScores, RequestKind, Response, TaskItem, TaskMeasure

EXAMPLE_POOL = 200
"""Number of questions from which examples are drawn."""
CHOICE_METRICS = ("acc", "acc_norm")
TEXT_FILTERS = {
    "none": "exact_match|of:first_line|ignores:case,final_point,thousands_comma",
    "last": "exact_match|of:last_match|ignores:case,thousands_comma",
}


class TaskQuestion(NamedTuple):
    """One question and its correct answer."""

    text: str
    answer: str
    options: tuple[str, ...] = ()
    """Options of a multiple choice, the answer included."""
    group: str = ""
    """Questions of one group are resampled together."""


class QuestionSource(NamedTuple):
    """A source of questions and the form of their answers."""

    stream_questions: Callable[[random.Random], Iterable[TaskQuestion]]
    """All questions, given a random stream; may be infinite."""
    instruction: str
    """Text before the first question."""
    pattern: str
    """Regular expression of an answer in text; "" for multiple choice."""
    default_count: int = 500
    """Default number of questions."""
    is_choice: bool = False
    shots: int = 4
    """Default number of few-shot examples."""
    template: str = "Question: {}\nAnswer:"


@dataclass
class QuestionTask:
    """A task of such questions."""

    name: str
    options: TaskOptions
    questions: QuestionSource
    version: str = "1"

    repeats: int = 1

    @property
    def kind(self) -> RequestKind:
        """multiple_choice with options, else generate_until."""
        return "multiple_choice" if self.questions.is_choice else "generate_until"

    @property
    def shots(self) -> int:
        """Number of few-shot examples."""
        return self.questions.shots if self.options.few_shot is None else self.options.few_shot

    @property
    def signature(self) -> str:
        """Everything that affects a score, with a digest of the first questions."""
        first = digest([list(each) for each in islice(self.draw_questions("questions"), 50)])[:12]
        return (
            f"{self.name}|seed:{self.options.seed}|shots:{self.shots}|"
            f"{self.options.chat.signature()}|questions:{first}"
        )

    @property
    def measures(self) -> tuple[TaskMeasure, ...]:
        """Accuracy of the options, or exact matches of the text."""
        if self.questions.is_choice:
            return tuple(
                TaskMeasure(n, "none", "higher", "share", "mean", n) for n in CHOICE_METRICS
            )
        return tuple(
            TaskMeasure("exact_match", name, "higher", "share", "mean", signature)
            for name, signature in TEXT_FILTERS.items()
        )

    @property
    def stops(self) -> StopCriteria:
        """One paragraph after few-shot examples; more in a chat, which may explain itself."""
        if self.options.chat.apply_template:
            return StopCriteria(Sampling(max_tokens=512))
        return StopCriteria(Sampling(max_tokens=64), ("\n\n", "\nQuestion:"))

    def draw_questions(self, purpose: str) -> Iterator[TaskQuestion]:
        """The questions, with a separate random stream for each purpose."""
        stream = random.Random(f"{self.options.seed}/{self.name}/{purpose}")
        return iter(self.questions.stream_questions(stream))

    @cached_property
    def pool(self) -> list[TaskQuestion]:
        """Questions from which examples are drawn."""
        return list(islice(self.draw_questions("examples"), EXAMPLE_POOL))

    def items(self, model: TextModel | None, limit: int | None) -> Iterator[TaskItem]:
        """Yield the questions; `limit` may exceed the default number of generated ones."""
        count = self.questions.default_count if limit is None else limit
        for number, each in enumerate(islice(self.draw_questions("questions"), count)):
            prompt = self.build_prompt(each, number, model)
            target: Any = each.options.index(each.answer) if each.options else each.answer
            pairs = tuple(
                LoglikelihoodRequest(prompt, self.answer_delimiter + option)
                for option in each.options
            )
            document = {"question": each.text, "answer": each.answer, "options": [*each.options]}
            yield TaskItem(str(number), each.group, prompt, pairs, target, document)

    @property
    def answer_delimiter(self) -> str:
        """Delimiter between a prompt and its answer."""
        return "" if self.options.chat.apply_template else " "

    def build_prompt(
        self, target_question: TaskQuestion, number: int, model: TextModel | None
    ) -> str:
        """Instruction, examples and the question, as the model reads them."""
        chat, form = self.options.chat, self.questions.template
        others = [each for each in self.pool if each.text != target_question.text]
        if self.shots > len(others):
            raise ConfigError(
                f"--few-shot {self.shots} exceeds the {len(others)} examples of {self.name}; give "
                f"at most {len(others)}."
            )
        draw = random.Random(f"{self.options.seed}/{self.name}/shots/{number}")
        shown = draw.sample(others, self.shots)
        instruction = " ".join(part for part in (chat.system, self.questions.instruction) if part)
        turns = [PromptTurn("system", instruction, "\n\n")] if instruction else []
        for each in shown:
            turns += example_turns(form.format(each.text), each.answer, None, "", " ", "\n\n")
        return render_turns(
            [*turns, *question_turns(form.format(target_question.text), "", " ")], chat, model
        )

    def score(self, item: TaskItem, answers: Sequence[Response]) -> ItemScores:
        """All measures of one question; a Reason for all if a request failed."""
        failed = next((each for each in answers if isinstance(each, Reason)), None)
        if failed is not None:
            return ItemScores({}, {}, {measure.key: failed for measure in self.measures})
        if self.questions.is_choice:
            likelihoods = [each for each in answers if isinstance(each, Likelihood)]
            options = ScoredOptions(item.document["options"], likelihoods, item.target)
            return ItemScores({}, score_options(CHOICE_METRICS, options), {})
        text = next(each.text for each in answers if isinstance(each, Completion))
        matches = re.findall(self.questions.pattern, text)
        read = {"none": text.strip().partition("\n")[0], "last": matches[-1] if matches else ""}
        values = {
            m.key: float(_normalise_answer(read[m.filter]) == _normalise_answer(item.target))
            for m in self.measures
        }
        return ItemScores(read, values, {}, () if matches else ("last",))


def _normalise_answer(text: str) -> str:
    """Normalise an answer for comparison.

    >>> _normalise_answer(" 1,234. "), _normalise_answer("Blue"), _normalise_answer("5, 7")
    ('1234', 'blue', '5 7')
    """
    text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", text.strip().rstrip(".").casefold())
    return " ".join(text.replace(",", " ").split())
