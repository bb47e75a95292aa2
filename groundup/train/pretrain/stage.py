"""Pre-training: a model from token shards, from scratch or continued from a base.

A preset is trained with its own objective, otherwise a decoder of a given depth on the next token.
One learning rate schedule spans all phases (stretches.py).
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
    """Input artifacts of a run."""

    tokens: Artifact
    tokenizer: Artifact
    base: Artifact | None = None
    vectors: Artifact | None = None

    def parents(self) -> dict[str, Artifact]:
        """The given artifacts by name."""
        return {name: each for name, each in self._asdict().items() if each is not None}


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
    """Train a base model; a stopped run resumes from its last checkpoint.

    tokens     shards made by `groundup tokens`, or a mixture of such
    tokenizer  the tokenizer that made them, or a model that contains it; copied into the model
    base       model to continue from, imported or trained here, instead of a new one
    vectors    vectors named by token ids, to initialise the embedding
    beside     execution and monitoring: processes, profile, samples

    Raises ConfigError if the shards are too few or of another tokenizer, or if the tokenizer lacks
    a special token of the objective.
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
    """Mesh and options of a run."""

    mesh: Mesh
    beside: Beside


def identity_of(config: PretrainConfig, inputs: Inputs) -> Identity:
    """What identifies a run, so that its checkpoints are not resumed by another."""
    return Identity(
        tokenizer=inputs.tokenizer.id,
        objective=config.wanted().name,
        shards=shard_hashes(inputs.tokens),
        settings=config.deciding(),
        parents=inputs.parents(),
    )


def check_tokenizer(inputs: Inputs) -> None:
    """Reject a tokenizer that did not make the tokens, and a base with another tokenizer."""
    tokens, tokenizer = inputs.tokens, inputs.tokenizer
    tokens.require_kind("tokens")
    made_with = next(parent for parent in tokens.parents if parent.name == "tokenizer")
    if made_with.id != tokenizer.id and not is_carried(tokenizer, tokens.path / made_with.path):
        raise ConfigError(
            f"{tokens.path} was made with tokenizer {made_with.id[:12]}, not with "
            f"{tokenizer.id[:12]} in {tokenizer.path}; use the one it was made with."
        )
    if inputs.base is None or inputs.base.id == tokenizer.id:
        return
    own, used = (load_tokenizer(each.path).digest for each in (inputs.base, tokenizer))
    if own != used:
        raise ConfigError(
            f"{inputs.base.path} has tokenizer {own[:12]}, but {tokens.path} was made with "
            f"{used[:12]}; run: groundup tokens --tokenizer {inputs.base.path}."
        )


def is_carried(given: Artifact, own: Path) -> bool:
    """Whether a model contains the tokenizer at `own`; False if that is missing."""
    try:
        return load_tokenizer(given.path).digest == load_tokenizer(own).digest
    except ArtifactError:
        return False


def setting_of(config: PretrainConfig, tokenizer: Artifact) -> Setting:
    """What the objective's batches depend on, in addition to the text."""
    loaded = load_tokenizer(tokenizer.path)
    return Setting(vocabulary(loaded), config.noise, loaded, config.seed)


def write_base(
    config: PretrainConfig,
    setting: Setting,
    inputs: Inputs,
    identity: Identity,
    where: Where,
    draft: Draft,
) -> None:
    """Train and save; runs on every process."""
    base, vectors = (None if each is None else each.path for each in (inputs.base, inputs.vectors))
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
    """The model with its objective's head, which is trained too but not saved."""
    wanted = config.wanted()
    if wanted.head is None:
        return Learner(body, body, wanted, setting)
    head = wanted.head(body.config).to(body.head.device)
    return Learner(body, WithHead(body, head), wanted, setting)
