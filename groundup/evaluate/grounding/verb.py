"""The verb `groundup grounding`: score answers against their passages, into a report.

The report has the form of `groundup evaluate`'s, so `compare` and `gate` take it. Its task
`grounding` has the answers as they are; with --noise, `noise-K` has those of `groundup ask` to the
same questions with K irrelevant passages added, and how they differ from those without.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from pydantic import Field

from groundup.core import Config, ConfigError, Draft, Reason, digest, hash_file, produce, record

from ..evaluate import EvaluateResult
from ..gate import NOT_APPLICABLE
from ..harness.report import (
    EvaluationReport,
    MeasureReport,
    Subject,
    TaskReport,
    read_report,
    samples_file,
    write_evaluation_report,
)
from ..task.aggregate import aggregate
from ..task.task import TaskMeasure
from . import scorers
from .noise import Answerer, answer_from_contexts, answer_with_noise
from .rows import GroundingRow, read_rows
from .scorers import Critic, RowScore

VERSION = 1
Scorer = Callable[[GroundingRow, Critic], RowScore]
ANSWER_SCORERS: tuple[Scorer, ...] = (
    scorers.faithfulness, scorers.answer_relevancy, scorers.correct, scorers.noise_sensitivity,
    scorers.refused, scorers.answered,
)  # fmt: skip
SCORERS: tuple[Scorer, ...] = (
    *ANSWER_SCORERS, scorers.citation_precision, scorers.citation_recall,
    scorers.context_precision, scorers.context_recall, scorers.relevant_recall,
    scorers.context_relevancy, scorers.redundancy, scorers.diversity,
)  # fmt: skip
LOWER_IS_BETTER = ("noise_sensitivity", "redundancy")
CHANGE = "_change"
"""Suffix of a measure of noise-K: the row's score less that without added passages."""


class GroundingConfig(Config):
    """How answers are read and scored."""

    refusal: str = r"not in these documents|(sorry,? )?I (do not|don.t|cannot|can.t)\b"
    """Regular expression of how a refusal begins, in any case; `refused` of a row decides first."""
    confidence: float = Field(default=0.95, gt=0, lt=1)
    """Confidence of the reported intervals; a gate computes its own."""
    seed: int = 0
    """Seed of which irrelevant passages are added, and where."""
    source_digest: str = ""
    """Hash of the rows and of what is asked of them; set by the stage."""


def grounding(
    rows: Path, *, out: Path, config: GroundingConfig, noise: list[int] | None = None,
    critic: str = "", name: str = "",
) -> EvaluateResult:  # fmt: skip
    """Score answers against the passages they were made from; every measure has an interval.

    Faithfulness, relevancy, citations, and whether the passages were the right ones and different:
    of these measures those that the rows' labels allow. A passage supports a sentence by the rules
    of `groundup verify`, with a critic as second opinion if there is one.

    rows    JSON objects with question, answer and contexts, or what `groundup ask --json` printed
    noise   a number of irrelevant passages: each question is answered again by quotes of its
            contexts and so many of other rows; may be given again
    critic  second opinion: directory of a language model, or of a classifier with one label; or
            URL#NAME of a model on an OpenAI-compatible server
    name    display name of the answers in the report, such as "support bot, March"

    Raises DataError naming a row and field that cannot be used.
    """
    judge = open_critic(critic) if critic else None
    return score_answers(rows, out, config, noise=noise or (), critic=judge, name=name)


def open_critic(critic: str) -> Critic:
    """The rules with a critic or a language model as second opinion."""
    from groundup.retrieve import open_opinion  # imports torch

    weights = Path(critic) / "model.safetensors"
    name = hash_file(weights)[:12] if weights.is_file() else critic
    return Critic(second_opinion=open_opinion(critic), name=f"rules+{name}")


def score_answers(
    rows: Path, out: Path, config: GroundingConfig, *, noise: Sequence[int] = (),
    critic: Critic | None = None, answer: Answerer = answer_from_contexts, name: str = "",
) -> EvaluateResult:  # fmt: skip
    """Score a file of rows as `grounding` does, with a critic and an answering function.

    critic  decides whether a passage supports a claim
    answer  answers a question from contexts, among them irrelevant ones; its name is recorded
    """
    if noise and min(noise) < 1:
        raise ConfigError(f"--noise {min(noise)} must be 1 or more; 0 is always measured.")
    critic, rows, counts = critic or Critic(), Path(rows), sorted({0, *noise}) if noise else []
    read, source = read_rows(rows, config.refusal), hash_file(rows)
    answerer = getattr(answer, "__qualname__", type(answer).__name__) if counts else ""
    key = digest([source, counts, critic.signature, answerer, name])
    subject = Subject(name or rows.name, source, critic.signature, "answers")

    def write(draft: Draft) -> None:
        started = perf_counter()
        if counts:
            record.log(f"Answering {len(read)} questions again, each {len(counts)} times.")
        again = answer_with_noise(read, counts, answer, critic, config.seed)
        tasks = [_write_task(draft, "grounding", _score(read, SCORERS, critic), critic, config)]
        scored = {count: _score(again[count], ANSWER_SCORERS, critic) for count in counts}
        for count in counts:
            changed = list(map(_with_changes, scored[count], scored[0]))
            tasks.append(_write_task(draft, f"noise-{count}", changed, critic, config))
        seconds = round(perf_counter() - started, 3)
        write_evaluation_report(draft, EvaluationReport(subject, tuple(tasks), seconds=seconds))
        draft.numbers |= {"answers": subject.name, "rows": len(read), "noise": counts}

    artifact = produce(
        out, kind="report", stage="grounding", version=VERSION, parents={}, write=write,
        config=config.model_copy(update={"source_digest": key}),
    )  # fmt: skip
    return EvaluateResult(artifact, read_report(artifact))


ScoredRow = tuple[GroundingRow, dict[str, RowScore]]


def _score(rows: Sequence[GroundingRow], of: Sequence[Scorer], critic: Critic) -> list[ScoredRow]:
    scored = []
    with record.progress("score", len(rows), "rows") as bar:
        for row in rows:
            scored.append((row, {scorer.__name__: scorer(row, critic) for scorer in of}))
            bar.advance(1)
    return scored


def _with_changes(scored: ScoredRow, without: ScoredRow) -> ScoredRow:
    (row, scores), (other, before) = scored, without
    is_same = (row.answer, row.refused) == (other.answer, other.refused)
    changes: dict[str, RowScore] = {"unchanged": float(is_same)}
    for name in ("correct", "faithfulness", "answered"):
        now, then = scores[name], before[name]
        undefined = next((each for each in (now, then) if isinstance(each, Reason)), None)
        changes[name + CHANGE] = undefined or now - then  # type: ignore[operator]
    return row, scores | changes


def _write_task(
    draft: Draft, name: str, scored: Sequence[ScoredRow], critic: Critic, config: GroundingConfig
) -> TaskReport:
    """Write the samples of a task; its measures are those that apply to at least one row."""
    samples = [_sample(row, scores, critic) for row, scores in scored]
    with open(draft.file(samples_file(name)), "w", encoding="utf-8") as file:
        file.writelines(json.dumps(each, ensure_ascii=False) + "\n" for each in samples)
    cites = any(claim.citations for row, _ in scored for claim in row.claims)
    measures = []
    for key in scored[0][1]:
        reasons = Counter(s["undefined"][key]["code"] for s in samples if key in s["undefined"])
        pairs = [(s["scores"][key], s["group"]) for s in samples if key in s["scores"]]
        is_named = bool(pairs) or not reasons.keys() <= set(NOT_APPLICABLE)
        if not is_named or key.startswith("citation_") and not cites:
            continue
        better = "lower" if key in LOWER_IS_BETTER else "higher"
        unit = "change" if key.endswith(CHANGE) else "share"
        measure = TaskMeasure(key, "none", better, unit, "mean", f"{key}|{critic.signature}")
        values, groups = [value for value, _ in pairs], [group for _, group in pairs]
        result = aggregate(measure, values, groups, config.confidence)
        counts = (len(values), reasons.total(), dict(reasons), 0)
        measures.append(MeasureReport(*measure, result, *counts))
    questions = digest([[s["id"], s["prompt"], s["target"]] for s in samples])
    signature = f"{critic.signature}|refusal:{digest(config.refusal)[:12]}"
    signature += f"|seed:{config.seed}" * name.startswith("noise-")
    counted = (questions, len(samples), tuple(measures))
    return TaskReport(name, "answers", str(VERSION), signature, *counted)


def _sample(row: GroundingRow, scores: dict[str, RowScore], critic: Critic) -> dict[str, Any]:
    undefined = {name: s._asdict() for name, s in scores.items() if isinstance(s, Reason)}
    labels = {"relevant": row.relevant, "unanswerable": row.unanswerable}
    claims = [(claim.text, critic.supported(claim.text, row.contexts)) for claim in row.claims]
    return {
        "id": row.id, "group": row.document, "prompt": row.question, "options": [],
        "target": {"reference": row.reference, **labels},
        "answers": [{"text": row.answer, "finish_reason": "stop"}],
        "filtered": {"none": row.answer}, "unparsed": [], "undefined": undefined,
        "scores": {name: score for name, score in scores.items() if name not in undefined},
        "document": {
            "contexts": [context._asdict() for context in row.contexts],
            "claims": [{"text": text, "supported": supported} for text, supported in claims],
        },
    }  # fmt: skip
