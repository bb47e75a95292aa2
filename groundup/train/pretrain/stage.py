"""Pre-training: a base model from token shards, at a short context and then at its full one.

Most tokens are spent at a context of 256, where attention is cheap; a last stretch at the full
context teaches long distances. The learning rate falls over both as over one run. A preset's shape
is trained by its own objective; without one, a decoder of a depth by the next token.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import Field, model_validator
from torch import nn

from groundup.core import Artifact, Config, ConfigError, Draft, changed, device, produce, record
from groundup.embeddings import load_vectors
from groundup.kernels import LossSum
from groundup.model import Derived, ModelConfig, Transformer, WithHead, from_depth, preset, save
from groundup.tokenizer import Loader, Reading, load_tokenizer, open_text

from ..batches import Batch, placed, split
from ..checkpoint.store import resume
from ..loop import Plan, train
from ..objectives.losses import RouterConfig, routed
from ..objectives.objective import NoiseConfig, Objective, ObjectiveName, Setting
from ..objectives.table import objective
from ..objectives.vocabulary import vocabulary
from ..optim.config import OptimConfig
from ..optim.optimizer import Optimizer
from ..optim.schedule import schedule
from ..precision import Precision
from ..services import services

NOISE: dict[ObjectiveName, tuple[str, ...]] = {
    "causal": (),
    "prefix": ("dynamic",),
    "middle": ("dynamic", "middle_rate", "suffix_first", "characters"),
    "masked": ("dynamic", "rate", "whole_words"),
    "boundary": ("dynamic", "rate", "whole_words"),
    "next_sentence": ("dynamic", "rate", "whole_words"),
    "corruption": ("dynamic", "rate", "mean_length"),
    "denoising": ("dynamic", "rate", "mean_length", "permute"),
}
"""What each objective reads of `noise`."""


class PretrainConfig(Config):
    """What to train, on how much, and how."""

    depth: int = Field(default=5, ge=1)
    """Layers; width, heads and feed-forward follow from it (see `groundup model describe`)."""
    width: int | None = Field(default=None, ge=1)
    """Features of a token, a multiple of 64; None: by the depth."""
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
    validations: int = Field(default=4, ge=1)
    """How often held-out text is scored during the run."""
    validation_tokens: int = Field(default=16_384, ge=1)
    """Tokens of held-out text that are scored each time."""
    save_seconds: float = Field(default=15.0, ge=0)
    """Time between checkpoints."""
    preset: str | None = None
    """Published shape to train, such as `bert-tiny`, in place of `depth`; the vocabulary is the
    tokenizer's, the context is `context_length`."""
    layers: int | None = Field(default=None, ge=1)
    """Layers of the preset's shape; None: its own number."""
    objective: ObjectiveName | None = None
    """What to train it to do; None: what the preset was trained to do, and the next token else."""
    noise: NoiseConfig = NoiseConfig()
    """How the objective damages text."""
    router: RouterConfig = RouterConfig()
    """What keeps the routers of experts useful."""

    @model_validator(mode="after")
    def check(self) -> "PretrainConfig":
        """Refuse a preset that there is not, an objective for another kind, and what is unread."""
        wanted, shape = self.wanted(), None if self.preset is None else preset(self.preset)
        kind = "decoder" if shape is None else shape.config.kind
        if wanted.kind != kind:
            raise ConfigError(
                f"objective={wanted.name!r} trains a model of kind {wanted.kind!r}, and "
                f"{self.preset or 'a model of a depth'} is of kind {kind!r}; "
                + (f"try objective={shape.objective!r}." if shape else "give a preset.")
            )
        given, own = self.depth, PretrainConfig.model_fields["depth"].default
        if shape is not None and given != own:
            raise ConfigError(
                f"depth={given} came with preset={self.preset!r}, which has its own "
                f"{shape.config.layers} layers; leave one of them out."
            )
        if shape is not None and self.width is not None:
            raise ConfigError(
                f"width={self.width} came with preset={self.preset!r}, which has its own "
                f"{shape.config.width} features; leave one of them out."
            )
        if shape is None and self.layers is not None:
            raise ConfigError(
                f"layers={self.layers} changes a preset's shape, and there is no preset; give "
                f"depth={self.layers}, or a preset."
            )
        unread = [name for name in changed(self.noise) if name not in NOISE[wanted.name]]
        if unread:
            told = ", ".join(NOISE[wanted.name]) or "none of them"
            raise ConfigError(
                f"noise.{unread[0]} is set, and objective={wanted.name!r} does not read it; it "
                f"reads {told}."
            )
        return self

    def wanted(self) -> Objective:
        """The objective: the one given, the preset's own, or the next token."""
        own = "causal" if self.preset is None else preset(self.preset).objective
        return objective(self.objective or own)

    def shape(self, vocab_size: int) -> ModelConfig:
        """The model's configuration; it keeps that prompts are read both ways, if they are."""
        kept: dict[str, Any] = {"prefix": self.wanted().name == "prefix"}
        if self.preset is None:
            return self.derived(vocab_size).config.model_copy(update=kept)
        kept |= {"vocab_size": vocab_size, "context_length": self.context_length}
        if self.layers is not None:
            kept["layers"] = self.layers
        return ModelConfig(**(dict(preset(self.preset).config) | kept))

    def derived(self, vocab_size: int) -> Derived:
        """A decoder's sizes from its depth, with their reasons."""
        return from_depth(self.depth, vocab_size, self.context_length, width=self.width)


class Stretch(NamedTuple):
    """A part of the run at one context length."""

    loader: Loader
    start: int
    """Its first step."""


class Learner(NamedTuple):
    """A model with what it is trained to do."""

    body: Transformer
    trained: nn.Module
    """The body, or the body with the objective's head."""
    objective: Objective
    setting: Setting

    def loss(self, router: RouterConfig) -> Callable[..., LossSum]:
        """The objective's loss, with the routers' where there are experts."""
        experts = self.body.config.feedforward.experts
        return self.objective.loss if experts is None else routed(
            self.objective.loss, router, experts.chosen
        )  # fmt: skip


def pretrain(
    config: PretrainConfig,
    tokens: Artifact,
    tokenizer: Artifact,
    out: Path,
    *,
    vectors: Artifact | None = None,
) -> Artifact:
    """Train a base model; a run that was stopped goes on from its last checkpoint.

    tokens     shards made by `groundup tokens`, or a mixture of such
    tokenizer  the tokenizer that made them; it is copied into the model
    vectors    vectors of ids, each named by its number, with which the embedding begins

    Raises ConfigError if the shards are too few or of another tokenizer, or if that lacks a special
    token of the objective.
    """
    made_with = {parent.name: parent.id for parent in tokens.parents}.get("tokenizer")
    if made_with != tokenizer.id:
        raise ConfigError(
            f"{tokens.path} was made with tokenizer {str(made_with)[:12]}, not with "
            f"{tokenizer.id[:12]} in {tokenizer.path}; give the one it was made with."
        )
    setting = setting_of(config, tokenizer)
    longest = max(config.length, config.context_length)
    config.wanted().check(config.shape(len(setting.known.sizes)), setting, longest)
    return produce(
        out,
        kind="model",
        stage="pretrain",
        version=2,
        config=config,
        parents={"tokens": tokens, "tokenizer": tokenizer}
        | ({} if vectors is None else {"vectors": vectors}),
        write=lambda draft: write_base(draft, config, setting, tokens, tokenizer, vectors),
    )


def setting_of(config: PretrainConfig, tokenizer: Artifact) -> Setting:
    """What the objective's batches depend on besides the text."""
    words = load_tokenizer(tokenizer.path)
    return Setting(vocabulary(words), config.noise, words, config.seed)


def write_base(
    draft: Draft,
    config: PretrainConfig,
    setting: Setting,
    tokens: Artifact,
    tokenizer: Artifact,
    vectors: Artifact | None,
) -> None:
    """Train and save; the body of the stage."""
    vocab_size = len(setting.known.sizes)
    if config.preset is None:
        record.say(str(config.derived(vocab_size)))
    body = Transformer(config.shape(vocab_size), seed=config.seed)
    if vectors is not None:
        begin(body, vectors)
    body = body.to(device.pick())
    run(draft, config, learner(config, body, setting), tokens)
    save(body, draft.path, tokenizer.path)


@torch.no_grad()
def begin(body: Transformer, vectors: Artifact) -> None:
    """Give the embedding's rows the vectors of their ids, centred, with 1/20 as their RMS.

    That is little more than drawn rows have, which ids without a vector keep: rows begin alike in
    size. Raises ConfigError if the vectors are of other ids or of another width.
    """
    found, table = load_vectors(vectors.path), body.embed_tokens.weight
    ids = [int(word) if word.isdecimal() else -1 for word in found.words]
    if not all(0 <= id < len(table) for id in ids) or found.matrix.shape[1] != table.shape[1]:
        raise ConfigError(
            f"{vectors.path} must name vectors of width {table.shape[1]} by ids below "
            f"{len(table):,}; it has width {found.matrix.shape[1]} and names such as "
            f"{', '.join(found.words[:3])}. Make vectors of these tokens' ids."
        )
    matrix = torch.from_numpy(found.matrix)
    matrix = matrix - matrix.mean(0)
    size = matrix.norm(dim=1).mean().clamp(min=1e-12)
    table[torch.tensor(ids)] = matrix / size * (0.05 * table.shape[1] ** 0.5)


def learner(config: PretrainConfig, body: Transformer, setting: Setting) -> Learner:
    """The model with its objective's head, which is trained beside it and not kept.

    SpanBERT's and BERT's heads serve pre-training alone.
    """
    wanted = config.wanted()
    if wanted.head is None:
        return Learner(body, body, wanted, setting)
    head = wanted.head(body.config).to(body.head.device)
    return Learner(body, WithHead(body, head), wanted, setting)


def run(draft: Draft, config: PretrainConfig, learner: Learner, tokens: Artifact) -> None:
    """The loop with its services around it."""
    place, model = device.pick(), learner.trained
    stretches, steps = stretch(config, open_text(tokens, "train"))
    optimizer = Optimizer(model.named_parameters(), config.optim)
    resumed = resume(draft.scratch, model, optimizer)
    compiled = services.compiling(learner.body, resumed)

    def batches(step: int) -> list[Batch]:
        now = next(each for each in reversed(stretches) if step >= each.start)
        rows = now.loader.batch(step - now.start)
        made = learner.objective.batch(learner.setting, rows, step)
        return split(placed(made, place), config.micro_batches)

    precision = Precision(device.compute_dtype(place))
    plan = Plan(steps, resumed.step, precision)
    rate = schedule(config.optim, steps)
    every = max(1, steps // max(config.validations, 1))
    held_out = validation(config, learner, tokens, precision)
    whole = steps * config.batch_tokens
    with (
        services.measured(draft, resumed) as metrics,
        record.progress("base", whole, "tokens") as bar,
    ):
        bar.advance(resumed.step * config.batch_tokens)
        training = train(model, batches, learner.loss(config.router), optimizer, rate, plan)
        training = services.logging(training, metrics, bar)
        training = services.validating(training, held_out, every, metrics)
        training = services.saving(training, draft.scratch, model, optimizer, config.save_seconds)
        for _ in training:
            pass
    draft.numbers |= {"parameters": sum(p.numel() for p in learner.body.parameters())}
    draft.numbers |= {"steps": steps, "tokens": whole, "compiled": compiled}
    draft.numbers |= {"began": draft.began}
    draft.numbers |= {"objective": learner.objective.name}
    draft.numbers |= services.summary(draft.log / services.METRICS)


def stretch(config: PretrainConfig, text: Reading) -> tuple[list[Stretch], int]:
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
            Loader(
                text.shards, config.batch_tokens // length, length, config.seed, text.mixture, part
            ),
            start,
        )
        for length, start, end, part in parts
        if end > start
    ], steps


def validation(
    config: PretrainConfig, learner: Learner, tokens: Artifact, precision: Precision
) -> Callable[[], dict[str, float]]:
    """Score windows of held-out text, as many as `validation_tokens` hold, spread over the split.

    A decoder is told in bits a byte too; the same is hidden from the others each time.
    """
    place = device.pick()
    rows = max(1, config.validation_tokens // config.length)
    loader = Loader(open_text(tokens, "validation").shards, rows, config.length, config.seed)
    made = learner.objective.batch(learner.setting, loader.batch(0), 0)
    sizes = None
    if learner.objective.kind == "decoder":
        sizes = torch.from_numpy(learner.setting.known.sizes).to(place)
    batches = split(placed(made, place), 16)
    return services.scoring(
        learner.trained, batches, precision, loss=learner.objective.loss, sizes=sizes
    )  # fmt: skip
