"""The demo: from the text that comes with Python to a chat model, verified at every step.

    corpus → tokenizer → tokens → base → examples → chat → int8 → evaluations → verdicts → report
    manual → index                       examples → questions, names ↗

Every name is an artifact under `out`; a second run resumes and keeps complete artifacts. The stages
are a user's own: each could be typed as a command (evaluation.py for the last ones).
"""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from groundup.align import ExamplesConfig, FinetuneConfig, finetune, make_examples
from groundup.compress import QuantizeConfig, quantize
from groundup.core import (
    MANIFEST,
    Artifact,
    Config,
    Reason,
    device,
    page,
    produce,
    record,
    write_json,
)
from groundup.corpus import CorpusConfig
from groundup.evaluate import read_report
from groundup.measure import Interval, read_samples, read_verdict
from groundup.retrieve import index
from groundup.tokenizer import TokenizerConfig, TokensConfig, encode_corpus, train_tokenizer
from groundup.train import PretrainConfig, pretrain

from .evaluation import answer_text, evaluate_run, known_refused, sample_rows
from .library import LibraryManualConfig, library_corpus, library_manual
from .report import (
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

CORPUS = CorpusConfig(held_out_limit=65_536)
"""A twentieth of the files each for test and validation, the rest for training. The library's
longest module alone would be two fifths of the test."""


class DemoStep(NamedTuple):
    """What a machine trains by default, so that the complete run takes under five minutes."""

    peak_flops: float
    """Smallest measured matrix peak of such a machine."""
    tokens: int
    epochs: float
    """After one epoch of conversations the model hardly distinguishes known from made-up names."""
    xz_share: float = 0.95
    """Share of xz's bits per byte that the base model may need, at the upper bound."""
    depth: int = 4
    """Layers; four are better than five in the same time (benchmarks/recipes/demo_base.py)."""
    base: Mapping[str, Any] = {}
    """Settings other than the default ones: of pre-training, of the examples, of fine-tuning."""
    examples: Mapping[str, Any] = {}
    chat: Mapping[str, Any] = {}


FEW_EXAMPLES = {
    "explain": 200, "docstring": 120, "write": 150, "topic": 180,
    "names": 200, "asks_per_name": 16, "names_held_out": 100,
}  # fmt: skip
"""Half the names, asked twice as often: a model of three layers tells these from made-up ones."""
STEPS = (
    DemoStep(2e12, 2_900_000, 2.0),
    DemoStep(0.6e12, 1_400_000, 2.0, examples=FEW_EXAMPLES),
    DemoStep(0.0, 1_200_000, 2.0, 1.0, 3, {"context_length": 512}, FEW_EXAMPLES, {"batch_rows": 4}),
)
"""In the last one both trainings end with batches of one shape, which is compiled once."""
LABELS = {
    "exact_match": "Answers equal to the expected ones",
    "token_f1": "Words shared with the expected answer",
    "similarity": "Similarity to the expected answer",
    "rouge_l": "Longest common words (ROUGE-L)",
}
MEANINGS = {
    "verdict-base": (
        "Unseen text", "The base model describes unseen text in at most {share} of what xz needs."
    ),
    "verdict": (
        "Answers after tuning",
        "The chat model's answers are nearer to the expected ones than the base model's.",
    ),
    "verdict-names": (
        "Made-up names refused",
        "Names that do not exist are refused more often than names that do.",
    ),
    "verdict-int8": (
        "8 bits as good as 32", "Eight bits cost at most half a percent of predictability."
    ),
}  # fmt: skip
"""Name and meaning of each verdict's check."""


def tiny(
    *,
    out: Path = Path("runs/tiny"),
    tokens: int | None = None,
    depth: int | None = None,
    epochs: float | None = None,
) -> str:
    """Make a model, a chat model, an 8-bit copy, an index and a report from Python's own text.

    out     folder of the artifacts; an existing run is resumed
    tokens  training tokens of the base model; default: by the machine's measured speed
    depth   layers of the model; width and heads follow; default: likewise
    epochs  epochs of fine-tuning; default: by the machine's measured speed
    """
    started, is_new = time.monotonic(), not (out / "report" / MANIFEST).is_file()
    if is_new:
        record.log(device.device_summary())
    step = _choose_step(out / "step.json", {"tokens": tokens, "depth": depth, "epochs": epochs})
    training = PretrainConfig(tokens=step.tokens, depth=step.depth, **step.base)
    tuning = FinetuneConfig(epochs=step.epochs, **step.chat)  # both are validated first
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "step.json", step._asdict())
    made = _run_stages(out, training, ExamplesConfig(questions=0, **step.examples), tuning)
    evaluation = evaluate_run(made, out, step.xz_share)
    made |= {name: _log_artifact(name, each) for name, each in evaluation.artifacts.items()}
    report = produce(
        out / "report", kind="report", stage="report", version=2, config=ReportConfig(),
        parents=made, write=lambda draft: write_report(draft, run_story(made, out)),
    )  # fmt: skip
    if evaluation.failure is not None:
        raise evaluation.failure
    took = f"Done in {record.format_duration(time.monotonic() - started)}."
    return _final_message(out, report, took if is_new else "All is done.")


class ReportConfig(Config):
    """No settings: a report depends only on its parents."""


def machine_step(peak_flops: float) -> DemoStep:
    """The step of a machine with this matrix peak, operations a second."""
    return next(step for step in STEPS if peak_flops >= step.peak_flops)


def _choose_step(file: Path, asked: Mapping[str, float | None]) -> DemoStep:
    """The step of the machine, which is logged with its reason, with what was asked for.

    A resumed run keeps the step that its file records, however busy the machine is by now.
    """
    changes: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    if file.is_file():
        return DemoStep(**json.loads(file.read_text("utf-8")))._replace(**changes)
    speeds = device.measure_speeds()
    peak = max(speeds.float32_flops, speeds.bfloat16_flops)
    step = machine_step(peak)
    if "tokens" not in changes:
        record.log(
            f"Step {STEPS.index(step) + 1} of {len(STEPS)}: {step.depth} layers and "
            f"{step.tokens:,} tokens, because the matrix peak of {peak / 1e9:,.0f} GFLOP/s is at "
            f"least {step.peak_flops / 1e9:,.0f}; --depth and --tokens set others."
        )
    return step._replace(**changes)


def _run_stages(
    out: Path, training: PretrainConfig, asked: ExamplesConfig, tuning: FinetuneConfig
) -> dict[str, Artifact]:
    corpus = _log_artifact("corpus", library_corpus(CORPUS, out / "corpus"))
    tokenizer = _log_artifact(
        "tokenizer", train_tokenizer(TokenizerConfig(), corpus, out / "tokenizer")
    )
    shards = _log_artifact(
        "tokens", encode_corpus(TokensConfig(), corpus, tokenizer, out / "tokens")
    )
    base = _log_artifact("base", pretrain(training, shards, tokenizer, out / "base"))
    examples = _log_artifact("examples", make_examples(asked, corpus, out / "examples"))
    chat = _log_artifact("chat", finetune(tuning, base, examples, out / "chat"))
    int8 = _log_artifact("int8", quantize(QuantizeConfig(), chat, out / "int8"))
    manual = _log_artifact("manual", library_manual(LibraryManualConfig(), out / "manual"))
    passages = _log_artifact("index", index(manual.path, out / "index"))
    return {
        "corpus": corpus, "tokenizer": tokenizer, "tokens": shards, "base": base,
        "examples": examples, "chat": chat, "int8": int8, "manual": manual, "index": passages,
    }  # fmt: skip


def _log_artifact(name: str, artifact: Artifact) -> Artifact:
    record.log_event("artifact", name=name, id=artifact.id, path=str(artifact.path))
    took = record.format_duration(artifact.seconds)
    record.log(f"{name:<13} {artifact.id[:12]}  {record.format_bytes(artifact.bytes):>8}  {took}")
    return artifact


def _final_message(out: Path, report: Artifact, took: str) -> str:
    return "\n".join([
        f"{took} Every gate passed; the report is {report.path / 'report.html'}",
        "",
        "Next:",
        f"  groundup chat {typed(out / 'chat')}",
        f'  groundup ask "What does the with statement do?" --index {typed(out / "index")}',
        f"  groundup show {typed(out)}",
    ])  # fmt: skip


def run_story(made: Mapping[str, Artifact], out: Path) -> ReportData:
    """Gather what the report says from the evaluations, the comparison and the verdicts."""
    verdicts = {name: read_verdict(made[name]) for name in MEANINGS}
    text, xz = _measure(made["base text"], "bits_per_byte"), made["xz"].numbers["bits per byte"]
    shown = [name for name in made if name not in ("xz", "compared") and " " not in name]
    return ReportData(
        title="A model of Python's own text",
        verdict=f"{in_words(verdicts.values())}: the base model needs {text.estimate:.3f} bits for "
        f"a byte of unseen text, {text.estimate / xz:.2f} times what xz needs.",
        checks=tuple(
            _named_check(name, row, xz) for name in MEANINGS for row in verdicts[name].checks
        ),
        headline=_headline(made, text, xz),
        artifacts=tuple(artifact_rows({name: made[name] for name in shown}, out)),
        curves=(loss_curve(made["base"], "Pre-training"), loss_curve(made["chat"], "Fine-tuning")),
        evaluation=(
            EvaluationRow("Unseen text", "bits per byte", "lower", {"base": text.estimate}),
            *_compared_rows(made["compared"]),
        ),
        samples=tuple(_sample_section(made)),
        environment={k: str(v) for k, v in device.fingerprint().items()},
        next_commands=(
            NextCommand("Talk to the model", f"groundup chat {typed(out / 'chat')}"),
            NextCommand("Ask the manual, with proof",
                        'groundup ask "What does the with statement do?" '
                        f"--index {typed(out / 'index')}"),
            NextCommand("See what was made", f"groundup show {typed(out)}"),
            NextCommand("Look at the training conversations",
                        f"groundup examples show {typed(out / 'examples')} "
                        f"--tokenizer {typed(out / 'tokenizer')}"),
        ),
    )  # fmt: skip


def _measure(report: Artifact, key: str) -> Interval:
    """A measure of a report's only task; one without a value has none either on the page."""
    result = {each.key: each.result for each in read_report(report).tasks[0].measures}[key]
    nothing = float("nan")
    return Interval(nothing, nothing, nothing, 0.95, 0, 0) if isinstance(result, Reason) else result


def _named_check(verdict: str, row: Mapping[str, Any], xz: float) -> page.Gate:
    """A verdict's check under a name that a newcomer understands."""
    name, meaning = MEANINGS[verdict]
    return check_row(row, name, meaning.format(share=f"{100 * row['limit'] / xz:.0f} %"))


def _headline(
    made: Mapping[str, Artifact], text: Interval, xz: float
) -> tuple[HeadlineNumber, ...]:
    refused, known = _measure(made["chat names"], "refused"), known_refused(made["chat names"])
    rates = [
        HeadlineNumber(label, 100 * found.estimate, "%", 100 * found.low, 100 * found.high, note,
                       "chat")
        for label, found, note in (
            ("Made-up names refused", refused, "higher is better"),
            ("Known names refused", known, "lower is better"),
        )
    ]  # fmt: skip
    first = HeadlineNumber(
        "Bits per byte of unseen text", text.estimate, "", text.low, text.high, f"xz {xz:.3f}",
        "base",
    )  # fmt: skip
    return (first, *rates)


def _compared_rows(compared: Artifact) -> list[EvaluationRow]:
    """The measures of `groundup compare`, with the difference of chat to base."""
    found = json.loads(compared.file("compare.json").read_text(encoding="utf-8"))
    rows = []
    for measure in found["tasks"][0]["measures"]:
        cells = [(cell["interval"] or {}).get("estimate") for cell in measure["cells"]]
        difference = (measure["versus"][0]["difference"] or {}).get("interval") or {}
        better: Literal["lower", "higher"] = measure["better"]
        rows.append(EvaluationRow(
            LABELS.get(str(measure["key"]), str(measure["key"])), measure["unit"], better,
            dict(zip(("base", "chat", "int8"), cells, strict=True)),
            *(difference.get(part) for part in ("estimate", "low", "high")),
        ))  # fmt: skip
    return rows


def _sample_section(made: Mapping[str, Artifact]) -> list[SampleRow]:
    """Every question with the answers of those who were asked, good and bad alike."""
    shown = []
    asked = ("questions", "answers", ("base", "chat", "int8")), ("names", "names", ("chat",))
    for task, suffix, models in asked:
        reports = {model: made[f"{model} {suffix}"] for model in models}
        for sample, rows in zip(read_samples(made[task]), sample_rows(reports, task), strict=True):
            kind = sample.metadata["kind"] if sample.references else "made-up name"
            answers = {
                model: ShownAnswer(answer_text(row), row["scores"].get("similarity"))
                for model, row in rows.items()
            }
            prompt, reference = sample.conversation[-1].content, "".join(sample.references)
            shown.append(SampleRow(kind, prompt, reference, answers))
    return shown
