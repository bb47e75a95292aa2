"""From a manual in two languages to a model that translates, beside copying and a dictionary.

    two folders → pairs → tokenizer → model → assessment → verdict → report
                        ↘ testset ↗

Every arrow is an artifact under `out`; run again, what is complete is kept and the rest goes on.
"""

import json
import time
from pathlib import Path
from typing import NamedTuple

from groundup.core import MANIFEST, Artifact, Config, Draft, produce, record
from groundup.core import device as machine
from groundup.measure import read_verdict, require_passed
from groundup.tokenizer import TokenizerConfig

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
from .pairs import PairsConfig, make_pairs
from .scoring import (
    SYSTEMS,
    TranslationScoreConfig,
    assess_translations,
    gate_translations,
    seal_pairs,
)
from .training import TrainingConfig, learn_pair_tokenizer, model_config, train_model

SHOWN = 24
"""Sentences shown in the report, evenly over the test set."""


class TranslationRun(NamedTuple):
    """Every artifact of a run, in the order of making."""

    pairs: Artifact
    tokenizer: Artifact
    testset: Artifact
    model: Artifact
    assessment: Artifact
    verdict: Artifact


class TranslationReportConfig(Config):
    """Nothing to choose: a report says what its parents hold."""


def translate(
    source: Path,
    target: Path,
    *,
    out: Path = Path("runs/translate"),
    epochs: float = TrainingConfig().epochs,
    preset: str = TrainingConfig().preset,
    vocab: int = 4096,
    licence: str = "",
) -> str:
    """Learn to translate from a manual in two languages, and say by how much it beats a dictionary.

    The two folders hold the same pages under the same names, such as those of Debian's
    libreoffice-help-en-us and libreoffice-help-de (MPL-2.0): apt-get download both,
    dpkg-deb -x each of them manual; then give manual/usr/share/libreoffice/help/en-US and
    manual/usr/share/libreoffice/help/de.

    source   folder of pages in the language to translate from
    target   folder of the same pages in the language to translate to
    out      where the artifacts go; run again, it goes on or says that all is done
    epochs   how often each pair is seen, the dial for time
    preset   shape of the model: t5-tiny, bart-tiny or switch-tiny
    vocab    ids of the vocabulary that both languages share
    licence  terms of the pages, noted in the test set's card
    """
    started = time.monotonic()
    training = TrainingConfig(epochs=epochs, preset=preset)
    model_config(training, vocab)  # refuses what cannot be, at once
    fresh = not (out / "report" / MANIFEST).is_file()
    made = make(out, source, target, training, TokenizerConfig(vocab_size=vocab), licence=licence)
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
        f'  groundup generate {typed(out / "model")} "Open the window." --beams 4',
        f"  groundup show {typed(out)}",
    ])  # fmt: skip


def make(
    out: Path,
    source: Path,
    target: Path,
    training: TrainingConfig,
    vocabulary: TokenizerConfig,
    *,
    licence: str = "",
    scoring: TranslationScoreConfig | None = None,
) -> TranslationRun:
    """Run the stages; what is complete is not run again."""
    pairs = _log_artifact("pairs", make_pairs(PairsConfig(), source, target, out / "pairs"))
    tokenizer = _log_artifact(
        "tokenizer", learn_pair_tokenizer(vocabulary, pairs, out / "tokenizer")
    )
    testset = _log_artifact("testset", seal_pairs(pairs, licence, out / "testset"))
    model = _log_artifact("model", train_model(training, pairs, tokenizer, out / "model"))
    scored = assess_translations(
        scoring or TranslationScoreConfig(), model, pairs, testset, out / "assessment"
    )
    verdict = gate_translations(
        _log_artifact("assessment", scored), model, testset, out / "verdict"
    )
    return TranslationRun(pairs, tokenizer, testset, model, scored, verdict)


def _make_report(made: TranslationRun, out: Path) -> Artifact:
    """Tell the run as one page."""

    def write(draft: Draft) -> None:
        write_report(draft, _write_page(made, out))

    return produce(
        out / "report", kind="report", stage="translate_report", version=1,
        config=TranslationReportConfig(), parents=made._asdict(), write=write,
    )  # fmt: skip


def _write_page(made: TranslationRun, out: Path) -> ReportData:
    """Gather what the report says."""
    found = json.loads(made.assessment.file("assessment.json").read_text(encoding="utf-8"))
    judged, bleu = read_verdict(made.verdict), found["scores"]["BLEU"]
    worked = in_words(judged)
    values = {name: bleu[name].get("estimate") or 0.0 for name in SYSTEMS}
    return ReportData(
        title="A manual's translation",
        verdict=f"{worked}: {values['model']:.1f} BLEU on {found['sentences']} sentences of unseen "
        f"pages, where copying the source has {values['copy']:.1f} and a dictionary "
        f"{values['dictionary']:.1f}.",
        checks=tuple(check_row(row) for row in judged.checks),
        headline=tuple(_headline(name, row) for name, row in found["scores"].items()),
        artifacts=tuple(artifact_rows(made._asdict(), out)),
        curves=(loss_curve(made.model, "Training"),),
        evaluation=tuple(_evaluation_section(found["scores"])),
        samples=tuple(_sample_section(made.assessment)),
        environment={k: str(v) for k, v in machine.fingerprint().items()},
        models=SYSTEMS,
        compared="model − dictionary",
        next_commands=(
            NextCommand("Translate a sentence", "groundup generate "
                        f'{typed(out / "model")} "Open the window." --beams 4'),
            NextCommand("See what was made", f"groundup show {typed(out)}"),
        ),
    )  # fmt: skip


def _headline(name: str, row: dict[str, dict[str, float]]) -> HeadlineNumber:
    """A measure of the model, with its rivals' beside it."""
    found = row["model"]
    others = (f"{other} {row[other].get('estimate') or 0.0:.1f}" for other in SYSTEMS[:-1])
    return HeadlineNumber(
        name, found.get("estimate"), "points", found.get("low"), found.get("high"),
        note=", ".join(others), artifact="model",
    )  # fmt: skip


def _evaluation_section(scores: dict[str, dict[str, dict[str, float]]]) -> list[EvaluationRow]:
    """One row a measure, with what the model has more than the dictionary."""
    return [
        EvaluationRow(
            name, "points", "higher", {system: row[system].get("estimate") for system in SYSTEMS},
            *(row["model - dictionary"].get(part) for part in ("estimate", "low", "high")),
        )
        for name, row in scores.items()
    ]  # fmt: skip


def _sample_section(assessment: Artifact) -> list[SampleRow]:
    """Sentences evenly over the test set, good and bad alike."""
    lines = assessment.file("answers.jsonl").read_text(encoding="utf-8").splitlines()
    most = min(SHOWN, len(lines))
    rows = [json.loads(lines[i * len(lines) // most]) for i in range(most)]
    return [
        SampleRow("sentence", row["source"], row["reference"],
                  {system: ShownAnswer(row[system]) for system in SYSTEMS})
        for row in rows
    ]  # fmt: skip
