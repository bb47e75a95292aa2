"""Questions with one correct answer as a task, and families that generate them.

A question with options is a multiple choice, scored by likelihood; one without is answered in text,
which is scored twice: `exact_match` of the first line, and `exact_match,last` of the last match of
the answer's pattern, which is fairer to a model that explains itself. A family has levels from 1:
more digits, longer expressions, more steps. Its questions are unlimited, and equal seeds give equal
questions on every machine; those of logic are multiple choice, so that a base model can answer.
"""

import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache, cached_property
from itertools import combinations, islice, product
from typing import Any, NamedTuple

from groundup.core import (
    Completion,
    ConfigError,
    Likelihood,
    LoglikelihoodRequest,
    Reason,
    Sampling,
    TextModel,
    digest,
)

from .metrics import ScoredOptions, score_options
from .task import (
    ItemScores,
    PromptTurn,
    RequestKind,
    Response,
    TaskItem,
    TaskMeasure,
    TaskOptions,
    example_turns,
    question_turns,
    render_turns,
)

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
        first = digest([list(each) for each in islice(self._draw_questions("questions"), 50)])[:12]
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
    def sampling(self) -> Sampling:
        """One paragraph after few-shot examples; more in a chat, which may explain itself."""
        if self.options.chat.apply_template:
            return Sampling(max_tokens=512)
        return Sampling(max_tokens=64, stop=("\n\n", "\nQuestion:"))

    def _draw_questions(self, purpose: str) -> Iterator[TaskQuestion]:
        stream = random.Random(f"{self.options.seed}/{self.name}/{purpose}")
        return iter(self.questions.stream_questions(stream))

    @cached_property
    def pool(self) -> list[TaskQuestion]:
        """Questions from which examples are drawn."""
        return list(islice(self._draw_questions("examples"), EXAMPLE_POOL))

    def items(self, model: TextModel | None, limit: int | None) -> Iterator[TaskItem]:
        """Yield the questions; `limit` may exceed the default number of generated ones."""
        count = self.questions.default_count if limit is None else limit
        for number, each in enumerate(islice(self._draw_questions("questions"), count)):
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
                f"--few-shot {self.shots} exceeds the {len(others)} examples of {self.name}."
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


INTEGER_PATTERN = r"-?\d[\d,]*"
"""An integer in text, with or without commas."""
QuestionMaker = Callable[[random.Random, int], TaskQuestion]

WORDS = (
    "banana", "letter", "committee", "mississippi", "parallel", "balloon", "excellence",
    "assessment", "bookkeeper", "rhythm", "onomatopoeia", "strawberry", "referee", "tattoo",
)  # fmt: skip
PEOPLE = ("Ada", "Ben", "Chloe", "Dan", "Eva", "Finn", "Grace", "Hugo", "Ida", "Jon")
THINGS = ("apples", "books", "coins", "marbles", "pencils", "shells", "stamps", "stickers")


def question_stream(
    make: QuestionMaker, level: int
) -> Callable[[random.Random], Iterator[TaskQuestion]]:
    """An endless iterator over a maker's questions."""

    def draw(stream: random.Random) -> Iterator[TaskQuestion]:
        while True:
            yield make(stream, level)

    return draw


def arithmetic(stream: random.Random, level: int) -> TaskQuestion:
    """One operation on two numbers of up to `level` digits."""
    a, b = (stream.randrange(10 ** stream.randint(1, level)) for _ in range(2))
    sign, value = stream.choice([("+", a + b), ("-", a - b), ("*", a * b)])
    return TaskQuestion(f"What is {a} {sign} {b}?", str(value))


def expression(stream: random.Random, level: int) -> TaskQuestion:
    """A nested expression of `level` + 1 operations on one-digit numbers."""

    def grow(operations: int) -> tuple[str, int]:
        if not operations:
            value = stream.randrange(10)
            return str(value), value
        left = stream.randrange(operations)
        (a, x), (b, y) = grow(left), grow(operations - 1 - left)
        sign, value = stream.choice([("+", x + y), ("-", x - y), ("*", x * y)])
        return f"({a} {sign} {b})", value

    text, value = grow(level + 1)
    return TaskQuestion(f"What is {text[1:-1]}?", str(value))


def comparison(stream: random.Random, level: int) -> TaskQuestion:
    """The larger of two different decimals of up to `level` places, where length misleads."""

    def decimal(whole: int) -> str:
        places = stream.randint(0, level)
        return str(whole) + (f".{stream.randrange(10**places):0{places}d}" if places else "")

    whole = stream.randrange(100)
    a = b = decimal(whole)
    while float(a) == float(b):
        b = decimal(whole if level > 1 else stream.randrange(100))
        a = decimal(whole)
    larger = a if float(a) > float(b) else b
    return TaskQuestion(f"Which is larger, {a} or {b}?", larger, (a, b))


def sorting(stream: random.Random, level: int) -> TaskQuestion:
    """2 · `level` + 1 numbers in ascending order."""
    numbers = [stream.randrange(-10 * level, 100 * level) for _ in range(2 * level + 1)]
    order = " ".join(map(str, sorted(numbers)))
    return TaskQuestion(f"Sort in ascending order: {' '.join(map(str, numbers))}", order)


def counting(stream: random.Random, level: int) -> TaskQuestion:
    """Occurrences of a letter in `level` words."""
    words = " ".join(stream.choice(WORDS) for _ in range(level))
    letter = stream.choice(words.replace(" ", "") if stream.random() < 0.8 else "aeioust")
    text = f'How many times does the letter "{letter}" occur in "{words}"?'
    return TaskQuestion(text, str(words.count(letter)))


def dates(stream: random.Random, level: int) -> TaskQuestion:
    """The day up to 10 to the power of `level` days away, over months, years and leap days."""
    day = date(1900, 1, 1) + timedelta(days=stream.randrange(73_000))
    days = stream.randint(1, 10 ** min(level, 4))
    direction, sign = stream.choice([("after", 1), ("before", -1)])
    plural = "s" if days > 1 else ""
    text = f"Which date is {days} day{plural} {direction} {day.isoformat()}? Answer as YYYY-MM-DD."
    return TaskQuestion(text, (day + timedelta(days=sign * days)).isoformat())


def word_problem(stream: random.Random, level: int) -> TaskQuestion:
    """A word problem of `level` + 1 steps, without negative amounts."""
    person, other = stream.sample(PEOPLE, 2)
    things = stream.choice(THINGS)
    value = stream.randint(5, 30)
    sentences = [f"{person} has {value} {things}."]
    for _ in range(level + 1):
        n, m = stream.randint(2, 9), stream.randint(2, 9)
        steps = [
            (f"{person} finds {n} more.", value + n),
            (f"{person} buys {n} bags with {m} {things} each.", value + n * m),
            (f"{other} gives {person} twice as many as {person} has.", 3 * value),
        ]
        steps += [(f"{person} gives {n} to {other}.", value - n)] if value >= n else []
        steps += [(f"{person} loses half of them.", value // 2)] if value and not value % 2 else []
        steps += [(f"{person} puts all but {n} in a box and leaves it.", n)] if value > n else []
        text, value = stream.choice(steps)
        sentences.append(text)
    return TaskQuestion(
        f"{' '.join(sentences)} How many {things} does {person} have now?", str(value)
    )


KIND_NAMES = ("zorps", "mibs", "quaxes", "blins", "dreps", "fants", "glims", "wozzes", "prins")
OBJECTS = ("red ball", "blue ball", "green ball", "yellow ball", "white ball", "black ball")
STATEMENT_FORMS = (
    "All {0} are {1}.",
    "No {0} are {1}.",
    "Some {0} are {1}.",
    "Some {0} are not {1}.",
)


def boolean_expression(stream: random.Random, level: int) -> TaskQuestion:
    """A boolean expression with `level` + 1 operators."""

    def grow(operators: int) -> tuple[str, bool]:
        if not operators:
            value = stream.random() < 0.5
            return str(value), value
        if stream.random() < 0.3:
            text, value = grow(operators - 1)
            return f"not {text}", not value
        left = stream.randrange(operators)
        (a, x), (b, y) = grow(left), grow(operators - 1 - left)
        sign, value = stream.choice([("and", x and y), ("or", x or y)])
        return f"({a} {sign} {b})", value

    text, value = grow(level + 1)
    return TaskQuestion(f"Is this true or false: {text}", str(value), ("True", "False"))


class SyllogismStatement(NamedTuple):
    """A form of FORMS about two of the three kinds, by index."""

    form: int
    subject: int
    predicate: int

    def holds(self, world: frozenset[tuple[bool, ...]]) -> bool:
        """Whether it is true in a world with exactly these combinations of kinds.

        >>> world = frozenset({(True, True, False), (False, True, False)})
        >>> SyllogismStatement(0, 0, 1).holds(world)
        True
        """
        members = [each for each in world if each[self.subject]]
        hits = [each[self.predicate] for each in members]
        return (all(hits), not any(hits), any(hits), not all(hits))[self.form]

    def to_text(self, kinds: Sequence[str]) -> str:
        """The statement in words."""
        return STATEMENT_FORMS[self.form].format(kinds[self.subject], kinds[self.predicate])


@cache
def _syllogisms_by_validity() -> dict[
    bool, list[tuple[SyllogismStatement, SyllogismStatement, SyllogismStatement]]
]:
    """All pairs of premises with a conclusion, by whether it follows in every possible world.

    A kind may be empty, so "all" does not say "some": 15 of the 256 forms are valid.
    """
    regions = list(product((True, False), repeat=3))
    worlds = [frozenset(some) for n in range(len(regions) + 1) for some in combinations(regions, n)]
    by_validity: dict[bool, list[Any]] = {True: [], False: []}
    for first, second, third in product(range(4), repeat=3):
        for a, b in product([(0, 1), (1, 0)], [(1, 2), (2, 1)]):
            first_premise, second_premise = (
                SyllogismStatement(first, *a),
                SyllogismStatement(second, *b),
            )
            conclusion = SyllogismStatement(third, 2, 0)
            possible = [
                world
                for world in worlds
                if first_premise.holds(world) and second_premise.holds(world)
            ]
            by_validity[all(conclusion.holds(world) for world in possible)].append(
                (first_premise, second_premise, conclusion)
            )
    return by_validity


def syllogism(stream: random.Random, level: int) -> TaskQuestion:
    """Two premises and a conclusion that follows half of the time, with `level` - 1 distractors."""
    follows = stream.random() < 0.5
    *premises, conclusion = stream.choice(_syllogisms_by_validity()[follows])
    kinds = stream.sample(KIND_NAMES, 3)
    premise_texts = [each.to_text(kinds) for each in premises]
    others = [
        kind for kind in KIND_NAMES if kind not in kinds
    ]  # says nothing about the three kinds
    premise_texts += [
        STATEMENT_FORMS[0].format(*stream.sample(others, 2)) for _ in range(level - 1)
    ]
    stream.shuffle(premise_texts)
    end = conclusion.to_text(kinds).rstrip(".")
    text = f"There may be none of a kind. {' '.join(premise_texts)} Does it follow: {end}?"
    return TaskQuestion(text, "yes" if follows else "no", ("yes", "no"))


def object_tracking(stream: random.Random, level: int) -> TaskQuestion:
    """Who holds which ball after 2 · `level` swaps."""
    people = stream.sample(PEOPLE, min(level + 2, len(OBJECTS)))
    balls = stream.sample(OBJECTS, len(people))
    holds = dict(zip(people, balls, strict=True))
    sentences = [f"{person} has the {ball}." for person, ball in holds.items()]
    for _ in range(2 * level):
        a, b = stream.sample(people, 2)
        holds[a], holds[b] = holds[b], holds[a]
        sentences.append(f"{a} and {b} swap.")
    person_asked = stream.choice(people)
    return TaskQuestion(
        f"{' '.join(sentences)} Which ball does {person_asked} have?",
        holds[person_asked],
        tuple(balls),
    )
