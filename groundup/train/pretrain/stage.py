"""Pre-training: a model from token shards, from scratch or continued from a base.

A preset is trained with its own objective, otherwise a decoder of a given depth on the next token.
One learning rate schedule spans all phases (phases.py).
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
    produce,
    record,
    unhashed_fields,
)
from groundup.model import ModelWithHead, Transformer, open_config, save
from groundup.tokenizer import load_tokenizer, open_shards

from ..checkpoint.contract import RunIdentity, shard_hashes
from ..checkpoint.store import check_unfinished_run
from ..objectives.objective import ObjectiveContext
from ..objectives.token_properties import token_properties_of
from ..parallel.launch import joined_processes, produce_together
from ..parallel.mesh import Mesh
from .config import PretrainConfig
from .initialize import initial_model, resolve_on_base
from .phases import max_length
from .preflight import PreflightOptions, preflight
from .run import DEFAULT_OPTIONS, PretrainRun, RunOptions, TrainingTask


class PretrainInputs(NamedTuple):
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
    run_options: RunOptions = DEFAULT_OPTIONS,
) -> Artifact:
    """Train a base model; a stopped run resumes from its last checkpoint.

    tokens       shards made by `groundup tokens`, or a mixture of such
    tokenizer    the tokenizer that made them, or a model that contains it; copied into the model
    base         model to continue from, imported or trained here, instead of a new one
    vectors      vectors named by token ids, to initialise the embedding
    run_options  execution and monitoring: processes, profile, samples

    Raises ConfigError if the shards are too few or of another tokenizer, or if the tokenizer lacks
    a special token of the objective.
    """
    inputs = PretrainInputs(tokens, tokenizer, base, vectors)
    own = None if base is None else open_config(base.path)
    if base is not None and own is not None:
        config = resolve_on_base(config, base, own)
    config.check_objective(own)
    _check_same_tokenizer(inputs)
    setting = _objective_context(config, tokenizer)
    shape = own or config.model_config_for(len(setting.token_properties.byte_lengths))
    longest = max(config.context_length, max_length(config))
    config.resolved_objective().check(shape, setting, longest)
    identity = _run_identity(config, inputs)
    check_unfinished_run(out, identity, unhashed_fields(PretrainConfig))
    with joined_processes(run_options.mesh, seed=config.seed) as mesh:
        run_options.check(mesh, config)
        return produce_together(
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
            partial(
                _train_and_save, config, setting, inputs, identity, RunContext(mesh, run_options)
            ),
        )


class RunContext(NamedTuple):
    """Mesh and options of a run."""

    mesh: Mesh
    run_options: RunOptions


def _run_identity(config: PretrainConfig, inputs: PretrainInputs) -> RunIdentity:
    """What identifies a run, so that its checkpoints are not resumed by another."""
    return RunIdentity(
        tokenizer=inputs.tokenizer.id,
        objective=config.resolved_objective().name,
        shards=shard_hashes(inputs.tokens),
        settings=config.hashed_values(),
        parents=inputs.parents(),
    )


def _check_same_tokenizer(inputs: PretrainInputs) -> None:
    """Reject a tokenizer that did not make the tokens, and a base with another tokenizer."""
    tokens, tokenizer = inputs.tokens, inputs.tokenizer
    tokens.require_kind("tokens")
    made_with = next(parent for parent in tokens.parents if parent.name == "tokenizer")
    if made_with.id != tokenizer.id and not _contains_tokenizer(
        tokenizer, tokens.path / made_with.path
    ):
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


def _contains_tokenizer(given: Artifact, own: Path) -> bool:
    """Whether a model contains the tokenizer at `own`; False if that is missing."""
    try:
        return load_tokenizer(given.path).digest == load_tokenizer(own).digest
    except ArtifactError:
        return False


def _objective_context(config: PretrainConfig, tokenizer: Artifact) -> ObjectiveContext:
    """What the objective's batches depend on, in addition to the text."""
    loaded = load_tokenizer(tokenizer.path)
    return ObjectiveContext(token_properties_of(loaded), config.noise, loaded, config.seed)


def _train_and_save(
    config: PretrainConfig,
    setting: ObjectiveContext,
    inputs: PretrainInputs,
    identity: RunIdentity,
    context: RunContext,
    draft: Draft,
) -> None:
    """Train and save; runs on every process."""
    base, vectors = (None if each is None else each.path for each in (inputs.base, inputs.vectors))
    vocab_size = len(setting.token_properties.byte_lengths)
    shape = config.model_config_for(vocab_size) if base is None else open_config(base)
    train, held_out = (open_shards(inputs.tokens, split) for split in ("train", "validation"))
    beside = context.run_options
    preflight(
        config,
        shape,
        train,
        held_out,
        PreflightOptions(context.mesh, beside.zero, beside.ignore_memory),
    )
    if base is None and config.preset is None:
        record.log(str(config.derive_from_depth(vocab_size)))
    body = initial_model(config, vocab_size, base, vectors).to(device.default_device())
    run = PretrainRun(
        draft,
        config,
        _training_task(config, body, setting),
        identity._replace(model=body.config.to_dict()),
        run_options=context.run_options,
        mesh=context.mesh,
    )
    run.train_to_end()
    if context.mesh.is_first:
        save(run.final_model(), draft.path, base or inputs.tokenizer.path)


def _training_task(
    config: PretrainConfig, body: Transformer, setting: ObjectiveContext
) -> TrainingTask:
    """The model with its objective's head, which is trained too but not saved."""
    wanted = config.resolved_objective()
    if wanted.head is None:
        return TrainingTask(body, body, wanted, setting)
    head = wanted.head(body.config).to(body.head.device)
    return TrainingTask(body, ModelWithHead(body, head), wanted, setting)
