"""`groundup calibrate`: how often answers are wrong on this folder, and what can be promised.

Questions made of the documents (made.py), questions of your own and the verdicts of people are
asked. An answer has the reader's log-odds as its score, without a reader that of words. For every
threshold the share of wrong answers above it has a posterior,

    Beta(PRIOR r + 1/2 + wrong, PRIOR (1 - r) + 1/2 + right)

where r is the share among what other folders answered above it, to the questions of people
(prior.json); other folders count as PRIOR answers. A risk is promised from the smallest threshold
whose 95 % quantile is not above it, and neither is the share of wrong answers that was seen here.
Questions made by rules are plainer than those of people, so their near misses are the most
convincing of a few, and each wrong one counts HARDER times; docs/reference/retrieve.md has what was
wrong of real questions under the promise.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import NamedTuple

from pydantic import Field

from groundup.core import (
    Answer,
    Claim,
    Config,
    ConfigError,
    DataError,
    page,
    record,
    write_json,
    write_text,
)
from groundup.measure import auroc, beta_tail, normalise_text, solve_decreasing

from ..answers.answer import answer_question
from ..readers.judge import below_titles
from ..search import OpenIndex, open_index
from ..snapshots import current_name
from ..verification.texts import read_text
from .made import MadeQuestion, made_questions
from .promise import CALIBRATION, CONFIDENCE, Dial, read_verdicts

PRIOR = 30
"""Answers that other folders count as: by maximum likelihood twenty differ as if they had 15 to 30
(docs/log/2026-12.md)."""
HARDER = 1.5
"""How often people's questions are answered wrongly, to once of those that rules make; the same."""
RISKS = tuple(step / 100 for step in range(1, 31))
SHOWN_RISKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3)
MIN_SEEN = 10
"""Answers of this folder below which nothing is promised: other folders alone are no proof."""
READ_AT_ONCE = 64
"""Questions whose answers a reader reads together."""


class CalibrationConfig(Config):
    """Which questions are asked."""

    made: int = Field(default=400, ge=0)
    """Questions made of the documents, at most."""
    unanswered: float = Field(default=0.4, ge=0, lt=1)
    """Share of them that the documents do not answer."""
    seed: int = 0
    """Seed of what is asked."""


class Outcome(NamedTuple):
    """A question that was asked, and what became of it."""

    score: float | None
    """Of the answer; None if words found none."""
    is_right: bool
    is_answerable: bool
    source: str
    """made, given or verdict"""


class Promise(NamedTuple):
    """What holds from a score on."""

    risk: float
    threshold: float
    answered: float
    """Share of the answerable questions that are answered rightly."""
    wrong: int
    of: int
    """Wrong ones of the answers that were seen."""
    bound: float
    """Upper bound of the share of wrong ones."""


class CalibrationResult(NamedTuple):
    """The result of `groundup calibrate`."""

    questions: int
    answerable: int
    by: str
    auroc: float | None
    promises: tuple[Promise, ...]
    page: str

    @property
    def shown(self) -> list[Promise]:
        """The least risk that can be promised, and round ones above it."""
        return [p for n, p in enumerate(self.promises) if n == 0 or p.risk in SHOWN_RISKS]

    def __str__(self) -> str:
        """A table of what can be promised."""
        area = f", area under its curve {self.auroc:.2f}" if self.auroc is not None else ""
        lines = [
            f"{self.questions} questions, {self.answerable} of them answered by the documents; "
            f"score by {self.by}{area}"
        ]
        lines += [
            f"at most {p.risk:.0%} wrong: {p.answered:.0%} answered, {p.wrong} of {p.of} wrong, "
            f"bound {p.bound:.1%}"
            for p in self.shown
        ]
        if not self.promises:
            lines.append(f"no risk up to {RISKS[-1]:.0%} can be promised by these answers")
        return "\n".join([*lines, f"curve: {self.page}"])


def calibrate(
    config: CalibrationConfig, index: Path, *, questions: list[Path] | None = None
) -> CalibrationResult:
    """Measure on this folder how often answers are wrong, so that `ask --risk 5%` can promise it.

    index      directory that `groundup index` made
    questions  file of your questions, JSON lines: question, answers (texts; none: not answered);
               may be given again

    Raises DataError for a damaged file or if no question can be asked.
    """
    out, opened = Path(index), open_index(Path(index))
    if current_name(out) is None:
        raise ConfigError(f"{out} is a snapshot; calibrate the index that it is of.")
    by = "reader" if opened.reader_choice.path else "words"
    asked = [("given", one) for path in questions or () for one in read_questions(Path(path))]
    made = made_questions(opened, config.made, config.unanswered, config.seed)
    asked += [("made", one) for one in made]
    outcomes = ask_all(opened, asked)
    outcomes += _verdict_outcomes(opened, out)
    if not any(each.is_answerable for each in outcomes):
        raise DataError(f"No question could be made of {out}; give some: --questions FILE")
    promises = tuple(promises_of(outcomes, _prior(by)))
    scored = [each for each in outcomes if each.score is not None]
    labels = [each.is_right for each in scored]
    area = auroc([e.score or 0.0 for e in scored], labels) if len(set(labels)) == 2 else None
    answerable = sum(each.is_answerable for each in outcomes)
    place = out / "calibration.html"
    write_text(place, _draw(outcomes, by, promises))
    write_json(
        out / CALIBRATION,
        {"index": opened.artifact.id, "made": datetime.now(UTC).isoformat(), "by": by,
         "questions": len(outcomes), "promises": promises, "outcomes": outcomes, "withdrawn": ""},
    )  # fmt: skip
    return CalibrationResult(len(outcomes), answerable, by, area, promises, str(place))


def ask_all(index: OpenIndex, asked: Sequence[tuple[str, MadeQuestion]]) -> list[Outcome]:
    """What becomes of questions, with their source, if everything is answered."""
    outcomes = list[Outcome]()
    with record.progress("calibrate", len(asked), "questions") as bar:
        for start in range(0, len(asked), READ_AT_ONCE):
            part = asked[start : start + READ_AT_ONCE]
            answers = answer_all(index, [one.text for _, one in part])
            for (source, one), (answer, score) in zip(part, answers, strict=True):
                is_right = not answer.refused and _is_right(answer.claims[0], one)
                outcomes.append(Outcome(score, is_right, bool(one.answers), source))
            bar.advance(len(part))
    return outcomes


def answer_all(index: OpenIndex, questions: Sequence[str]) -> list[tuple[Answer, float | None]]:
    """Every question's answer, as good as words find it, and its score; None if there is none."""
    by_words = replace(index, dial=Dial(1.0, 0.0, "words"))
    answers = [answer_question(by_words, question) for question in questions]
    if index.reader is None:
        return [(each, None if each.refused else each.details["score"]) for each in answers]
    known = [
        not each.refused and index.entries[each.details["passage"].document].language
        in index.reader_choice.languages for each in answers
    ]  # fmt: skip
    texts = [
        (question, below_titles(each.details["passage"], each.claims[0].text))
        for question, each, is_known in zip(questions, answers, known, strict=True) if is_known
    ]  # fmt: skip
    scores = iter(index.reader.read_pairs(texts))
    return [
        (each, round(next(scores).score, 3) if is_known else None)
        for each, is_known in zip(answers, known, strict=True)
    ]


def read_questions(path: Path) -> Iterator[MadeQuestion]:
    """The questions of a file; DataError naming the line."""
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            question, answers = row["question"], row.get("answers", [])
            if not (isinstance(question, str) and question.strip() and isinstance(answers, list)):
                raise ValueError("question is a text, answers a list of texts")
            if not all(isinstance(each, str) and each.strip() for each in answers):
                raise ValueError("answers is a list of texts")
        except json.JSONDecodeError as error:
            raise DataError(f"{path} line {number} is no JSON: {error}.") from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise DataError(
                f'{path} line {number} is no question; expected {{"question": "…", "answers": '
                '["…"]}, without answers if the documents have none.'
            ) from None
        yield MadeQuestion(question, tuple(answers))


def _is_right(claim: Claim, asked: MadeQuestion) -> bool:
    """Whether the first quote is of the right document and has an answer."""
    is_there = asked.path in ("", claim.quotes[-1].path)
    said = normalise_text(claim.text)
    return is_there and any(normalise_text(each) in said for each in asked.answers)


def _verdict_outcomes(index: OpenIndex, out: Path) -> Iterator[Outcome]:
    """What people said of answers that are still given."""
    verdicts = read_verdicts(out)
    answers = answer_all(index, [verdict["subject"] for verdict in verdicts])
    for verdict, (answer, score) in zip(verdicts, answers, strict=True):
        if score is not None and answer.claims[0].quotes[-1].text == verdict["quote"]:
            is_right = verdict["value"] == "right"
            yield Outcome(score, is_right, is_right, "verdict")


@cache
def _prior(by: str) -> list[tuple[float, float]]:
    """Thresholds and the share of wrong answers above each, on other folders."""
    text = Path(__file__).with_name("prior.json").read_text(encoding="utf-8")
    return [(float(at), float(risk)) for at, risk in json.loads(text)[by]]


def risk_bound(wrong: float, of: int, before: float) -> float:
    """The 95 % quantile of the share of wrong answers, with what other folders had before."""
    a, b = PRIOR * before + 0.5 + wrong, PRIOR * (1 - before) + 0.5 + of - wrong
    return solve_decreasing(lambda share: 1 - beta_tail(a, b, share), 1 - CONFIDENCE)


def promises_of(
    outcomes: Sequence[Outcome], prior: Sequence[tuple[float, float]]
) -> Iterator[Promise]:
    """For each risk what can be promised, from the smallest threshold.

    prior  thresholds, and the share of wrong answers above each on other folders
    """
    answerable = max(1, sum(each.is_answerable for each in outcomes))
    steps = list[Promise]()
    for threshold, before in prior:
        above = [e for e in outcomes if e.score is not None and e.score >= threshold]
        failed = [each for each in above if not each.is_right]
        wrong, of = len(failed), len(above)
        answered = (of - wrong) / answerable
        if of < MIN_SEEN:
            break  # and above a higher threshold are fewer
        counted = min(of, sum(HARDER if each.source == "made" else 1.0 for each in failed))
        bound = max(risk_bound(counted, of, before), counted / of)
        steps.append(Promise(0.0, threshold, round(answered, 4), wrong, of, round(bound, 4)))
    for risk in RISKS:
        if found := next((step for step in steps if step.bound <= risk and step.answered), None):
            yield found._replace(risk=risk)


def _draw(outcomes: Sequence[Outcome], by: str, promises: Sequence[Promise]) -> str:
    """Risk over coverage, and what can be promised, as a page."""
    scored = sorted((e for e in outcomes if e.score is not None), key=lambda e: -(e.score or 0.0))
    answerable = max(1, sum(each.is_answerable for each in outcomes))
    risk, coverage, wrong = list[float](), list[float](), 0
    for count, each in enumerate(scored, 1):
        wrong += not each.is_right
        risk.append(wrong / count)
        coverage.append((count - wrong) / answerable)
    lead = (
        f"{len(outcomes)} questions; the score is that of the {by}. To the right more is answered."
    )
    drawn = page.HtmlPage("Risk and coverage", lead)
    curves = [page.Series("seen", coverage, risk)]
    curves.append(
        page.Series("promised", [p.answered for p in promises], [p.risk for p in promises])
    )
    across, up = "answerable questions answered", "wrong answers"
    drawn.add(page.line_chart("Share of wrong answers", curves, x_label=across, y_label=up))
    return drawn.render()
