"""Answers only where the model is sure enough: risk over coverage, and a threshold by target risk.

Every question is answered, also those that the model would refuse, and scored:

    refusal     1 - P(the refusal)                     of a model tuned on the form `refusal`
    sure        P("I am sure.") of both, after its answer            on the form `sure`
    likelihood  P(its answer)                          of any model

Of the answers whose score is at least a threshold the coverage is their share of all, the risk the
share of wrong ones. Thresholds are tried from the strictest on, each by an exact binomial test, up
to the first that may exceed the target; so the confidence holds for the one that is chosen, however
many are tried (fixed sequence testing). This begins at four places, with a quarter of the error
each, lest a wrong answer among the first ends it. Questions count as independent: give one of each
group.
Sources: Geifman & El-Yaniv 2017, arXiv:1705.08500; Angelopoulos et al. 2021, arXiv:2110.01052.
"""

import json
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field

from groundup.core import (
    Artifact,
    Conversation,
    Draft,
    Message,
    Sampling,
    page,
    produce,
    record,
    write_text,
)
from groundup.generate import Engine
from groundup.measure import auroc, beta_tail, solve_decreasing

from ..examples.layouts import digest_of, write_rows
from .questions import (
    ANSWERS,
    AnsweringConfig,
    ClosedBookQuestion,
    answer_questions,
    is_right,
    read_closed_book,
)
from .refusals import SURE, UNSURE, sure_prompt

PAGE, DRAWN_POINTS, STARTS = "report.html", 200, 4


class SelectiveConfig(AnsweringConfig):
    """How answers are scored, and which risks are asked for."""

    score: Literal["refusal", "sure", "likelihood"] = "refusal"
    """What is compared with the threshold."""
    risks: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (0.01, 0.05, 0.1, 0.2)
    """Shares of wrong answers for which thresholds are chosen."""
    confidence: float = Field(default=0.95, gt=0, lt=1)
    """Probability with which a chosen threshold keeps its risk on further such questions."""


class RiskPoint(NamedTuple):
    """What comes of answering from a score on."""

    threshold: float
    coverage: float
    """Share of the questions that are answered."""
    wrong: int
    answered: int

    @property
    def risk(self) -> float:
        """Share of wrong answers."""
        return self.wrong / self.answered

    def exceeds(self, risk: float) -> float:
        """Probability of so few wrong answers, or fewer, if this risk were the true one."""
        if self.wrong == self.answered:
            return 1.0
        return 1 - beta_tail(self.wrong + 1, self.answered - self.wrong, risk)

    def bound(self, confidence: float) -> float:
        """Clopper and Pearson's upper bound of the true risk.

        >>> round(RiskPoint(0.5, 1.0, 0, 59).bound(0.95), 4)
        0.0495
        """
        return min(1.0, solve_decreasing(self.exceeds, 1 - confidence))


class ScoredAnswer(NamedTuple):
    """A question's answer when refusing is not allowed, with its score."""

    question: str
    group: str
    answer: str
    is_right: bool
    is_refusal: bool
    """Whether the model refuses when it may."""
    score: float


def calibrate_abstention(
    config: SelectiveConfig, model: Artifact, questions: list[Path], out: Path
) -> Artifact:
    """Ask a model held-out questions: how well do its scores tell right from wrong answers?

    model      a tuned model
    questions  JSON lines: question, answers; none that it was tuned on
    out        directory of the report: report.html, and each answer with its score

    Raises DataError if there is no question.
    """
    config = config.model_copy(update={"files_digest": digest_of(questions, "questions")})
    return produce(
        out, kind="report", stage="abstention", version=1, config=config,
        parents={"model": model}, write=partial(_write_report, config, model, questions),
    )  # fmt: skip


def read_scored(report: Artifact) -> list[ScoredAnswer]:
    """The answers of a report, in the order of the questions."""
    with open(report.file(ANSWERS), encoding="utf-8") as lines:
        return [ScoredAnswer(**json.loads(line)) for line in lines]


def _write_report(
    config: SelectiveConfig, model: Artifact, files: Sequence[Path], draft: Draft
) -> None:
    found, engine = read_closed_book(files), Engine.open(model.path)
    scored = score_confidence(engine, found.rows, config, draft)
    write_rows(draft.file(ANSWERS), (each._asdict() for each in scored))
    found.write_rejected(draft)
    right = [each.is_right for each in scored]
    points = risk_coverage([each.score for each in scored], right)
    chosen = {risk: choose_threshold(points, risk, config.confidence) for risk in config.risks}
    kept = 1 - (1 - config.confidence) / STARTS
    for risk, point in chosen.items():
        record.log(f"At most {risk:.0%} wrong: " + (
            f"scores from {point.threshold:.3g} on, {point.coverage:.0%} answered, {point.wrong} "
            f"of {point.answered} wrong" if point else "no threshold, on these questions"
        ))  # fmt: skip
    has_both = 0 < sum(right) < len(right)
    draft.numbers |= {
        "questions": len(scored), "right": sum(right),
        "refused": sum(each.is_refusal for each in scored),
        "auroc": round(auroc([e.score for e in scored], right), 4) if has_both else None,
        "thresholds": {
            f"{risk:g}": point and point._asdict() | {"bound": point.bound(kept)}
            for risk, point in chosen.items()
        },
    }  # fmt: skip
    write_text(draft.file(PAGE), _draw(points, draft.numbers, config))


def score_confidence(
    engine: Engine, questions: Sequence[ClosedBookQuestion], config: SelectiveConfig, draft: Draft
) -> list[ScoredAnswer]:
    """Answer every question and score the answers."""
    answered = answer_questions(engine, questions, config, draft)
    texts, likelihoods = [e.answer for e in answered], [e.likelihood for e in answered]
    refused = [number for number, each in enumerate(answered) if each.is_refusal]
    other = answer_instead(engine, [questions[number].prompt for number in refused], config)
    for number, (text, likelihood) in zip(refused, other, strict=True):
        texts[number], likelihoods[number] = text, likelihood
    prompts = [question.prompt for question in questions]
    scores = likelihoods
    if config.score == "refusal":
        refusals = engine.logprobs(prompts, [config.refusal] * len(prompts))
        scores = [-math.expm1(sum(each)) for each in refusals]
    elif config.score == "sure":
        said = [(*p, Message("assistant", t)) for p, t in zip(prompts, texts, strict=True)]
        scores = sure_probabilities(engine, said)
    return [
        ScoredAnswer(
            question.prompt[-1].content, question.group, text, is_right(question, text, config),
            each.is_refusal, score,
        )
        for question, text, each, score in zip(questions, texts, answered, scores, strict=True)
    ]  # fmt: skip


def answer_instead(
    engine: Engine, prompts: Sequence[Conversation], config: AnsweringConfig
) -> list[tuple[str, float]]:
    """What a model that refuses would say otherwise, and how likely that is: its likeliest answer
    that does not begin with the refusal's first token."""
    ids = [engine.prompt_ids(prompt) for prompt in prompts]
    first = engine.continue_ids(ids, Sampling(max_tokens=1, logprobs=8), shows_progress=False)
    begun = []
    for said in first:
        others = [t for t in said.alternatives[0] if t.id not in (said.ids[0], *engine.end_ids)]
        begun.append(max(others, key=lambda token: token.logprob))
    longer = [[*row, token.id] for row, token in zip(ids, begun, strict=True)]
    rest = engine.continue_ids(longer, Sampling(max_tokens=config.max_tokens), shows_progress=False)
    return [
        (engine.decode_text([token.id, *said.ids]).strip(),
         math.exp(token.logprob + sum(said.logprobs)))
        for token, said in zip(begun, rest, strict=True)
    ]  # fmt: skip


def sure_probabilities(engine: Engine, answered: Sequence[Conversation]) -> list[float]:
    """P("I am sure.") of conversations that end with an answer, of both that may be said."""
    asked = [sure_prompt(each) for each in answered]
    sure, unsure = (
        [sum(each) for each in engine.logprobs(asked, [text] * len(asked))]
        for text in (SURE, UNSURE)
    )
    return [1 / (1 + math.exp(min(b - a, 700.0))) for a, b in zip(sure, unsure, strict=True)]


def risk_coverage(scores: Sequence[float], right: Sequence[bool]) -> list[RiskPoint]:
    """Coverage and wrong answers from each score on, the highest first; equal scores are one point.

    >>> [(p.coverage, p.wrong) for p in risk_coverage([0.9, 0.5, 0.5], [True, True, False])]
    [(0.3333333333333333, 0), (1.0, 1)]
    """
    ranked = sorted(zip(scores, right, strict=True), key=lambda pair: -pair[0])
    points, wrong = list[RiskPoint](), 0
    for count, (score, is_correct) in enumerate(ranked, 1):
        wrong += not is_correct
        if count == len(ranked) or ranked[count][0] != score:
            points.append(RiskPoint(score, count / len(ranked), wrong, count))
    return points


def choose_threshold(
    points: Sequence[RiskPoint], risk: float, confidence: float = 0.95
) -> RiskPoint | None:
    """The point with the most answers that keeps a risk, or None.

    From each start, a share of the coverage, points are tested until the first that fails although
    it has answers enough to pass.
    """
    error, chosen = (1 - confidence) / STARTS, None
    for start in range(STARTS):
        for point in points:
            if point.coverage < start / STARTS:
                continue
            if point.exceeds(risk) <= error:
                chosen = max(chosen or point, point, key=lambda each: each.answered)
            elif (1 - risk) ** point.answered <= error:
                break
    return chosen


def _draw(points: Sequence[RiskPoint], numbers: dict[str, Any], config: SelectiveConfig) -> str:
    order = "No score can order them, as they are all right or all wrong."
    if (area := numbers["auroc"]) is not None:
        order = f"The score, {config.score}, puts a right answer above a wrong one {area:.1%} "
        order += "of the time."
    sheet = page.HtmlPage(
        "Risk and coverage",
        f"{numbers['right']} of {numbers['questions']} answers are right; the model refuses "
        f"{numbers['refused']} questions. {order}",
    )
    drawn = points[:: -(-len(points) // DRAWN_POINTS)]
    risks, bounds = [p.risk for p in drawn], [p.bound(config.confidence) for p in drawn]
    curves = [page.Series("measured", [p.coverage for p in drawn], risks, risks, bounds)]
    sheet.add(page.line_chart("Wrong answers", curves, x_label="questions answered",
                              y_label="share of wrong answers"))  # fmt: skip
    rows = [
        (f"{float(risk):.0%}", *((p["threshold"], p["coverage"],
                                  f"{p['wrong']} of {p['answered']}", p["bound"])
                                 if p else ("none keeps it", *"–––")))
        for risk, p in numbers["thresholds"].items()
    ]  # fmt: skip
    columns = ["at most wrong", *(page.TableColumn(name, True) for name in
               ("threshold", "coverage", "wrong", "bound"))]  # fmt: skip
    sheet.section(
        "Thresholds", f"Each keeps its risk with a confidence of {config.confidence:.0%}.",
        page.table_element("Thresholds by risk", columns, rows),
    )  # fmt: skip
    return sheet.render()
