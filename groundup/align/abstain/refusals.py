"""Examples that teach a model to say what it does not know, made of its own mistakes.

    refusal   a known question keeps its answer, an unknown one is refused
    sure      after the answer: are you sure? "I am sure." or "I am unsure." (R-Tuning)
    answer    every question is answered: the control, which knows no refusal

Known is what the model answers rightly, or, without looking at that, the half of the questions
whose sampled answers differ least (R-Tuning-U). A known question keeps the model's own words; an
unknown one that is answered has the first right answer, as in R-Tuning.

Against over-refusal known questions are repeated until unknown ones are at most `max_unknown`, and
`--rehearse` adds conversations of other examples. Tuning changes what a model knows: tune it on the
form `answer` for a short time, and make the examples with that model (CRaFT's dynamic conflict).
Sources: Zhang et al. 2024, arXiv:2311.09677; Zhu et al. 2025, arXiv:2410.06913.
"""

import random
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field

from groundup.core import (
    Artifact,
    ConfigError,
    Conversation,
    DataError,
    Draft,
    Message,
    produce,
    record,
)
from groundup.corpus import split_paths
from groundup.generate import Engine

from ..examples.exchanges import ChatExample, is_refusal, shuffle_copy
from ..examples.layouts import digest_of, write_rows
from ..examples.make import read_examples, write_examples
from .questions import (
    ANSWERS,
    AnsweredQuestion,
    AnsweringConfig,
    ClosedBookQuestion,
    answer_questions,
    read_closed_book,
)

SURE_QUESTION = "Are you sure of this answer, based on what you know?"
SURE, UNSURE = "I am sure.", "I am unsure."
SPLITS = ("train", "validation")
MAX_REPEATS = 4
"""How often a known question is asked at most; beyond that, unknown ones are left out."""


class RefusalsConfig(AnsweringConfig):
    """What an unknown question teaches."""

    form: Literal["refusal", "sure", "answer"] = "refusal"
    """What is said to an unknown question."""
    by: Literal["correctness", "entropy"] = "correctness"
    """What makes a question unknown: a wrong answer, or sampled answers that differ (five, unless
    `samples` says another number)."""
    max_unknown: float = Field(default=0.5, gt=0, lt=1)
    """Share of the questions' rows that are unknown, at most."""
    rehearsal: float = Field(default=0.5, ge=0)
    """Conversations of --rehearse for each row of a question, at most."""
    kinds: tuple[str, ...] = ()
    """Kinds of them; none: all."""
    validation_share: float = Field(default=0.1, gt=0, lt=1)
    """Share of the groups of questions that are held out."""


class LabelledQuestion(NamedTuple):
    """A question, the model's answer, and whether the model counts as knowing it."""

    question: ClosedBookQuestion
    answered: AnsweredQuestion
    is_known: bool


def make_refusals(
    config: RefusalsConfig, model: Artifact, questions: list[Path], out: Path, *,
    rehearse: Artifact | None = None,
) -> Artifact:  # fmt: skip
    """Ask a model questions, and make examples by which `finetune` teaches it what it knows.

    model      the model to be tuned, or one that was tuned shortly on the form `answer`
    questions  JSON lines: question, answers (the first as the model should say it), group
    out        directory of the examples; the model's answers are in answers.jsonl
    rehearse   other examples, of which some are added; their refusals are left out

    Raises DataError if the model knows all of them or none, or too few are left to hold some out.
    """
    if config.by == "entropy":
        config = config.model_copy(update={"samples": config.samples or 5})
        if config.samples == 1:
            raise ConfigError("samples=1 has no entropy; give at least 2, or by=correctness.")
    config = config.model_copy(update={"files_digest": digest_of(questions, "questions")})
    others = {"rehearse": rehearse} if rehearse is not None else {}
    return produce(
        out, kind="examples", stage="refusals", version=1, config=config,
        parents={"model": model} | others,
        write=partial(_write_examples, config, model, questions, rehearse),
    )  # fmt: skip


def _write_examples(
    config: RefusalsConfig, model: Artifact, files: Sequence[Path], rehearse: Artifact | None,
    draft: Draft,
) -> None:  # fmt: skip
    found = read_closed_book(files)
    answered = answer_questions(Engine.open(model.path), found.rows, config, draft)
    labelled = label_questions(found.rows, answered, config.by)
    counts = {
        "right": sum(each.is_right for each in answered),
        "refused": sum(each.is_refusal for each in answered),
        "known": sum(each.is_known for each in labelled),
    }
    draft.numbers |= {"questions": len(labelled)} | counts
    record.log(f"{len(labelled)} questions: " + ", ".join(f"{n} {k}" for k, n in counts.items()))
    if config.form != "answer" and counts["known"] in (0, len(labelled)):
        raise DataError(
            f"The model knows {counts['known']} of {len(labelled)} questions; to learn the "
            "difference it needs some that it knows and some that it does not."
        )
    groups = sorted({each.group for each in found.rows})
    split = split_paths(groups, config.validation_share, 0.0, config.seed)
    for name in SPLITS:
        own = [each for each in labelled if split[each.question.group] == name]
        rows = [_example(each, config) for each in _balance(own, config)]
        if not rows:
            raise DataError(f"{len(split)} groups of questions leave none for {name}; give more.")
        if rehearse is not None:
            others = [
                each for each in read_examples(rehearse, name)
                if (not config.kinds or each.kind in config.kinds)
                and not any(is_refusal(turn.content) for turn in each.messages)
            ]  # fmt: skip
            others = shuffle_copy(others, random.Random(f"{config.seed} {name} rehearsal"))
            rows += others[: round(config.rehearsal * len(rows))]
        write_examples(draft, name, shuffle_copy(rows, random.Random(f"{config.seed} {name}")))
    write_rows(draft.file(ANSWERS), (
        {"question": each.question.prompt[-1].content, "known": each.is_known}
        | each.answered._asdict() for each in labelled
    ))  # fmt: skip
    found.write_rejected(draft)


def label_questions(
    questions: Sequence[ClosedBookQuestion], answered: Sequence[AnsweredQuestion],
    by: Literal["correctness", "entropy"],
) -> list[LabelledQuestion]:  # fmt: skip
    """Decide which questions the model knows; of equal entropies the earlier question counts as
    lower. DataError if all entropies are equal, which says nothing."""
    known, entropies = [each.is_right for each in answered], [each.entropy for each in answered]
    if by == "entropy":
        if len(set(entropies)) < 2:
            raise DataError(
                f"The samples of each question have an entropy of {entropies[0]:.2f} everywhere; "
                "raise temperature or samples."
            )
        order = sorted(range(len(answered)), key=entropies.__getitem__)
        lower = {*order[: (len(order) + 1) // 2]}
        known = [number in lower for number in range(len(answered))]
    return list(map(LabelledQuestion, questions, answered, known))


def _balance(rows: Sequence[LabelledQuestion], config: RefusalsConfig) -> list[LabelledQuestion]:
    """Known questions, repeated if they are too few, and as many unknown ones as may be."""
    known, unknown = ([e for e in rows if e.is_known == wanted] for wanted in (True, False))
    if not (known and unknown):
        return list(rows)
    odds = config.max_unknown / (1 - config.max_unknown)
    wanted = max(len(known), min(round(len(unknown) / odds), MAX_REPEATS * len(known)))
    kept = shuffle_copy(unknown, random.Random(config.seed))[: max(1, round(wanted * odds))]
    return [known[number % len(known)] for number in range(wanted)] + kept


def _example(labelled: LabelledQuestion, config: RefusalsConfig) -> ChatExample:
    question, answered, is_known = labelled
    answer = answered.answer if answered.is_right else question.answers[0]
    is_refused = config.form == "refusal" and not is_known
    said = Message("assistant", config.refusal if is_refused else answer)
    messages: Conversation = (*question.prompt, said)
    if config.form == "sure":
        messages = (*sure_prompt(messages), Message("assistant", SURE if is_known else UNSURE))
    kind = "known" if is_known else "unknown"
    return ChatExample("", kind, question.group, messages, is_refused, is_known)


def sure_prompt(answered: Conversation) -> Conversation:
    """A conversation that ends with an answer, and then asks whether the model is sure of it."""
    return (*answered, Message("user", SURE_QUESTION))
