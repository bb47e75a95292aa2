"""What a model knows: its own answers to questions whose right answers are given.

Questions are JSON lines: {"question": …, "answers": ["…", …]}, the first answer as the model should
give it; `group` is what a question is about, such as a person, if several rows are about the same.

An answer is right if it contains one of the given answers, or equals one. Sampled answers have an
entropy as well, which needs no right answer: a model that knows gives the same answer each time.
"""

import json
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field

from groundup.core import Config, Conversation, DataError, Draft, Sampling, record
from groundup.generate import Engine
from groundup.measure import exact_match, normalise_squad

from ..examples.exchanges import ABSTENTION_TEXT
from ..examples.layouts import KeptRows, keep_rows, read_prompt, read_texts, write_rows

ANSWERS = "answers.jsonl"
QUESTIONS_AT_ONCE = 256
"""Answered before the answers are written, so that a killed run repeats few."""


class AnsweringConfig(Config):
    """How questions are answered, and which answers are right."""

    right: Literal["contained", "exact"] = "contained"
    """Whether a right answer contains a given one, as whole words, or equals it."""
    samples: int = Field(default=0, ge=0)
    """Answers sampled to each question, whose entropy is computed; 0: none."""
    temperature: float = Field(default=0.7, gt=0, allow_inf_nan=False)
    """Of the sampled answers."""
    max_tokens: int = Field(default=32, ge=1)
    """Tokens of an answer."""
    refusal: str = Field(default=ABSTENTION_TEXT, min_length=1)
    """The sentence by which the model refuses; `evaluate` recognises the default one."""
    seed: int = 0
    """Of samples, and of every other choice."""
    files_digest: str = ""
    """Hash of the questions' files; set by the stage."""


class ClosedBookQuestion(NamedTuple):
    """A question and its right answers."""

    prompt: Conversation
    answers: tuple[str, ...]
    group: str
    """What it is about; questions of a group are never split."""


class AnsweredQuestion(NamedTuple):
    """A model's most likely answer, and whether it is right."""

    answer: str
    is_right: bool
    is_refusal: bool
    likelihood: float
    """Probability of the answer."""
    entropy: float = 0.0
    """Of the sampled answers, nats; 0 if all are the same."""


def read_closed_book(files: Sequence[Path]) -> KeptRows[ClosedBookQuestion]:
    """The questions of some files; DataError if there is none."""
    found = keep_rows(files, lambda row: [parse_closed_book(row)])
    if not found.rows:
        raise DataError(
            f'{", ".join(map(str, files))} has no question; expected lines {{"question": "…", '
            '"answers": ["…"]}.'
        )
    return found


def parse_closed_book(row: Any) -> ClosedBookQuestion:
    """Read one row; DataError saying what is wrong with it.

    >>> parse_closed_book({"question": "Where?", "answers": "Here"}).answers
    ('Here',)
    """
    if not isinstance(row, dict) or not {"question", "answers"} <= row.keys():
        raise DataError("It is no object with question and answers.")
    answers, prompt = read_texts(row["answers"], "answers"), read_prompt(row["question"])
    if not answers:
        raise DataError("Its answers are empty.")
    group = row.get("group", prompt[-1].content)
    if not isinstance(group, str):
        raise DataError("Its group is no text.")
    return ClosedBookQuestion(prompt, answers, group)


def contains_answer(text: str, references: Sequence[str]) -> float:
    """1 if an answer has a reference's words one after the other, else 0.

    Case, punctuation and English articles do not count. Departs from R-Tuning's script, which looks
    for the letters in the first sentence: `no` is not in `I know`.
    """
    said = f" {normalise_squad(text)} "
    wanted = filter(None, map(normalise_squad, references))
    return float(any(f" {each} " in said for each in wanted))


COMPARISONS = {"contained": contains_answer, "exact": exact_match().compare}


def answer_entropy(answers: Sequence[str]) -> float:
    """Entropy of sampled answers in nats; those that differ in case or punctuation are the same.

    >>> answer_entropy(["Paris.", "paris"]), round(answer_entropy(["Paris", "Rome"]), 4)
    (0.0, 0.6931)
    """
    counts = Counter(map(normalise_squad, answers)).values()
    return sum(count / len(answers) * math.log(len(answers) / count) for count in counts)


def answer_questions(
    engine: Engine, questions: Sequence[ClosedBookQuestion], config: AnsweringConfig, draft: Draft
) -> list[AnsweredQuestion]:
    """The model's answers, in order; a killed run reads those that its scratch folder has."""
    path = draft.scratch / ANSWERS
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    answered = [AnsweredQuestion(*json.loads(line)) for line in text.split("\n") if line]
    with record.progress("answer", len(questions), "questions") as bar:
        bar.advance(len(answered))
        for start in range(len(answered), len(questions), QUESTIONS_AT_ONCE):
            answered += _answer_some(engine, questions[start : start + QUESTIONS_AT_ONCE], config)
            write_rows(path, answered)
            bar.advance(len(answered) - start)
    return answered


def _answer_some(
    engine: Engine, questions: Sequence[ClosedBookQuestion], config: AnsweringConfig
) -> list[AnsweredQuestion]:
    prompts = [engine.prompt_ids(question.prompt) for question in questions]
    plain = Sampling(max_tokens=config.max_tokens)
    said = engine.continue_ids(prompts, plain, shows_progress=False)
    entropies = [0.0] * len(questions)
    if count := config.samples:
        sampling = Sampling(temperature=config.temperature, max_tokens=config.max_tokens)
        seeds = [config.seed + number for _ in prompts for number in range(count)]
        repeated = [prompt for prompt in prompts for _ in range(count)]
        sampled = engine.continue_ids(repeated, sampling, seeds, shows_progress=False)
        texts = [each.text for each in sampled]
        entropies = [answer_entropy(texts[at : at + count]) for at in range(0, len(texts), count)]
    return [
        AnsweredQuestion(
            each.text.strip(), is_right(question, each.text, config),
            is_abstention(each.text, config), math.exp(sum(each.logprobs)), entropy,
        )
        for question, each, entropy in zip(questions, said, entropies, strict=True)
    ]  # fmt: skip


def is_abstention(text: str, config: AnsweringConfig) -> bool:
    """Whether an answer begins with the refusal, but for the full stop at its end."""
    return text.strip().startswith(config.refusal.rstrip("."))


def is_right(question: ClosedBookQuestion, text: str, config: AnsweringConfig) -> bool:
    """Whether an answer is right; a refusal never is."""
    is_equal = COMPARISONS[config.right](text, question.answers) == 1.0
    return is_equal and not is_abstention(text, config)
