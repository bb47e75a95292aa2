"""What the demo's models are worth: a user's `evaluate`, `compare` and `gate`, called as functions.

    evaluate base --tokens tokens                                   unseen text
    evaluate chat --test questions --chat-template --against base   held-out answers
    evaluate chat --test names --chat-template                      names, real and made up
    evaluate int8 --tokens tokens --against chat                    validation text
    compare base chat int8                                          their answers, side by side
    gate REPORT                                                     of each of the four

Every threshold is relative to a baseline of the same run: a compressor, the base model, the chat
model, and how often the chat model refuses names that do exist.
"""

import lzma
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

from groundup.align import ChatExample, is_refusal, read_examples
from groundup.core import (
    Artifact,
    Config,
    DataError,
    Draft,
    GateFailed,
    Reason,
    Sample,
    device,
    produce,
)
from groundup.corpus import read_split
from groundup.evaluate import (
    EvaluateConfig,
    compare,
    evaluate,
    gate,
    read_report,
    read_sample_rows,
)
from groundup.measure import Interval, TestSetCard, make_testset, rate

SOURCE = (
    "The test split of the examples: functions and sections of files that training never reads."
)
CARDS = {
    "questions": TestSetCard(
        name="questions", source=SOURCE, licence="That of Python's own text: PSF License.",
        coverage="What code does, docstrings, code for a description, topics. Answers are text of "
        "the documents.",
    ),
    "names": TestSetCard(
        name="names", source=SOURCE, licence="That of Python's own text: PSF License.",
        coverage="Names of train's files, asked in words that training never uses, and made-up "
        "ones, which have no answer.",
    ),
}  # fmt: skip
MAX_QUESTIONS = 120
INT8_DOCUMENTS = 12
"""Validation documents on which the 8-bit copy is compared: pairs differ by hardly anything."""
INT8_SHARE = 0.005
"""Share of the chat model's bits per byte that the 8-bit copy may lose."""
READ_AGAIN = 256
"""Tokens before a window of a long document that are read again for those after them."""


class XzConfig(Config):
    """No settings."""


class Evaluation(NamedTuple):
    """Every artifact of the evaluation, by name, and the gate that did not pass."""

    artifacts: dict[str, Artifact]
    failure: GateFailed | None


def evaluate_run(made: Mapping[str, Artifact], out: Path, xz_share: float = 0.95) -> Evaluation:
    """Evaluate, compare and gate the models `base`, `chat` and `int8` of a run.

    xz_share  share of xz's bits per byte that the base model may need, at the upper bound

    A gate that does not pass is returned, not raised, so that a report can still be written.
    """
    tests = {name: seal_samples(made["examples"], name, out / name) for name in CARDS}
    xz = measure_xz(made["corpus"], out / "xz")
    reports = _evaluate_models(made, tests, out / "evaluations")
    answers = [reports[name] for name in ("base answers", "chat answers", "int8 answers")]
    compare([report.path for report in answers], out=out / "compared")
    known = known_refused(reports["chat names"])
    gates: dict[str, Callable[[Path], object]] = {
        "verdict-base": lambda path: gate(
            reports["base text"].path, out=path,
            require=[f"bits_per_byte<={xz_share * xz.numbers['bits per byte']:.4f}"],
        ),
        "verdict": lambda path: gate(
            reports["chat answers"].path, out=path,
            require=[f"similarity>{_estimate(reports['base answers'], 'similarity'):.4f}"],
        ),
        "verdict-names": lambda path: gate(
            reports["chat names"].path, require=[f"refused>{known.high:.4f}"], out=path
        ),
        "verdict-int8": lambda path: gate(
            reports["int8 text"].path, out=path,
            margin=INT8_SHARE * _estimate(reports["chat text"], "bits_per_byte"),
        ),
    }  # fmt: skip
    failures: list[GateFailed] = []
    for name, decide in gates.items():
        try:
            decide(out / name)
        except GateFailed as failure:
            failures.append(failure)
    verdicts = {name: Artifact.open(out / name, "verdict") for name in gates}
    failures.sort(key=lambda failure: failure.exit_code)  # failed before undecided
    compared = {"compared": Artifact.open(out / "compared", "report")}
    found = {**tests, "xz": xz, **reports, **compared, **verdicts}
    return Evaluation(found, failures[0] if failures else None)


def _evaluate_models(
    made: Mapping[str, Artifact], tests: Mapping[str, Artifact], out: Path
) -> dict[str, Artifact]:
    """The reports, by model and what it was evaluated on.

    The chat model precedes its baseline on the test set, which makes its bounds the narrowest. The
    8-bit copy is compared on validation text, so the test set is not accessed again.
    """
    context = int(made["base"].config["context_length"])
    config = EvaluateConfig(
        dtype="bfloat16" if device.compute_dtype() == torch.bfloat16 else "float32",
        batch_tokens=4096, stride=max(context // 2, context - READ_AGAIN),
    )  # fmt: skip
    validation = config.model_copy(update={"split": "validation"})
    base, chat, int8 = (str(made[name].path) for name in ("base", "chat", "int8"))
    tokens, questions = made["tokens"], tests["questions"]
    evaluate(base, config=config, tokens=tokens, out=out / "base-text")
    evaluate(
        chat, config=config, test=questions, chat_template=True, against=base,
        out=out / "chat-answers",
    )  # fmt: skip
    evaluate(chat, config=config, test=tests["names"], chat_template=True, out=out / "chat-names")
    evaluate(
        int8, config=validation, tokens=tokens, against=chat, limit=INT8_DOCUMENTS,
        out=out / "int8-text",
    )  # fmt: skip
    evaluate(int8, config=config, test=questions, chat_template=True, out=out / "int8-answers")
    folders = {
        "base text": "base-text", "chat text": "int8-text-against", "int8 text": "int8-text",
        "base answers": "chat-answers-against", "chat answers": "chat-answers",
        "int8 answers": "int8-answers", "chat names": "chat-names",
    }  # fmt: skip
    return {name: Artifact.open(out / folder, "report") for name, folder in folders.items()}


def seal_samples(examples: Artifact, name: str, out: Path) -> Artifact:
    """The `questions` or `names` of the examples' test split as a test set."""
    found = (
        e for e in read_examples(examples, "test") if (e.known is not None) == (name == "names")
    )
    limit = MAX_QUESTIONS if name == "questions" else None
    samples = [_sample(example) for example in found][:limit]
    return make_testset(CARDS[name], samples, {"examples": examples}, out)


def _sample(example: ChatExample) -> Sample:
    reference = () if example.known is False else (example.messages[-1].content,)
    about = {"kind": example.kind, "exposure": example.exposure}
    return Sample(example.id, example.messages[:-1], reference, example.group, about)


def measure_xz(corpus: Artifact, out: Path) -> Artifact:
    """Bits per byte of the test text under xz -9e, a compressor that knows no language."""

    def write(draft: Draft) -> None:
        test = b"".join(d.text.encode() for d in read_split(corpus, "test"))
        if not test:
            raise DataError(f"{corpus.path} has no test text; use a corpus of more files.")
        size = len(lzma.compress(test, preset=9 | lzma.PRESET_EXTREME))
        draft.numbers["bits per byte"] = 8 * size / len(test)

    return produce(
        out, kind="report", stage="xz", version=1, config=XzConfig(), parents={"corpus": corpus},
        write=write,
    )  # fmt: skip


def _estimate(report: Artifact, measure: str) -> float:
    (result,) = (m.result for m in read_report(report).tasks[0].measures if m.key == measure)
    if isinstance(result, Reason):
        raise DataError(f"{report.path} has no number: {result.message}")
    return result.estimate


def known_refused(names: Artifact) -> Interval:
    """How often names that do exist were refused."""
    rows = [row for row in read_sample_rows(names, "names") if row["target"]]
    values = [float(is_refusal(answer_text(row))) for row in rows]
    refused = rate(values, [row["group"] for row in rows])
    if isinstance(refused, Reason):
        raise DataError(f"{names.path} has too few names: {refused.message}")
    return refused


def answer_text(row: Mapping[str, Any]) -> str:
    """The answer in a row of a report's samples; why there is none, in brackets."""
    answer = row["answers"][0]
    return str(answer.get("text", f"({answer.get('code', '')})")).strip()


def sample_rows(reports: Mapping[str, Artifact], task: str) -> Iterator[dict[str, dict[str, Any]]]:
    """Yield each sample's rows by model, from reports of the same samples."""
    columns = (read_sample_rows(report, task) for report in reports.values())
    for rows in zip(*columns, strict=True):
        yield dict(zip(reports, rows, strict=True))
