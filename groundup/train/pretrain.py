"""Pre-training: a base model from token shards, at a short context and then at its full one.

Most tokens are spent at a context of 256, where attention is cheap; a last stretch at the full
context teaches long distances. The learning rate falls over both as over one run.
"""

from pathlib import Path
from typing import NamedTuple

import torch
from pydantic import Field

from groundup.core import Artifact, Config, ConfigError, Draft, device, produce, record
from groundup.model import Transformer, from_depth, save
from groundup.tokenizer import Batch as LoaderBatch
from groundup.tokenizer import Loader, Shard, load_tokenizer

from . import services
from .batches import Batch, split
from .checkpoint import resume
from .loop import Plan, train
from .objectives import causal
from .optim import OptimConfig, Optimizer, schedule


class PretrainConfig(Config):
    """What to train, on how much, and how."""

    depth: int = Field(default=5, ge=1)
    """Layers; width, heads and feed-forward follow from it (see `groundup model describe`)."""
    tokens: int = Field(default=2_000_000, ge=1)
    """Training tokens, those seen again counted again."""
    batch_tokens: int = Field(default=2048, ge=1)
    """Tokens of one optimizer step."""
    length: int = Field(default=256, ge=1)
    """Context of the first stretch, tokens."""
    context_length: int = Field(default=2048, ge=1)
    """Context of the last stretch and of the finished model, tokens."""
    long_share: float = Field(default=0.12, ge=0, le=1)
    """Share of the tokens that is spent at the full context."""
    micro_batches: int = Field(default=1, ge=1)
    """Parts in which a step is computed; more need less memory and give the same gradient."""
    optim: OptimConfig = OptimConfig()
    """Optimizer and schedule."""
    seed: int = 0
    """Of the first weights and of the order of the text."""
    validations: int = 4
    """How often held-out text is scored during the run."""
    validation_tokens: int = 16_384
    """Tokens of held-out text that are scored each time."""
    save_seconds: float = 15.0
    """Time between checkpoints."""


class Stretch(NamedTuple):
    """A part of the run at one context length."""

    loader: Loader
    start: int
    """Its first step."""


def pretrain(config: PretrainConfig, tokens: Artifact, tokenizer: Artifact, out: Path) -> Artifact:
    """Train a base model; a run that was stopped goes on from its last checkpoint.

    tokens     shards made by `groundup tokens`
    tokenizer  the tokenizer that made them; it is copied into the model

    Raises ConfigError if the shards are too few or of another tokenizer.
    """
    made_with = {parent.name: parent.id for parent in tokens.parents}.get("tokenizer")
    if made_with != tokenizer.id:
        raise ConfigError(
            f"{tokens.path} was made with tokenizer {str(made_with)[:12]}, not with "
            f"{tokenizer.id[:12]} in {tokenizer.path}; give the one it was made with."
        )
    return produce(
        out,
        kind="model",
        stage="pretrain",
        version=1,
        config=config,
        parents={"tokens": tokens, "tokenizer": tokenizer},
        write=lambda draft: write_base(draft, config, tokens, tokenizer),
    )


def write_base(draft: Draft, config: PretrainConfig, tokens: Artifact, tokenizer: Artifact) -> None:
    """Train and save; the body of the stage."""
    vocab_size = load_tokenizer(tokenizer.path).vocab_size
    derived = from_depth(config.depth, vocab_size, config.context_length)
    record.say(str(derived))
    model = Transformer(derived.config, seed=config.seed).to(device.pick())
    run(draft, config, model, tokens)
    save(model, draft.path, tokenizer.path)


def run(draft: Draft, config: PretrainConfig, model: Transformer, tokens: Artifact) -> None:
    """The loop with its services around it."""
    place = device.pick()
    stretches, steps = stretch(config, Shard.open(tokens, "train"))
    optimizer = Optimizer(model.named_parameters(), config.optim)
    resumed = resume(draft.scratch, model, optimizer)
    compiled = services.compiling(model, resumed)

    def batches(step: int) -> list[Batch]:
        now = next(each for each in reversed(stretches) if step >= each.start)
        return split(windows(now.loader.batch(step - now.start), place), config.micro_batches)

    dtype = device.compute_dtype(place)
    plan = Plan(steps, resumed.step, dtype)
    rate = schedule(config.optim, steps)
    every = max(1, steps // max(config.validations, 1))
    held_out = services.scoring(model, validation_batches(config, tokens, place), dtype)
    whole = steps * config.batch_tokens
    with (
        services.measured(draft, resumed) as metrics,
        record.progress("base", whole, "tokens") as bar,
    ):
        bar.advance(resumed.step * config.batch_tokens)
        training = train(model, batches, causal, optimizer, rate, plan)
        training = services.logging(training, metrics, bar)
        training = services.validating(training, held_out, every, metrics)
        training = services.saving(training, draft.scratch, model, optimizer, config.save_seconds)
        for _ in training:
            pass
    draft.numbers |= {"parameters": sum(p.numel() for p in model.parameters())}
    draft.numbers |= {"steps": steps, "tokens": whole, "compiled": compiled}
    draft.numbers |= services.summary(draft.log / services.METRICS)


def stretch(config: PretrainConfig, shard: Shard) -> tuple[list[Stretch], int]:
    """The stretches of a run and its number of steps; each reads its own part of the text.

    Raises ConfigError if the tokens do not fill one step.
    """
    steps = config.tokens // config.batch_tokens
    if steps < 1 or config.batch_tokens < max(config.length, config.context_length):
        raise ConfigError(
            f"tokens={config.tokens:,} with batch_tokens={config.batch_tokens:,}, "
            f"length={config.length:,} and context_length={config.context_length:,} do not fill "
            "one step; expected tokens >= batch_tokens >= context_length, length."
        )
    long_steps = round(config.long_share * steps)
    border = 1 - long_steps / steps
    parts = [(config.length, 0, steps - long_steps, (0.0, border)),
             (config.context_length, steps - long_steps, steps, (border, 1.0))]  # fmt: skip
    return [
        Stretch(
            Loader([shard], config.batch_tokens // length, length, config.seed, part=part), start
        )
        for length, start, end, part in parts
        if end > start
    ], steps


def windows(batch: LoaderBatch, place: torch.device) -> Batch:
    """A loader's windows as a batch on a device."""
    ids = torch.from_numpy(batch.ids).to(place)
    return Batch(
        ids[:, :-1],
        ids[:, 1:],
        torch.from_numpy(batch.weights).to(place),
        torch.from_numpy(batch.documents).to(place),
        batch.names,
    )


def validation_batches(
    config: PretrainConfig, tokens: Artifact, place: torch.device
) -> list[Batch]:
    """Windows of held-out text, as many as `validation_tokens` hold, spread over the split."""
    rows = max(1, config.validation_tokens // config.length)
    loader = Loader([Shard.open(tokens, "validation")], rows, config.length, config.seed)
    return split(windows(loader.batch(0), place), 16)
