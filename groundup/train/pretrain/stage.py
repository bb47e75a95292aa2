"""Pre-training: a model from token shards, from scratch or continued from a base.

A preset is trained with its own objective, otherwise a decoder of a given depth on the next token.
One learning rate schedule spans all phases (phases.py).
"""

from functools import partial
from pathlib import Path
from typing import NamedTuple

from torch import nn

from groundup.core import Artifact, ArtifactError, ConfigError, Draft, device, record
from groundup.model import ModelWithHead, open_config, save
from groundup.tokenizer import load_tokenizer, open_shards

from ..batches import split_batch
from ..checkpoint.contract import RunIdentity, shard_hashes
from ..objectives.objective import Objective, ObjectiveContext
from ..objectives.token_properties import token_properties_of
from ..parallel.data import check_batch_divides
from ..parallel.mesh import Mesh
from ..services.validation import held_out_windows
from .config import DEFAULT_OPTIONS, PretrainConfig, RunOptions
from .initialize import initial_model, resolve_on_base
from .phases import make_batch_ramp, make_training_schedule, max_length, source_shares
from .preflight import PreflightOptions, preflight
from .run import TrainingData, TrainingRun, TrainingTask, produce_model


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
    run_options.check_profile(make_batch_ramp(config).steps)
    return produce_model(
        config,
        out,
        partial(_train_and_save, config, setting, inputs, identity, run_options),
        stage="pretrain",
        version=2,
        identity=identity,
        run_options=run_options,
    )


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
    run_options: RunOptions,
    draft: Draft,
    mesh: Mesh,
) -> None:
    """Train and save; runs on every process."""
    base, vectors = (None if each is None else each.path for each in (inputs.base, inputs.vectors))
    vocab_size = len(setting.token_properties.byte_lengths)
    shape = config.model_config_for(vocab_size) if base is None else open_config(base)
    train, held_out = (open_shards(inputs.tokens, split) for split in ("train", "validation"))
    options = PreflightOptions(mesh, run_options.zero, run_options.ignore_memory)
    preflight(config, shape, train, held_out, options)
    if base is None and config.preset is None:
        record.log(str(config.derive_from_depth(vocab_size)))
    body = initial_model(config, vocab_size, base, vectors).to(device.default_device())
    wanted, head = config.resolved_objective(), None
    module: nn.Module = body
    if wanted.head is not None:
        head = wanted.head(body.config).to(body.head.device)
        module = ModelWithHead(body, head)
    data = _training_data(config, wanted, setting, inputs.tokens, mesh)
    run = TrainingRun(
        draft,
        config,
        TrainingTask(body, module, wanted.loss, data, head=wanted.head),
        identity._replace(model=body.config.to_dict()),
        run_options=run_options,
        mesh=mesh,
    )
    run.train_to_end()
    draft.numbers |= {"objective": wanted.name}
    if mesh.is_first:
        save(run.final_model(), draft.path, base or inputs.tokenizer.path)


def _training_data(
    config: PretrainConfig, wanted: Objective, setting: ObjectiveContext, tokens: Artifact,
    mesh: Mesh,
) -> TrainingData:  # fmt: skip
    """The batches of a run: those of its schedule, and held-out windows, each target once.

    Decoders are also scored in bits per byte; others see the same masks each time. The total
    weights the sources by their share in the run.
    """
    train, held_out = (open_shards(tokens, split) for split in ("train", "validation"))
    schedule = make_training_schedule(config, train)
    for rows in schedule.sequence_counts():
        check_batch_divides(rows, mesh)
    windows = held_out_windows(
        held_out.shards, config.length, config.validation_tokens, config.seed
    )
    shares = source_shares(config, train)
    if shares is not None and not any(shares[name] for name in windows):
        record.log(
            f"Validation loss is measured on {', '.join(windows)}, which the run does not "
            "train on: its own sources have no held-out text."
        )
    return TrainingData(
        lambda step: wanted.batch(setting, schedule.sequences(step), step),
        schedule.steps,
        schedule.batch_ramp.tokens_before,
        lambda step: schedule.phase_at(step).loader.length,
        {name: split_batch(wanted.batch(setting, own, 0), 16) for name, own in windows.items()},
        tuple(phase.start for phase in schedule.phases),
        shares,
        setting.token_properties.byte_lengths if wanted.kind == "decoder" else None,
    )
