"""A report as the demo makes one, with made-up but plausible numbers.

python -m tests.recipes.sample_report OUT.html [failed|empty]
"""

import math
import random
import sys
from pathlib import Path

from groundup.core.page import Baseline, Gate, Series
from groundup.recipes.report import (
    ArtifactRow,
    Curve,
    EvaluationRow,
    HeadlineNumber,
    NextCommand,
    ReportData,
    SampleRow,
    ShownAnswer,
    report_page,
)

REFUSAL = "I do not know json.unmarshal(); it is not in my documents."
TITLE = "Tiny: a language model of Python's documentation"


def sample_report(failed: bool = False) -> ReportData:
    """A whole report; with `failed`, one gate fails and the 8-bit copy is rejected."""
    count = 1 if failed else 0
    verdict = (
        "It worked: base needs 1.41 bits for a byte of text it has not seen (95\u00a0% interval "
        "1.40 to 1.43), where xz needs 1.76; the chat model and its 8-bit copy passed every gate."
    )
    if count:
        verdict = (
            "It worked in part: base beats xz with 1.41 against 1.76 bits per byte, but the 8-bit "
            "copy lost more exact matches than allowed and was rejected; the chat model is yours."
        )
    return ReportData(
        title=TITLE,
        verdict=verdict,
        checks=checks(failed),
        headline=headline(),
        artifacts=artifacts(failed),
        curves=curves(),
        evaluation=evaluation(),
        samples=samples(),
        environment={
            "Processor": "8 cores, x86-64, AVX-512",
            "Memory": "32 GB",
            "Accelerator": "none",
            "Python": "3.11.7",
            "torch": "2.13.0",
            "groundup": "0.1.0",
            "Revision": "73691e4",
        },
        next_commands=(
            NextCommand("Talk to the model.", "groundup chat runs/tiny/chat"),
            NextCommand(
                "Ask about the documents; every answer comes with its quotes, or is refused.",
                "groundup ask 'How do I read a file line by line?' --index runs/tiny/index",
            ),
            NextCommand(
                "See what an artifact is and where it came from.", "groundup show runs/tiny"
            ),
        ),
    )


def checks(failed: bool) -> tuple[Gate, ...]:
    """Five gates on different scales."""
    lost = (-0.071, -0.102, -0.043) if failed else (-0.004, -0.013, 0.005)
    return (
        Gate(
            "Better than xz",
            "On unseen text the base model needs fewer bits per byte than the compressor xz.",
            1.412, 1.398, 1.426, 1.76, "bits per byte", "lower", True,
            "Train longer, or give it more text of the same kind.",
        ),
        Gate(
            "Tuning kept the language",
            "The chat model predicts unseen text at most 0.05 bits per byte worse than base.",
            0.021, 0.017, 0.026, 0.05, "bits per byte", "lower", True,
            "Mix plain text into the fine-tuning examples.",
        ),
        Gate(
            "Answers known questions",
            "At least 60 % of questions about the documents get exactly the expected answer.",
            0.742, 0.689, 0.791, 0.6, "of answers", "higher", True, "Make more examples.",
        ),
        Gate(
            "Refuses unknown questions",
            "It refuses questions about things that do not exist at least 50 points more often "
            "than questions it can answer.",
            0.81, 0.74, 0.87, 0.5, "difference of rates", "higher", True, "Add refusals.",
        ),
        Gate(
            "8 bits lose nothing",
            "The 8-bit copy gets at most 2 points fewer exact matches than the chat model.",
            *lost, -0.02, "of answers", "higher", not failed,
            "Keep the first and the last layer in 16 bits.",
        ),
    )  # fmt: skip


def headline() -> tuple[HeadlineNumber, ...]:
    """The numbers that answer how good it is."""
    return (
        HeadlineNumber("Unseen text, base model", 1.412, "bits per byte", 1.398, 1.426,
                       "xz: 1.76 · xz given the training text: 1.40", "base"),
        HeadlineNumber("Exact answers, chat", 0.742, "of 400", 0.689, 0.791,
                       "base: 0.013", "chat"),
        HeadlineNumber("Size of the 8-bit copy", 12.4, "MB", note="16 bits: 24.1 MB",
                       artifact="int8"),
        HeadlineNumber("Time, all stages", 21.5, "min", note="8 cores, no accelerator"),
    )  # fmt: skip


def artifacts(failed: bool) -> tuple[ArtifactRow, ...]:
    """The chain from documents to verdicts."""

    def row(name: str, kind: str, size: int, seconds: float, *parents: str) -> ArtifactRow:
        number = sum(ord(letter) * 7919**place for place, letter in enumerate(name))
        return ArtifactRow(
            name, kind, f"runs/tiny/{name.replace(' ', '-')}", f"{number:016x}"[-16:] * 4, size,
            seconds, parents, failed and name == "int8",
        )  # fmt: skip

    return (
        row("corpus", "corpus", 11_240_000, 5.8),
        row("tokenizer", "tokenizer", 391_000, 4.1, "corpus"),
        row("tokens", "tokens", 6_310_000, 2.2, "corpus", "tokenizer"),
        row("base", "model", 24_100_000, 840.0, "tokens"),
        row("examples", "examples", 1_870_000, 1.3, "corpus"),
        row("test set", "testset", 212_000, 0.4, "examples"),
        row("chat", "model", 24_100_000, 265.0, "base", "examples"),
        row("int8", "model", 12_400_000, 1.9, "chat"),
        row("index", "index", 18_900_000, 3.0, "corpus"),
        row("verdict", "verdict", 6_100, 88.0, "int8", "chat", "test set"),
    )


def curves() -> tuple[Curve, ...]:
    """Loss of base and chat over their training."""
    noise = random.Random(0)
    steps = [5_000 * step for step in range(1, 1601)]
    fall = [1.34 + 2.2 * math.exp(-step / 900_000) + 0.35 * math.exp(-step / 4e6) for step in steps]
    loss = [value + noise.gauss(0, 0.03) for value in fall]
    seen = steps[99::100]
    held = [fall[at] + 0.03 for at in range(99, 1600, 100)]
    epochs = [step / 100 for step in range(301)]
    tuned = [0.35 + 1.9 * math.exp(-epoch * 2.2) + noise.gauss(0, 0.02) for epoch in epochs]
    return (
        Curve(
            "Loss of the base model", "tokens", "bits per byte",
            (
                Series("training", steps, loss),
                Series("unseen", seen, held, [v - 0.03 for v in held], [v + 0.03 for v in held]),
            ),
            (Baseline("xz", 1.76), Baseline("xz + text", 1.40)),
        ),
        Curve(
            "Loss of the chat model", "epochs", "nats per answer token",
            (
                Series("training", epochs, tuned),
                Series("unseen", [0.5, 1, 1.5, 2, 2.5, 3], [1.02, 0.71, 0.58, 0.53, 0.515, 0.52]),
            ),
        ),
    )  # fmt: skip


def evaluation() -> tuple[EvaluationRow, ...]:
    """Three measures, one that gets better, one worse, one unclear."""
    return (
        EvaluationRow("Unseen text", "bits per byte", "lower",
                      {"base": 1.412, "chat": 1.433, "int8": 1.434}, 0.021, 0.017, 0.026),
        EvaluationRow("Exact match", "of answers", "higher",
                      {"base": 0.013, "chat": 0.742, "int8": 0.738}, 0.729, 0.671, 0.781),
        EvaluationRow("Similarity", "of characters", "higher",
                      {"base": 0.121, "chat": 0.871, "int8": 0.870}, 0.75, 0.712, 0.784),
        EvaluationRow("Unknown questions refused", "of questions", "higher",
                      {"base": None, "chat": 0.86, "int8": 0.86}),
        EvaluationRow("Length of answers", "of the expected", "higher",
                      {"base": 1.31, "chat": 1.02, "int8": 1.02}, 0.004, -0.011, 0.019),
    )  # fmt: skip


def samples() -> tuple[SampleRow, ...]:
    """Two kinds of question."""
    return (
        SampleRow(
            "Recall", "What does textwrap.dedent() do?",
            "Remove any common leading whitespace from every line in text.",
            {
                "base": ShownAnswer("textwrap.dedent(text)\n\n   Return the text\n   of the text "
                                    "of the text <of> the module.", 0.0),
                "chat": ShownAnswer(
                    "Remove any common leading whitespace from every line in text.", 1.0),
                "int8": ShownAnswer(
                    "Remove any common leading whitespace from every line in text.", 1.0),
            },
        ),
        SampleRow(
            "Recall", "What does the method str.casefold() return?",
            "Return a casefolded copy of the string.",
            {
                "base": ShownAnswer("Changed in version 3.3: the method", 0.0),
                "chat": ShownAnswer("Return a casefolded copy of the string.", 1.0),
                "int8": ShownAnswer("Return a copy of the string with all characters.", 0.0),
            },
        ),
        SampleRow(
            "Should refuse", "What does json.unmarshal() do?", "",
            {
                "base": ShownAnswer("", 0.0),
                "chat": ShownAnswer(REFUSAL, 1.0),
                "int8": ShownAnswer(REFUSAL, 1.0),
            },
        ),
    )  # fmt: skip


def main(place: str, kind: str = "") -> None:
    """Write the page alone, without an artifact around it."""
    data = ReportData("Nothing yet", "The run stopped before its first stage had ended.")
    page = report_page(data if kind == "empty" else sample_report(kind == "failed"))
    Path(place).write_text(page.render(), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
