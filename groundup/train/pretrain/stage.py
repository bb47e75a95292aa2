"""Pre-training: a model from token shards, new or on from a base.

A preset's shape is trained by its own objective; without one, a decoder of a depth by the next
token. The learning rate runs over all stretches (stretches.py) as over one run.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from groundup.core import Artifact, ConfigError, Draft, device, produce, record
from groundup.kernels import LossSum
from groundup.model import Transformer, WithHead, open_config, save
from groundup.tokenizer import Loader, load_tokenizer, open_text

from ..batches import Batch, placed, split
from ..checkpoint.store import resume
from ..loop import Plan, train
from ..objectives.losses import RouterConfig, routed
from ..objectives.objective import Objective, Setting
from ..objectives.vocabulary import vocabulary
from ..optim.optimizer import Optimizer
from ..optim.schedule import schedule
from ..precision import Precision
from ..services import services
from .begin import begin, resolved
from .config import PretrainConfig
from .stretches import stretch


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


class Inputs(NamedTuple):
    """What a run is made from."""

    tokens: Artifact
    tokenizer: Artifact
    base: Artifact | None = None
    vectors: Artifact | None = None

    def parents(self) -> dict[str, Artifact]:
        """Those that are there, by name."""
        return {name: one for name, one in self._asdict().items() if one is not None}


def pretrain(
    config: PretrainConfig,
    tokens: Artifact,
    tokenizer: Artifact,
    out: Path,
    *,
    base: Artifact | None = None,
    vectors: Artifact | None = None,
) -> Artifact:
    """Train a base model; a run that was stopped goes on from its last checkpoint.

    tokens     shards made by `groundup tokens`, or a mixture of such
    tokenizer  the tokenizer that made them, or a model that carries it; it is copied into the model
    base       a model to go on from, imported or trained here, in place of a new one
    vectors    vectors of ids, each named by its number, with which the embedding begins

    Raises ConfigError if the shards are too few or of another tokenizer, or if that lacks a special
    token of the objective.
    """
    inputs = Inputs(tokens, tokenizer, base, vectors)
    own = None if base is None else open_config(base.path)
    if base is not None and own is not None:
        config = resolved(config, base, own)
    config.check_objective(own)
    check_tokenizer(inputs)
    setting = setting_of(config, tokenizer)
    shape = own or config.shape(len(setting.known.sizes))
    longest = max(config.context_length, *(part.length for part in config.parts()))
    config.wanted().check(shape, setting, longest)
    return produce(
        out,
        kind="model",
        stage="pretrain",
        version=2,
        config=config,
        parents=inputs.parents(),
        write=lambda draft: write_base(draft, config, setting, inputs),
    )


def check_tokenizer(inputs: Inputs) -> None:
    """Refuse a tokenizer that did not make the tokens, and a base with another one."""
    tokens, tokenizer = inputs.tokens, inputs.tokenizer
    made_with = {parent.name: parent.id for parent in tokens.parents}.get("tokenizer")
    if made_with != tokenizer.id:
        raise ConfigError(
            f"{tokens.path} was made with tokenizer {str(made_with)[:12]}, not with "
            f"{tokenizer.id[:12]} in {tokenizer.path}; give the one it was made with."
        )
    if inputs.base is None or inputs.base.id == tokenizer.id:
        return
    own, given = (load_tokenizer(one.path).digest for one in (inputs.base, tokenizer))
    if own != given:
        raise ConfigError(
            f"{inputs.base.path} has tokenizer {own[:12]}, and {tokens.path} was made with "
            f"{given[:12]}; make tokens with the base's: groundup tokens --tokenizer "
            f"{inputs.base.path}."
        )


def setting_of(config: PretrainConfig, tokenizer: Artifact) -> Setting:
    """What the objective's batches depend on besides the text."""
    words = load_tokenizer(tokenizer.path)
    return Setting(vocabulary(words), config.noise, words, config.seed)


def write_base(draft: Draft, config: PretrainConfig, setting: Setting, inputs: Inputs) -> None:
    """Train and save; the body of the stage."""
    base, vectors = (None if one is None else one.path for one in (inputs.base, inputs.vectors))
    vocab_size = len(setting.known.sizes)
    if base is None and config.preset is None:
        record.say(str(config.derived(vocab_size)))
    body = begin(config, vocab_size, base, vectors).to(device.pick())
    run(draft, config, learner(config, body, setting), inputs.tokens)
    save(body, draft.path, base or inputs.tokenizer.path)


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
