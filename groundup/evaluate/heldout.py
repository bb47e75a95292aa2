"""Stage: bits per byte of a model on the held-out documents of a tokens artifact.

    DIR/report.json       the number with its interval, and which weights were scored how
    DIR/documents.jsonl   one DocumentScore a line

Scoring the test split is a look at it, recorded in the tokens' ledger; see measure/testset.py.
"""

import json
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field

from groundup.core import (
    Artifact,
    Config,
    ConfigError,
    Draft,
    Reason,
    device,
    produce,
    write_json,
    write_text,
)
from groundup.measure import look
from groundup.tokenizer import DOCUMENT_END, Shard, load_tokenizer

from .compare.rows import Measured, bits_per_byte
from .likelihood import DocumentScore, score_documents


class EvaluateConfig(Config):
    """What to score and how."""

    split: str = "test"
    """Split of the tokens artifact."""
    window: int = Field(default=2048, ge=1)
    """Most tokens read at a time; at most the model's context."""
    stride: int | None = None
    """Tokens between the starts of windows; None is half a window."""
    batch_tokens: int = Field(default=8192, ge=1)
    """Tokens computed at a time; lower it if memory runs out."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Number format of the weights while scoring; bfloat16 is faster where a machine has it."""
    confidence: float = Field(default=0.95, gt=0, lt=1)
    """Of the interval."""


def evaluate(config: EvaluateConfig, model: Artifact, tokens: Artifact, out: Path) -> Artifact:
    """Score a model on held-out documents: bits per byte, with an interval over documents.

    model   a model artifact
    tokens  shards made by `groundup tokens` with the model's tokenizer

    Raises ConfigError if the tokens were made with another tokenizer or the window does not fit.
    """
    return produce(
        out,
        kind="report",
        stage="evaluate",
        version=1,
        config=config,
        parents={"model": model, "tokens": tokens},
        write=lambda draft: write_report(draft, config, model, tokens),
    )


def write_report(draft: Draft, config: EvaluateConfig, model: Artifact, tokens: Artifact) -> None:
    """Score and write; the body of the stage."""
    scores = score_split(config, model, tokens)
    if config.split == "test":
        look(tokens, "evaluate", model.id)
    found = bits_per_byte(scores, confidence=config.confidence)
    lines = [json.dumps(score._asdict(), ensure_ascii=False) + "\n" for score in scores]
    write_text(draft.file("documents.jsonl"), "".join(lines))
    write_json(draft.file("report.json"), {
        "model": model.id,
        "weights": {name: e["sha256"] for name, e in model.files.items() if is_weights(name)},
        "tokens": tokens.id,
        "split": config.split,
        "signature": scores[0].signature if scores else "",
        "bits_per_byte": None if isinstance(found, Reason) else found._asdict(),
        "undefined": found._asdict() if isinstance(found, Reason) else None,
    })  # fmt: skip
    draft.numbers |= summary(found) | {"documents": len(scores), "scored model": model.id[:12]}


def score_split(config: EvaluateConfig, model: Artifact, tokens: Artifact) -> list[DocumentScore]:
    """Load the weights and score every document of the split."""
    from groundup.model import (
        load as load_model,
    )  # here: whoever only compares scores needs no model

    shard, tokenizer = Shard.open(tokens, config.split), load_tokenizer(model.path)
    if shard.tokenizer != tokenizer.digest:
        raise ConfigError(
            f"{tokens.path} was made with tokenizer {shard.tokenizer[:12]}, and {model.path} has "
            f"{tokenizer.digest[:12]}; make the tokens again with the model's."
        )
    loaded = load_model(model.path, dtype=getattr(torch, config.dtype)).to(device.pick())
    context = loaded.config.context_length
    if config.window > context:
        raise ConfigError(
            f"window={config.window} does not fit the model's context_length={context}; "
            f"set window={context}."
        )
    documents = (
        (name, shard.document(index), int(shard.bytes[index]))
        for index, name in enumerate(shard.names)
        if shard.bytes[index]
    )
    return score_documents(
        loaded, documents, bos=tokenizer.specials[DOCUMENT_END], window=config.window,
        stride=config.stride, batch_tokens=config.batch_tokens,
    )  # fmt: skip


def is_weights(name: str) -> bool:
    """Whether a model's file holds weights."""
    return name.endswith(".safetensors")


def summary(found: Measured) -> dict[str, float | str]:
    """The result as figures for the manifest and the terminal."""
    if isinstance(found, Reason):
        return {"undefined": found.message}
    return {"bits per byte": found.estimate, "low": found.low, "high": found.high}


def read_scores(report: Artifact) -> list[DocumentScore]:
    """The documents' scores of a report made by `evaluate`, for comparing it with another."""
    with open(report.file("documents.jsonl"), encoding="utf-8") as file:
        return [DocumentScore(**json.loads(line)) for line in file]
