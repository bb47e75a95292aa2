"""The model: a tokenizer of both languages and a tiny encoder–decoder, trained on pairs.

Pairs of like length run together, so little is padding. The target begins with the end of a text,
which is also its own last token: the frame that `groundup generate` uses. The one loop trains.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from pydantic import Field

from groundup.core import Artifact, Config, ConfigError, DataError, Draft, device, produce, record
from groundup.model import ModelConfig, Transformer, preset, save
from groundup.tokenizer import (
    DOCUMENT_END,
    TokenizerConfig,
    load_tokenizer,
    write_tokenizer,
)
from groundup.train import (
    METRICS_FILE,
    Checkpoints,
    LoopOptions,
    MicroBatch,
    OptimConfig,
    Optimizer,
    Precision,
    SourceTarget,
    batch_to_device,
    evenly_spaced,
    log_steps,
    make_lr_schedule,
    open_metrics,
    save_checkpoints,
    sequence_batch,
    sequence_to_sequence_loss,
    summarise_metrics,
    train,
    validate_steps,
    validation_scorer,
)

from .pairs import SentencePair, read_pairs


class TrainingConfig(Config):
    """What to train, how long and how fast."""

    preset: str = "t5-tiny"
    """Shape of the model: a tiny encoder–decoder."""
    tied: bool = False
    """Whether the output head is the input embedding; T5's is, T5 1.1's is free."""
    epochs: float = Field(default=4.0, gt=0)
    """How often each pair is seen."""
    batch_tokens: int = Field(default=1024, ge=1)
    """Most tokens of one step, the longer side of every pair counted, padding included."""
    noise: float = Field(default=0.0, ge=0, lt=1)
    """Share of the tokens read on either side that are replaced by chance; targets stay as they
    are. It delays learning by heart, and learning: worth it in long runs alone."""
    optim: OptimConfig = OptimConfig(warmup=0.05, decay=0.7)
    """Optimizer and schedule."""
    validations: int = Field(default=8, ge=1)
    """How often held-out pairs are scored."""
    seed: int = 0
    """Of the first weights and of the order of the pairs."""


class Encoded(NamedTuple):
    """Pairs as ids."""

    pairs: list[SourceTarget]
    start: int


def learn_pair_tokenizer(config: TokenizerConfig, pairs: Artifact, out: Path) -> Artifact:
    """One vocabulary for both languages, from the training pairs."""
    texts = [text for pair in read_pairs(pairs, "train") for text in pair[1:]]
    return produce(
        out, kind="tokenizer", stage="translate_tokenizer", version=1, config=config,
        parents={"pairs": pairs}, write=lambda draft: write_tokenizer(draft, config, texts),
    )  # fmt: skip


def train_model(
    config: TrainingConfig, pairs: Artifact, tokenizer: Artifact, out: Path
) -> Artifact:
    """Train a model on pairs; a run that was stopped goes on from its last checkpoint.

    Raises ConfigError for an unknown preset, DataError for pairs that do not fit its context.
    """
    return produce(
        out, kind="model", stage="translate", version=1, config=config,
        parents={"pairs": pairs, "tokenizer": tokenizer},
        write=lambda draft: _write_model(draft, config, pairs, tokenizer),
    )  # fmt: skip


def _write_model(
    draft: Draft, config: TrainingConfig, pairs: Artifact, tokenizer: Artifact
) -> None:
    """The body of the stage: the loop with its services around it."""
    known = load_tokenizer(tokenizer.path)
    place = device.default_device()
    shape = model_config(config, known.vocab_size)
    model = Transformer(scaled(shape), seed=config.seed).to(place)
    rows = {
        split: encode_pairs(read_pairs(pairs, split), known.encode, known.specials[DOCUMENT_END])
        for split in ("train", "validation")
    }
    _check_length([*rows["train"].pairs, *rows["validation"].pairs], model.config.context_length)
    learnt = rows["train"]
    order = _batches_of(learnt.pairs, config)
    optimizer = Optimizer(model.named_parameters(), config.optim)
    checkpoints = Checkpoints(draft.scratch, {"model": model, "optimizer": optimizer})
    resumed = checkpoints.resume()
    held_order = _batches_of(rows["validation"].pairs, config.model_copy(update={"epochs": 1.0}))
    held = [batch_to_device(batch_of(rows["validation"], chosen), place) for chosen in held_order]
    precision = Precision(device.compute_dtype(place))
    score = validation_scorer(model, held, precision, loss=sequence_to_sequence_loss)
    sizes = [batch_of(learnt, chosen).ids.numel() for chosen in order]
    with (
        open_metrics(draft, resumed) as metrics,
        record.progress("translate", sum(sizes), "tokens") as bar,
    ):
        bar.advance(sum(sizes[: resumed.step]))
        steps = train(
            model,
            lambda i: [batch_to_device(_noisy(batch_of(learnt, order[i]), config, i), place)],
            sequence_to_sequence_loss, optimizer, make_lr_schedule(config.optim, len(order)),
            LoopOptions(len(order), resumed.step, precision),
        )  # fmt: skip
        steps = log_steps(steps, metrics, bar)
        steps = validate_steps(steps, score, evenly_spaced(len(order), config.validations), metrics)
        for _ in save_checkpoints(steps, checkpoints):
            pass
    save(_folded(model, shape), draft.path, tokenizer.path)
    draft.numbers |= {"parameters": sum(p.numel() for p in model.parameters())}
    draft.numbers |= {"steps": len(order)} | summarise_metrics(draft.log / METRICS_FILE)


def model_config(config: TrainingConfig, vocab_size: int) -> ModelConfig:
    """The preset's shape for this vocabulary; ConfigError if it is no encoder–decoder's."""
    shape = preset(config.preset).config
    if shape.kind != "encoder_decoder":
        raise ConfigError(
            f"{config.preset} is a {shape.kind}; translating needs an encoder_decoder, such as "
            "t5-tiny."
        )
    updates = {"vocab_size": vocab_size, "tied_embeddings": config.tied}
    if not config.tied:  # what a free head meets is not scaled, as in T5 1.1
        updates["output"] = shape.output.model_copy(update={"scale": 1.0})
    return shape.model_copy(update=updates)


def scaled(shape: ModelConfig) -> ModelConfig:
    """The shape as it is trained: its scores times 1 / sqrt(head_dim), also where T5's are not.

    Muon moves every matrix equally far. Without the factor the same step moves scores
    sqrt(head_dim) times as far, and attention to the source is found late (docs/log/2026-11.md).
    """
    attention = shape.attention.model_copy(update={"scale": None})
    return shape.model_copy(update={"attention": attention})


def _folded(model: Transformer, shape: ModelConfig) -> Transformer:
    """The same function in the preset's shape: what scores are scaled by goes into the queries."""
    part = shape.attention
    if part.scale is None:
        return model
    factor = 1 / (part.scale * math.sqrt(part.head_dim))
    state = {
        name: tensor * factor if ".q_proj." in name else tensor
        for name, tensor in model.state_dict().items()
    }
    made = Transformer(shape, seed=None)
    made.load_state_dict(state)
    return made


def encode_pairs(
    pairs: Sequence[SentencePair], encode: Callable[[str], list[int]], end: int
) -> Encoded:
    """Pairs as ids, each text followed by its end."""
    return Encoded(
        [SourceTarget([*encode(p.source), end], [*encode(p.target), end]) for p in pairs], end
    )


def _check_length(pairs: Sequence[SourceTarget], context_length: int) -> None:
    """Raise DataError if one is longer than the model's context."""
    longest = max(length(pair) for pair in pairs)
    if longest > context_length:
        raise DataError(
            f"A pair has {longest} tokens and the context {context_length}; set a shorter "
            "`longest` sentence."
        )


def length(pair: SourceTarget) -> int:
    """Tokens of the longer side."""
    return max(len(pair.source), len(pair.target))


def _batches_of(pairs: Sequence[SourceTarget], config: TrainingConfig) -> list[list[int]]:
    """Places of the pairs of every step: shuffled in each epoch, like lengths together."""
    lengths = np.array([length(pair) for pair in pairs])
    steps: list[list[int]] = []
    for epoch in range(int(np.ceil(config.epochs))):
        draws = np.random.default_rng([config.seed, epoch])
        near = np.argsort(lengths + draws.uniform(0, 8, len(lengths)), kind="stable")
        made = truncate_pairs(near.tolist(), lengths.tolist(), config.batch_tokens)
        share = min(1.0, config.epochs - epoch)
        kept = draws.permutation(len(made))[: max(1, round(share * len(made)))]
        steps += [made[i] for i in kept.tolist()]
    return steps


def truncate_pairs(order: Sequence[int], lengths: Sequence[int], tokens: int) -> list[list[int]]:
    """Cut an order into runs whose longest times their number is at most `tokens`.

    >>> truncate_pairs([0, 1, 2], [3, 4, 9], 8)
    [[0, 1], [2]]
    """
    runs: list[list[int]] = []
    for place in order:
        longest = max((lengths[i] for i in runs[-1]), default=0) if runs else 0
        if not runs or max(longest, lengths[place]) * (len(runs[-1]) + 1) > tokens:
            runs.append([])
        runs[-1].append(place)
    return runs


def batch_of(rows: Encoded, chosen: Sequence[int]) -> MicroBatch:
    """The batch of these pairs, one a row."""
    return sequence_batch([[rows.pairs[i]] for i in chosen], start=rows.start, multiple=8)


def _noisy(batch: MicroBatch, config: TrainingConfig, step: int) -> MicroBatch:
    """The batch with a share of what is read replaced by ids that it holds elsewhere.

    Source: word dropout, as in Sennrich and Zhang 2019, arXiv:1905.11901, for few pairs.
    """
    assert batch.source is not None, "a translation has a source"
    generator = torch.Generator().manual_seed(config.seed * 1_000_003 + step)
    sides = []
    for ids in (batch.source, batch.ids):
        others = ids.flatten()[torch.randint(ids.numel(), ids.shape, generator=generator)]
        sides.append(
            torch.where(torch.rand(ids.shape, generator=generator) < config.noise, others, ids)
        )
    return batch._replace(source=sides[0], ids=sides[1])
