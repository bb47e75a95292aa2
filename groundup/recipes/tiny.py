"""The demo: from the text that comes with Python to a chat model, verified at every step.

    corpus → tokenizer → tokens → base → examples → chat → int8 → assessment → verdict → report
    manual → index                       examples → testset ↗

Every name is an artifact under `out`; a second run resumes and keeps complete artifacts.
"""

import time
from pathlib import Path
from typing import NamedTuple

from groundup.align import ExamplesConfig, FinetuneConfig, finetune, make_examples
from groundup.compress import QuantizeConfig, quantize
from groundup.core import MANIFEST, Artifact, Config, Draft, device, produce, record
from groundup.corpus import CorpusConfig
from groundup.measure import require_passed
from groundup.model import flops_per_token, from_depth
from groundup.retrieve import index
from groundup.tokenizer import TokenizerConfig, TokensConfig, encode_corpus, train_tokenizer
from groundup.train import PretrainConfig, pretrain

from .assess import AssessConfig, Inputs, Models, assess
from .library import LibraryManualConfig, library_corpus, library_manual
from .questions import seal_questions
from .report.report import write_report
from .report.story import gate_assessment, run_story, typed

CORPUS = CorpusConfig(held_out_limit=65_536)
"""A twentieth of the files each for test and validation, the rest for training. The library's
longest module alone would be two fifths of the test."""
TOKENS, DEPTH, EPOCHS = 2_900_000, 4, 2.0
"""Defaults: the complete run takes under five minutes on two cores. Four layers on nearly twice as
many tokens are better than five in the same time (benchmarks/recipes/demo_base.py); after one epoch
of conversations the model hardly distinguishes known names from made-up ones."""


class TinyArtifacts(NamedTuple):
    """All artifacts of a run, in order."""

    corpus: Artifact
    tokenizer: Artifact
    tokens: Artifact
    base: Artifact
    examples: Artifact
    testset: Artifact
    chat: Artifact
    int8: Artifact
    manual: Artifact
    index: Artifact
    assessment: Artifact
    verdict: Artifact


def tiny(
    *,
    out: Path = Path("runs/tiny"),
    tokens: int = TOKENS,
    depth: int = DEPTH,
    epochs: float = EPOCHS,
) -> str:
    """Make a model, a chat model, an 8-bit copy, an index and a report from Python's own text.

    out     folder of the artifacts; an existing run is resumed
    tokens  training tokens of the base model, which determine the time
    depth   layers of the model; width and heads follow from it
    epochs  epochs of fine-tuning
    """
    started = time.monotonic()
    training = PretrainConfig(tokens=tokens, depth=depth)  # validates both first
    tuning = FinetuneConfig(epochs=epochs)
    fresh = not (out / "report" / MANIFEST).is_file()
    if fresh:
        record.log(device.device_summary())
        record.log(_estimate_duration(tokens, depth))
    made = _run_stages(out, training, tuning)
    report = _write_report(made, out)
    took = (
        f"Done in {record.format_duration(time.monotonic() - started)}."
        if fresh
        else "All is done."
    )
    require_passed(made.verdict)
    return _final_message(out, report, took)


def _run_stages(out: Path, training: PretrainConfig, tuning: FinetuneConfig) -> TinyArtifacts:
    """Run the stages; complete ones are skipped."""
    corpus = _log_artifact("corpus", library_corpus(CORPUS, out / "corpus"))
    tokenizer = _log_artifact(
        "tokenizer", train_tokenizer(TokenizerConfig(), corpus, out / "tokenizer")
    )
    shards = _log_artifact(
        "tokens", encode_corpus(TokensConfig(), corpus, tokenizer, out / "tokens")
    )
    base = _log_artifact("base", pretrain(training, shards, tokenizer, out / "base"))
    examples = _log_artifact("examples", make_examples(ExamplesConfig(), corpus, out / "examples"))
    testset = _log_artifact("testset", seal_questions(examples, out / "testset"))
    chat = _log_artifact("chat", finetune(tuning, base, examples, out / "chat"))
    int8 = _log_artifact("int8", quantize(QuantizeConfig(), chat, out / "int8"))
    manual = _log_artifact("manual", library_manual(LibraryManualConfig(), out / "manual"))
    passages = _log_artifact("index", index(manual.path, out / "index"))
    models, inputs = Models(base, chat, int8), Inputs(corpus, shards, testset)
    assessment = _log_artifact(
        "assessment", assess(AssessConfig(), models, inputs, out / "assessment")
    )
    verdict = gate_assessment(assessment, chat, base, testset, out / "verdict")
    return TinyArtifacts(
        corpus,
        tokenizer,
        shards,
        base,
        examples,
        testset,
        chat,
        int8,
        manual,
        passages,
        assessment,
        verdict,
    )


def _log_artifact(name: str, artifact: Artifact) -> Artifact:
    """Log one line about a stage's artifact."""
    record.log_event("artifact", name=name, id=artifact.id, path=str(artifact.path))
    took = record.format_duration(artifact.seconds)
    record.log(f"{name:<11} {artifact.id[:12]}  {record.format_bytes(artifact.bytes):>8}  {took}")
    return artifact


class ReportConfig(Config):
    """No settings: a report depends only on its parents."""


def _write_report(made: TinyArtifacts, out: Path) -> Artifact:
    """Write the report of a run as one page."""

    def write(draft: Draft) -> None:
        write_report(draft, run_story(made._asdict(), out))

    parents = {name: artifact for name, artifact in made._asdict().items()}
    return produce(
        out / "report", kind="report", stage="report", version=1, config=ReportConfig(),
        parents=parents, write=write,
    )  # fmt: skip


def _estimate_duration(amount: int, depth: int) -> str:
    """Estimate the duration from the measured peak of matrix products."""
    shape = from_depth(depth, 4096).config
    speeds = device.measure_speeds()
    peak = max(speeds.float32_flops, speeds.bfloat16_flops)
    work = amount * flops_per_token(shape, 128).training / (USUAL_PEAK_SHARE * peak)
    return f"This will take about {record.format_duration(OTHER_SECONDS + work)} on this machine."


USUAL_PEAK_SHARE = 0.4
"""Typical share of the peak that training reaches at this size."""
OTHER_SECONDS = 140
"""Time of everything except pre-training, including compilation."""


def _final_message(out: Path, report: Artifact, took: str) -> str:
    """Final message: the report, and the next commands."""
    return "\n".join([
        f"{took} Every gate passed; the report is {report.path / 'report.html'}",
        "",
        "Next:",
        f"  groundup chat {typed(out / 'chat')}",
        f'  groundup ask "What does the with statement do?" --index {typed(out / "index")}',
        f"  groundup show {typed(out)}",
    ])  # fmt: skip
