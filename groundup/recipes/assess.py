"""What a run's models are worth: held-out text against a compressor, held-out answers, refusals.

One artifact holds every figure and every answer; the verdict and the report read it from there.
"""

import json
import lzma
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import torch

from groundup.align import ChatExample, is_refusal
from groundup.core import (
    Answer,
    Artifact,
    Config,
    DataError,
    Draft,
    Reason,
    Sampling,
    device,
    produce,
    write_json,
    write_text,
)
from groundup.corpus import read_split
from groundup.evaluate import (
    ComparisonRow,
    DocumentScore,
    bits_per_byte,
    compare_likelihood,
    compare_scores,
    score_conversations,
    score_documents,
)
from groundup.generate import Engine
from groundup.measure import difference_of_rates, rate, record_access, score_all, similarity
from groundup.tokenizer import DOCUMENT_END, Shard

from .questions import read_questions, sample

MODELS = ("base", "chat", "int8")


class AssessConfig(Config):
    """How much to look at."""

    answers: int = 120
    """Held-out questions that are answered and compared with their reference."""
    int8_answers: int = 24
    """Of these, how many the 8-bit model answers too, to be read; it is judged by likelihood."""
    names: int = 800
    """Questions on names, known and made up, of which refusals are counted."""
    max_tokens: int = 192
    """Longest answer."""
    overlap: int = 256
    """Tokens before a window of a long document that are read again for the ones after them."""
    batch_tokens: int = 8192
    """Tokens scored at a time."""


class Models(NamedTuple):
    """The three models of a run, as artifacts."""

    base: Artifact
    chat: Artifact
    int8: Artifact


class Inputs(NamedTuple):
    """What the models are held against."""

    corpus: Artifact
    tokens: Artifact
    testset: Artifact
    """Held-out conversations, sealed."""


def assess(config: AssessConfig, models: Models, inputs: Inputs, out: Path) -> Artifact:
    """Measure base, chat and int8 on the test split; figures and answers become an artifact."""
    return produce(
        out,
        kind="report",
        stage="assess",
        version=1,
        config=config,
        parents=models._asdict() | inputs._asdict(),
        write=lambda draft: _write_assessment(draft, config, models, inputs),
    )


def _write_assessment(draft: Draft, config: AssessConfig, models: Models, inputs: Inputs) -> None:
    """Measure and write; the body of the stage."""
    record_access(inputs.testset, "the tiny recipe's assessment", models.chat.id)
    record_access(inputs.tokens, "the tiny recipe's assessment", models.base.id)
    text = compressed(inputs.corpus)
    engines = {name: Engine.open(artifact.path) for name, artifact in models._asdict().items()}
    documents = _score_text(engines["base"], inputs.tokens, config)
    unseen = bits_per_byte(documents)
    if isinstance(unseen, Reason):
        raise DataError(f"Unseen text has no score: {unseen.message} Use a corpus of more files.")
    examples = list(read_questions(inputs.testset))
    asked = [each for each in examples if not each.refusal and each.kind != "name"]
    asked = asked[: config.answers]
    named = [each for each in examples if each.known is not None][: config.names]
    likelihood = {name: _score_answers(engine, asked) for name, engine in engines.items()}
    parts = {"base": asked, "chat": asked, "int8": asked[: config.int8_answers]}
    spoken = {name: answer(engines[name], part, config) for name, part in parts.items()}
    recalled = answer(engines["chat"], named, config)
    rows = _compare_models(asked, likelihood, spoken)
    write_json(draft.file("assessment.json"), {
        "models": {name: artifact.id for name, artifact in models._asdict().items()},
        "xz": text,
        "text": unseen._asdict(),
        "documents": [score._asdict() for score in documents],
        "rows": {name: row.plain() for name, row in rows.items()},
        "ended": ended(spoken["chat"] + recalled, asked + named)._asdict(),
        "refusals": refusals(named, recalled),
    })  # fmt: skip
    lines = [
        shown(example, {name: said[i] for name, said in spoken.items() if i < len(said)})
        for i, example in enumerate(asked)
    ]
    lines += [shown(each, {"chat": said}) for each, said in zip(named, recalled, strict=True)]
    write_text(draft.file("answers.jsonl"), "".join(json.dumps(x) + "\n" for x in lines))
    draft.numbers |= {"bits per byte": unseen.estimate, "xz": text["alone"]}


def compressed(corpus: Artifact) -> dict[str, float]:
    """Bits per byte of test under one xz -9e: alone, and given the training text.

    Given means xz(train + test) - xz(train): a compressor that has read what the model has.
    """
    parts = {
        split: b"".join(d.text.encode() for d in read_split(corpus, split))
        for split in ("train", "test")
    }

    def size(data: bytes) -> int:
        return len(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME))

    with ThreadPoolExecutor() as pool:  # xz lets go of the interpreter's lock
        alone, train, both = pool.map(
            size, (parts["test"], parts["train"], parts["train"] + parts["test"])
        )
    bits = 8 / len(parts["test"])
    return {"alone": alone * bits, "given_train": (both - train) * bits}


def _score_text(engine: Engine, tokens: Artifact, config: AssessConfig) -> list[DocumentScore]:
    """Nats of every test document under the base model."""
    shard, place = Shard.open(tokens, "test"), engine.model.head.device
    documents = (
        (name, shard.document_ids(i), int(shard.bytes[i])) for i, name in enumerate(shard.names)
    )
    dtype, window = device.compute_dtype(place), engine.context_length
    with torch.autocast(place.type, dtype, enabled=dtype != torch.float32):
        return score_documents(
            engine.model,
            documents,
            bos=engine.tokenizer.specials[DOCUMENT_END],
            window=window,
            stride=max(window // 2, window - config.overlap),
            batch_tokens=config.batch_tokens,
        )


def _score_answers(engine: Engine, examples: Sequence[ChatExample]) -> list[DocumentScore]:
    """Nats of every reference answer."""
    conversations = [example.messages for example in examples]
    names = [example.group for example in examples]
    return score_conversations(engine.model, engine.tokenizer, conversations, names=names)


def answer(engine: Engine, examples: Sequence[ChatExample], config: AssessConfig) -> list[Answer]:
    """What a model answers to each example's last question."""
    sampling = Sampling(max_tokens=config.max_tokens)
    found = engine.generate([example.messages[:-1] for example in examples], sampling)
    return [Answer(each.text, details={"finish_reason": each.finish_reason}) for each in found]


def _compare_models(
    asked: Sequence[ChatExample],
    likelihood: dict[str, list[DocumentScore]],
    spoken: dict[str, list[Answer]],
) -> dict[str, ComparisonRow]:
    """Chat against base, and int8 against chat, in pairs."""
    samples = [sample(example) for example in asked]
    near = {name: score_all(similarity(), samples, spoken[name]) for name in ("base", "chat")}
    return {
        "answers": compare_likelihood("Reference answers", likelihood["chat"], likelihood["base"]),
        "similarity": compare_scores(
            "Edit similarity to the reference", near["chat"], near["base"]
        ),
        "answers_int8": compare_likelihood(
            "Reference answers, int8", likelihood["int8"], likelihood["chat"]
        ),
    }


def ended(answers: Sequence[Answer], examples: Sequence[ChatExample]) -> Any:
    """Share of answers that the model ended itself."""
    values = [float(each.details["finish_reason"] == "stop") for each in answers]
    return rate(values, [example.group for example in examples])


def refusals(named: Sequence[ChatExample], answers: Sequence[Answer]) -> dict[str, Any]:
    """Rates of refusal for made-up and for known names, and their difference.

    Known names are also told apart by `exposure`: asked in training, or only read.
    """
    refused: dict[str, list[float]] = {}
    groups: dict[str, list[str]] = {}
    for example, said in zip(named, answers, strict=True):
        for kind in ("known", example.exposure) if example.known else ("unknown",):
            refused.setdefault(kind, []).append(float(is_refusal(said.text)))
            groups.setdefault(kind, []).append(example.group)
    rates = {kind: rate(values, groups[kind]) for kind, values in refused.items()}
    difference = difference_of_rates(
        refused["unknown"], refused["known"], groups["unknown"], groups["known"]
    )
    return {name: row._asdict() for name, row in {**rates, "difference": difference}.items()}


def shown(example: ChatExample, answers: dict[str, Answer]) -> dict[str, Any]:
    """One line of answers.jsonl."""
    score, own = similarity(), sample(example)
    return {
        "id": example.id,
        "kind": "refusal" if example.refusal else example.kind,
        "prompt": example.messages[-2].content,
        "reference": example.messages[-1].content,
        "answers": {
            name: {"text": said.text, "score": getattr(score(own, said), "value", None)}
            for name, said in answers.items()
        },
    }
