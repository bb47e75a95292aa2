"""Rewards: scorers of an answer that a program can verify, and reward models, summed with weights.

RewardConfig says what each scorer measures.

Tasks are JSON lines: {"prompt": …, "answer": …, "source": …, "tests": …}, the answer a text or a
list of texts; without number, exact and f1 it is not needed, and `[]` says that none is right:
there those three are 0, as quoted is without a source. A reward model of answers gives its score,
one of steps the probability that all steps are right, so outcome and steps may count together.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
from jaxtyping import Float64
from pydantic import Field

from groundup.core import (
    Answer,
    Config,
    ConfigError,
    Conversation,
    DataError,
    Generation,
    InputPath,
    Message,
    Reason,
    Sample,
    SandboxLimits,
    Score,
    Scorer,
)
from groundup.corpus import toxic_words
from groundup.measure import (
    AnswerScorer,
    CodeTestScorer,
    OwnScorer,
    ReferenceScorer,
    exact_match,
    natural_stop,
    passes_tests,
    token_f1,
)

from ..examples.exchanges import is_refusal
from ..examples.layouts import read_prompt, read_task_texts, read_texts

NUMBER = re.compile(r"(?:(?<!\d)[-−])?\d+(?:,\d{3})*(?:\.\d+)?")
EQUATION = re.compile(
    r"(?<![\d.])(-?\d{1,9}(?: *[-+*] *-?\d{1,9}){1,9}) *= *(-?\d{1,18})(?![\d.]*\d)"
)
TERM = re.compile(r"([-+*]?) *(-?\d+)")
RUN_WORDS = 3
LARGEST = 1e6
"""Of a weight and of a scorer's value, so that no sum of rewards leaves float32."""
Weight = Annotated[float, Field(ge=-LARGEST, le=LARGEST, allow_inf_nan=False)]


class RewardConfig(Config):
    """The weight of each reward; 0 leaves it out."""

    number: Weight = 1.0
    """Of 1 where the answer's last number equals a reference's last number."""
    exact: Weight = 0.0
    """Of 1 where the answer equals a reference, but for case and white space."""
    f1: Weight = 0.0
    """Of the F1 of the words that the answer shares with a reference."""
    ended: Weight = 0.0
    """Of 1 where the model ended the answer itself."""
    length: Weight = 0.0
    """Of 1 up to `max_words` words, and less for each further one, 0 from twice as many on."""
    max_words: int = Field(default=100, ge=1)
    """Words of an answer that `length` takes for short enough."""
    format: Weight = 0.0
    """Of 1 where the whole answer has the form of `pattern`."""
    pattern: str = ""
    """Regular expression of `format`, such as `.*= [0-9]+`; a dot is a line's end too."""
    fresh: Weight = 0.0
    """Of the share of its runs of three words that occur once."""
    equations: Weight = 0.0
    """Of the share of the equations that it states that hold; 0 without any. The steps of a
    calculation are checked so."""
    clean: Weight = 0.0
    """Of 1 where it has no word that insults, threatens or is sexual."""
    lexicon: InputPath | None = None
    """Of `clean`, in the format of safety.toxicity, such as one word a line; None: its English
    one."""
    quoted: Weight = 0.0
    """Of 1 where it stands in the task's source word for word, or refuses."""
    code: Weight = 0.0
    """Of 1 where its code passes the task's `tests` in the sandbox; what takes 4 seconds has 0."""
    scorer: str = ""
    """An own Scorer, `FILE.py:name` or `module:name` of a function of a sample and an answer, or of
    a class that makes one."""
    own: Weight = 1.0
    """Of what `scorer` gives; what takes a minute, raises or is no number ends the run."""
    people: Weight = 1.0
    """Of the share of a prompt's other answers that people, on the queue given with --queue, find
    worse."""
    model: Weight = 1.0
    """Of the mean score of the reward models given with --reward."""
    spread: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """How many standard deviations between the reward models are taken off their mean: where they
    disagree, a policy has left what they know."""


def last_number(text: str) -> float | None:
    """The last number of a text.

    >>> last_number("3 + 4 = 1,007.50."), last_number("none")
    (1007.5, None)
    """
    found = NUMBER.findall(text)
    return float(found[-1].replace("−", "-").replace(",", "")) if found else None


def match_number(text: str, references: Sequence[str]) -> float | Reason:
    """1 if the answer's last number equals a reference's, else 0."""
    wanted = {last_number(each) for each in references} - {None}
    if not wanted:
        return Reason("no_number", "No reference has a number.")
    return float(last_number(text) in wanted)


def fresh_share(answer: Answer) -> float:
    """The share of an answer's runs of three words that occur once in it."""
    words = answer.text.split()
    runs = Counter(zip(*(words[n:] for n in range(RUN_WORDS)), strict=False))
    return sum(count == 1 for count in runs.values()) / max(1, runs.total())


def within_words(count: int) -> AnswerScorer:
    """Scorer: 1 for an answer of up to `count` words, falling to 0 at twice as many."""
    return AnswerScorer(
        f"within_words|words:{count}",
        lambda answer: min(1.0, max(0.0, 2.0 - len(answer.text.split()) / count)),
    )


def of_form(pattern: str) -> AnswerScorer:
    """Scorer: 1 if a regular expression matches an answer whole; ConfigError if it is none."""
    try:
        whole = re.compile(pattern, re.DOTALL)
    except re.error as error:
        raise ConfigError(
            f"rewards.pattern={pattern!r} is no regular expression: {error}."
        ) from None
    return AnswerScorer("of_form", lambda answer: float(whole.fullmatch(answer.text) is not None))


def true_share(answer: Answer) -> float:
    """The share of an answer's equations of whole numbers that hold."""
    holds = [_value_of(left) == int(right) for left, right in EQUATION.findall(answer.text)]
    return sum(holds) / max(1, len(holds))


def _value_of(text: str) -> int:
    """The value of sums, differences and products of whole numbers.

    >>> _value_of("10 - 3 + 2*-4")
    -1
    """
    terms = list[int]()
    for sign, number in TERM.findall(text):
        if sign == "*":
            terms[-1] *= int(number)
        else:
            terms.append(-int(number) if sign == "-" else int(number))
    return sum(terms)


def score_quoted(sample: Sample, answer: Answer) -> Score:
    """Scorer: 1 if an answer stands in the sample's source as whole words, or refuses, else 0."""
    source = " ".join(sample.metadata.get("source", "").split())
    text = " ".join(answer.text.split())
    is_quoted = bool(text) and re.search(rf"(?<!\w){re.escape(text)}(?!\w)", source) is not None
    return Score(float(bool(source) and (is_quoted or is_refusal(text))), "quoted")


@cache
def _run_code() -> CodeTestScorer:
    return passes_tests(limits=SandboxLimits(seconds=4.0, cpu_seconds=4))


def score_code(sample: Sample, answer: Answer) -> Score | Reason:
    """Scorer: 1 if an answer's code passes the sample's tests in the sandbox, else 0."""
    found = _run_code()(sample, answer)
    is_unasked = isinstance(found, Reason) and found.code == "no_call"  # none of its functions
    return Score(0.0, _run_code().signature) if is_unasked else found


def _scorers_of(config: RewardConfig) -> dict[str, Scorer]:
    """Each scorer by the name of its weight."""
    return {
        "number": ReferenceScorer("number_match|last", match_number), "exact": exact_match(),
        "f1": token_f1(), "ended": natural_stop(), "length": within_words(config.max_words),
        "format": of_form(config.pattern),
        "fresh": AnswerScorer("fresh_runs|words:3", fresh_share),
        "equations": AnswerScorer("true_equations", true_share),
        "clean": AnswerScorer(
            "clean_words", lambda answer: float(not toxic_words(answer.text, config.lexicon))
        ), "quoted": score_quoted, "code": score_code,
    }  # fmt: skip


OF_REFERENCES = ("number", "exact", "f1")
"""Those for which a task needs a right answer."""

ScoreAnswers = Callable[[Sequence[Conversation]], Float64[np.ndarray, " N"]]
"""One number for the last answer of each conversation, such as a RewardModel's score."""
Compare = Callable[[Sequence[Conversation], Sequence[Sequence[str]]], Float64[np.ndarray, " N"]]
"""What the answers to each prompt are worth against each other."""


class Reward(NamedTuple):
    """A sum of weighted scorers and of reward models, and of what people prefer."""

    config: RewardConfig
    parts: Mapping[str, tuple[float, Scorer]]
    models: Sequence[ScoreAnswers] = ()
    people: Compare | None = None

    @classmethod
    def of(
        cls, config: RewardConfig, models: Sequence[ScoreAnswers] = (),
        people: Compare | None = None,
    ) -> "Reward":  # fmt: skip
        """The reward of a configuration; ConfigError if all weights are 0."""
        scorers = _scorers_of(config)
        weights = {name: getattr(config, name) for name in scorers}
        if config.scorer and config.own:
            own = OwnScorer.load(config.scorer)
            scorers[own.signature], weights[own.signature] = own, config.own
        models, people = models if config.model else (), people if config.people else None
        if not any(weights.values()) and not models and people is None:
            raise ConfigError("All rewards have the weight 0; set one, such as rewards.number=1.")
        if config.spread and not models:
            raise ConfigError("spread is between reward models, and there are none here; omit it.")
        if config.code:
            _run_code()  # a machine without a sandbox is told now
        if config.format and not config.pattern:
            raise ConfigError("rewards.format compares with rewards.pattern; give that too.")
        parts = {name: (w, scorers[name]) for name, w in weights.items() if w}
        return cls(config, parts, models, people)

    def __call__(self, sample: Sample, answer: Answer) -> float:
        """The reward of an answer; DataError naming the task if a part is undefined."""
        total = 0.0
        for name, (weight, scorer) in self.parts.items():
            if name in OF_REFERENCES and sample.metadata.get("nothing_right"):
                continue
            score = scorer(sample, answer)
            if isinstance(score, Reason):
                raise DataError(
                    f"Task {sample.id}: the reward {name} is undefined: {score.message}"
                )
            if not abs(score.value) <= LARGEST:
                raise DataError(
                    f"Task {sample.id}: the reward {name} is {score.value}; expected a number of "
                    f"at most {LARGEST:.0e}."
                )
            total += weight * score.value
        return total

    def check_tasks(self, samples: Sequence[Sample]) -> None:
        """Raise DataError naming a task for which a part is undefined, whatever is answered."""
        tested = self._replace(parts={n: part for n, part in self.parts.items() if n != "code"})
        for sample in samples:
            tested(sample, Answer("", details={"finish_reason": "stop"}))
            if "code" in self.parts and not sample.metadata.get("tests", "").strip():
                raise DataError(f"Task {sample.id}: the reward code needs tests, and it has none.")

    def of_answers(
        self, samples: Sequence[Sample], said: Sequence[Generation], among: int = 1
    ) -> Float64[np.ndarray, " N"]:
        """The reward of each answer of an engine.

        among  answers to each prompt, beside each other; people compare them if there are several
        """
        verified = np.array([
            self(sample, Answer(each.text, details={"finish_reason": each.finish_reason}))
            for sample, each in zip(samples, said, strict=True)
        ], np.float64)  # fmt: skip
        scores = verified + self._of_models(samples, said)
        if self.people is None or among == 1:
            return scores
        groups = [[e.text for e in said[at : at + among]] for at in range(0, len(said), among)]
        prompts = [each.conversation for each in samples[::among]]
        return scores + self.config.people * self.people(prompts, groups)

    def _of_models(
        self, samples: Sequence[Sample], said: Sequence[Generation]
    ) -> Float64[np.ndarray, " N"]:
        if not self.models:
            return np.zeros(len(samples))
        talks = [
            (*sample.conversation, Message("assistant", each.text))
            for sample, each in zip(samples, said, strict=True)
        ]
        scores = np.array([score(talks) for score in self.models])  # (models, N)
        if not np.isfinite(scores).all():
            at = int(np.argmax(~np.isfinite(scores).all(0)))
            raise DataError(f"Task {samples[at].id}: a reward model gives no finite score.")
        return self.config.model * (scores.mean(0) - self.config.spread * scores.std(0))


def read_tasks(path: Path, *, needs_answer: bool = True) -> list[Sample]:
    """Prompts with their right answers; DataError naming the line of what is none.

    needs_answer  whether each must have one
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise DataError(f"The tasks {path} cannot be read: {why}.") from None
    samples = list[Sample]()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            samples.append(_parse_task(json.loads(line), str(number), needs_answer))
        except (json.JSONDecodeError, RecursionError):
            raise DataError(f"{path} line {number} is no JSON.") from None
        except DataError as error:
            raise DataError(f"{path} line {number} is no task: {error}") from None
    if not samples:
        raise DataError(f"{path} has no task; expected lines with prompt and answer.")
    return samples


def _parse_task(row: Any, name: str, needs_answer: bool) -> Sample:
    needed = {"prompt", "answer"} if needs_answer else {"prompt"}
    if not isinstance(row, dict) or not needed <= row.keys():
        why = " that rewards or watch.measure compare with" if needs_answer else ""
        raise DataError(f'It is no object with "prompt" and "answer"{why}.')
    prompt, answer = read_prompt(row["prompt"]), row.get("answer")
    answers = () if answer is None else read_texts(answer, "answer")
    if needs_answer and answer is None:
        raise DataError("It has no answer.")
    nothing = {"nothing_right": True} if answer == [] else {}
    return Sample(name, prompt, answers, metadata=read_task_texts(row) | nothing)
