"""A model of one's own documents, measured: from a folder and a base to a verdict.

    documents ┬ test set ───────────────────┐
              └ examples ┐ (none of its)    │
    base ─── adapter ────┴─ (merged) ──── report ─ verdict
         └──────────────────────────────── baseline

Each step could be typed as a command (docs/guide/own-model.md).
"""

from pathlib import Path

from groundup.adapt import MergeConfig, merge
from groundup.align import ExamplesConfig, FinetuneConfig, finetune
from groundup.core import Artifact, ConfigError
from groundup.corpus import QuestionsConfig, make_questions
from groundup.evaluate import EvaluateConfig, evaluate, gate
from groundup.model import is_packed, open_config, read_json_object

from ..examples import examples_from_documents

LENGTH = 512
"""Tokens of a packed sequence, if the model's context has as many."""


def own(
    *,
    documents: Path,
    base: Path,
    out: Path = Path("runs/own"),
    questions: int = 200,
    adapter: str = "lora",
    epochs: float = 2.0,
    template: str = "",
    writer: str = "",
) -> str:
    """Tune a model on a folder's documents, and judge it on questions about others of them.

    documents  folder of the documents
    base       a base or chat model, made here or by `groundup import`
    out        folder of the artifacts; an existing run is resumed
    questions  of the test set, at most
    adapter    lora, which is merged, prefix or bottleneck; empty: all weights are trained
    epochs     passes over the examples
    template   as of `finetune`, for a base without a chat template: FILE.jinja, or plain
    writer     a chat model, or URL#NAME of one on a server, that writes more examples

    Raises DataError if the documents give no questions or examples, GateFailed if the tuned model
    is worse than the base, GateUndecided if the questions are too few to tell.
    """
    if out.resolve().is_relative_to(documents.resolve()):
        raise ConfigError(f"--out {out} lies in the documents and would be read; choose another.")
    model = Artifact.open(base, "model")
    test = make_questions(documents, QuestionsConfig(), out / "testset", questions=questions)
    examples = examples_from_documents(
        ExamplesConfig(), documents, out=out / "examples", exclude=[test.path], model=writer
    )
    length = min(LENGTH, open_config(base).context_length)
    config = FinetuneConfig(epochs=epochs, max_length=length, template=template)
    tuned = finetune(config, model, examples, out / "tuned", adapter=adapter)
    if adapter == "lora":
        merging = MergeConfig(dequantize=is_packed(read_json_object(base / "config.json")))
        tuned = merge(merging, model, tuned.path, out / "model")
    evaluate(
        str(tuned.path), config=EvaluateConfig(), test=test, chat_template=True,
        against=str(base), out=out / "report",
    )  # fmt: skip
    verdict = gate(out / "report", out=out / "verdict")
    return f"{verdict}\nDone; talk to it: groundup chat {tuned.path}"
