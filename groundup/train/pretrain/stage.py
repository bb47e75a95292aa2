"""Pre-training: a model from token shards, new or on from a base.

A preset's shape is trained by its own objective; without one, a decoder of a depth by the next
token. The learning rate runs over all stretches (stretches.py) as over one run.
"""

from functools import partial
from pathlib import Path
from typing import NamedTuple

from groundup.core import (
    Artifact,
    ArtifactError,
    ConfigError,
    Draft,
    device,
    how_run,
    produce,
    record,
)
from groundup.model import Transformer, WithHead, open_config, save
from groundup.tokenizer import load_tokenizer, open_text

from ..checkpoint.contract import Identity, shard_hashes
from ..checkpoint.store import refuse_unfinished
from ..objectives.objective import Setting
from ..objectives.vocabulary import vocabulary
from ..parallel.launch import launched, together
from ..parallel.mesh import Mesh
from .begin import begin, resolved
from .config import PretrainConfig
from .preflight import Setup, preflight
from .run import PLAINLY, Beside, Learner, Run
from .stretches import longest_of


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
    beside: Beside = PLAINLY,
) -> Artifact:
    """Train a base model; a run that was stopped goes on from its last checkpoint.

    tokens     shards made by `groundup tokens`, or a mixture of such
    tokenizer  the tokenizer that made them, or a model that carries it; it is copied into the model
    base       a model to go on from, imported or trained here, in place of a new one
    vectors    vectors of ids, each named by its number, with which the embedding begins
    beside     how it is run and watched: processes, profile, samples

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
    config.wanted().check(shape, setting, max(config.context_length, longest_of(config)))
    identity = identity_of(config, inputs)
    refuse_unfinished(out, identity, how_run(PretrainConfig))
    with launched(beside.mesh, seed=config.seed) as mesh:
        beside.check(mesh, config)
        return together(
            mesh,
            out,
            lambda write: produce(
                out,
                kind="model",
                stage="pretrain",
                version=2,
                config=config,
                parents=inputs.parents(),
                write=write,
            ),
            partial(write_base, config, setting, inputs, identity, Where(mesh, beside)),
        )


class Where(NamedTuple):
    """On which processes a run runs, and how it is watched."""

    mesh: Mesh
    beside: Beside


def identity_of(config: PretrainConfig, inputs: Inputs) -> Identity:
    """What a run is, so that its checkpoints are not taken for another's."""
    return Identity(
        tokenizer=inputs.tokenizer.id,
        objective=config.wanted().name,
        shards=shard_hashes(inputs.tokens),
        settings=config.deciding(),
        parents=inputs.parents(),
    )


def check_tokenizer(inputs: Inputs) -> None:
    """Refuse a tokenizer that did not make the tokens, and a base with another one."""
    tokens, tokenizer = inputs.tokens, inputs.tokenizer
    tokens.require_kind("tokens")
    made_with = next(parent for parent in tokens.parents if parent.name == "tokenizer")
    if made_with.id != tokenizer.id and not is_carried(tokenizer, tokens.path / made_with.path):
        raise ConfigError(
            f"{tokens.path} was made with tokenizer {made_with.id[:12]}, not with "
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


def is_carried(given: Artifact, own: Path) -> bool:
    """Whether a model carries the very tokenizer that made the tokens, if that is still there."""
    try:
        return load_tokenizer(given.path).digest == load_tokenizer(own).digest
    except ArtifactError:
        return False


def setting_of(config: PretrainConfig, tokenizer: Artifact) -> Setting:
    """What the objective's batches depend on besides the text."""
    words = load_tokenizer(tokenizer.path)
    return Setting(vocabulary(words), config.noise, words, config.seed)


def write_base(
    config: PretrainConfig,
    setting: Setting,
    inputs: Inputs,
    identity: Identity,
    where: Where,
    draft: Draft,
) -> None:
    """Train and save; the body of the stage, on every process."""
    base, vectors = (None if one is None else one.path for one in (inputs.base, inputs.vectors))
    vocab_size = len(setting.known.sizes)
    shape = config.shape(vocab_size) if base is None else open_config(base)
    train, held_out = (open_text(inputs.tokens, split) for split in ("train", "validation"))
    beside = where.beside
    preflight(config, shape, train, held_out, Setup(where.mesh, beside.zero, beside.ignore_memory))
    if base is None and config.preset is None:
        record.say(str(config.derived(vocab_size)))
    body = begin(config, vocab_size, base, vectors).to(device.pick())
    run = Run(
        draft, config, learner(config, body, setting),
        identity._replace(model=body.config.plain()), beside=where.beside, mesh=where.mesh,
    )  # fmt: skip
    run.go()
    if where.mesh.is_first:
        save(run.model(), draft.path, base or inputs.tokenizer.path)


def learner(config: PretrainConfig, body: Transformer, setting: Setting) -> Learner:
    """The model with its objective's head, which is trained beside it and not kept.

    SpanBERT's and BERT's heads serve pre-training alone.
    """
    wanted = config.wanted()
    if wanted.head is None:
        return Learner(body, body, wanted, setting)
    head = wanted.head(body.config).to(body.head.device)
    return Learner(body, WithHead(body, head), wanted, setting)
