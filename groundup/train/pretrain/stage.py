"""Pre-training: a model from token shards, from scratch or continued from a base.

A preset is trained with its own objective, otherwise a decoder of a given depth on the next token.
One learning rate schedule spans all phases (phases.py). A base is any model made by `groundup
import` or `groundup pretrain`. Its optimizer starts fresh, so the learning rate warms up again, to
less than a new model's peak, to avoid forgetting. For longer sequences its rotary positions are
extended.
Source: Ibrahim et al. 2024, arXiv:2403.08763 (re-warming); Chen et al. 2023,
arXiv:2306.15595, and Peng et al. 2023, arXiv:2309.00071 (context extension).
"""

from functools import partial
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from groundup.core import Artifact, ArtifactError, ConfigError, Draft, device, record
from groundup.embeddings import load_vectors
from groundup.model import (
    ModelConfig,
    ModelWithHead,
    PositionConfig,
    RopeScaling,
    Transformer,
    load_to_train,
    open_config,
    save,
)
from groundup.tokenizer import load_tokenizer, open_shards

from ..batches import split_batch
from ..checkpoint.contract import RunIdentity, shard_hashes
from ..objectives.objective import Objective, ObjectiveContext, token_properties_of
from ..optim.config import OptimConfig
from ..parallel.data import check_batch_divides
from ..parallel.mesh import Mesh
from ..services.validation import held_out_windows
from .config import DEFAULT_OPTIONS, PretrainConfig, RunOptions, TrainingConfig
from .phases import make_batch_ramp, make_training_schedule, max_length, source_shares
from .preflight import preflight
from .run import TrainingData, TrainingRun, TrainingTask, produce_model

TRAINED_HERE_OPTIM = OptimConfig(
    muon_learning_rate=0.0125, learning_rate=2e-3, embedding_learning_rate=0.1
)
"""For a base trained here: half a new model's rates."""
IMPORTED_OPTIM = OptimConfig(
    matrix_optimizer="adamw", learning_rate=1e-4, embedding_learning_rate=1e-4, epsilon=1e-8
)
"""For an imported base, which would forget under Muon's large steps."""


def resolve_on_base(config: PretrainConfig, base: Artifact, own: ModelConfig) -> PretrainConfig:
    """Settings of a run on a base: defaults come from the base.

    Raises ConfigError if a shape is set too.
    """
    set_fields = config.model_fields_set
    if shape := sorted({"depth", "width", "preset", "layers"} & set_fields):
        raise ConfigError(f"{shape[0]} came with a base, which has its own shape; omit one.")
    context = config.context_length if "context_length" in set_fields else own.context_length
    length = config.length if "length" in set_fields else min(config.length, context)
    config = with_usual_optim(config, base, TRAINED_HERE_OPTIM, IMPORTED_OPTIM)
    objective = config.resolved_objective(own).name
    settings = {"context_length": context, "length": length}
    return config.model_copy(update=settings | {"objective": objective})


Settings = TypeVar("Settings", bound=TrainingConfig)


def with_usual_optim(
    config: Settings, base: Artifact | None, native: OptimConfig, imported: OptimConfig
) -> Settings:
    """The configuration with what it sets of its optimizer, on top of what is usual for a base.

    native    for a base that was trained here
    imported  for one that was not, or is no artifact
    """
    usual = imported if base is None or is_imported(base) else native
    chosen = config.optim.model_fields_set if "optim" in config.model_fields_set else ()
    own = {name: getattr(config.optim, name) for name in chosen}
    return config.model_copy(update={"optim": usual.model_copy(update=own)})


def is_imported(model: Artifact) -> bool:
    """Whether a model or one of its ancestors was imported; False where a parent is missing."""
    while model.stage != "import":
        parent = next((each for each in model.parents if each.name in ("model", "base")), None)
        if parent is None:
            return False
        try:
            opened = model.open_parent(parent)
        except ArtifactError:
            return False
        if opened is None or opened.kind != "model":
            return False
        model = opened
    return True


def initial_model(
    config: PretrainConfig, vocab_size: int, base: Path | None, vectors: Path | None
) -> Transformer:
    """The initial model of a run, weights in float32."""
    if base is None:
        body = Transformer(config.model_config_for(vocab_size), seed=config.seed)
    else:
        body = _continue_from_base(config, load_to_train(base))
    if vectors is not None:
        _load_embedding_vectors(body, vectors)
    return body


def _continue_from_base(config: PretrainConfig, model: Transformer) -> Transformer:
    """A base with the run's context length; its weights are shared, not copied.

    Raises ConfigError for positions beyond its learned position embeddings.
    """
    shape = _extend_context(model.config, config)
    shape = shape.model_copy(update={"prefix": config.resolved_objective().name == "prefix"})
    body = Transformer(shape, seed=None)
    body.load_state_dict(model.state_dict(), assign=True)
    return body


def _extend_context(own: ModelConfig, config: PretrainConfig) -> ModelConfig:
    """A base's configuration at the run's context length."""
    wanted, before = config.context_length, own.context_length
    if wanted == before:
        return own
    if own.position.has_table:
        raise ConfigError(
            f"context_length={wanted:,}, but the base has learned embeddings of only {before:,} "
            "positions; omit it."
        )
    position = own.position
    if wanted > before and position.kind == "rope" and config.rope_extension != "keep":
        position = _extend_rope(own, wanted / before, config.rope_extension)
    return own.model_copy(update={"context_length": wanted, "position": position})


def _extend_rope(own: ModelConfig, factor: float, kind: str) -> PositionConfig:
    """Rotary positions for sequences `factor` times as long."""
    position, width = own.position, own.attention.head_dim
    if kind == "base":  # the lowest frequency turns as far over the new length as over the old
        return position.model_copy(update={"base": position.base * factor ** (width / (width - 2))})
    if position.scaling.kind != "none":
        raise ConfigError(
            f"rope_extension={kind!r}, but the base's positions are already extended by "
            f"{position.scaling.kind!r}; use rope_extension=base."
        )
    fields = {"kind": kind, "factor": factor, "original_length": own.context_length}
    return position.model_copy(update={"scaling": RopeScaling(**fields)})


@torch.no_grad()
def _load_embedding_vectors(body: Transformer, vectors: Path) -> None:
    """Initialise the embedding with vectors of ids, centred and scaled to an RMS of 1/20.

    That is close to the scale of random rows, which ids without a vector keep.
    Raises ConfigError if the vectors are of other ids or of another width.
    """
    loaded, table = load_vectors(vectors), body.embed_tokens.weight
    ids = [int(word) if word.isdecimal() else -1 for word in loaded.words]
    if not all(0 <= id < len(table) for id in ids) or loaded.matrix.shape[1] != table.shape[1]:
        raise ConfigError(
            f"{vectors} must name vectors of width {table.shape[1]} by ids below "
            f"{len(table):,}; it has width {loaded.matrix.shape[1]} and names such as "
            f"{', '.join(loaded.words[:3])}. Make vectors of these tokens' ids."
        )
    matrix = torch.from_numpy(loaded.matrix)
    matrix = matrix - matrix.mean(0)
    size = matrix.norm(dim=1).mean().clamp(min=1e-12)
    table[torch.tensor(ids)] = matrix / size * (0.05 * table.shape[1] ** 0.5)


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
    inputs = {"tokens": tokens, "tokenizer": tokenizer, "base": base, "vectors": vectors}
    parents = {name: each for name, each in inputs.items() if each is not None}
    own = None if base is None else open_config(base.path)
    if base is not None and own is not None:
        config = resolve_on_base(config, base, own)
    config.check_objective(own)
    _check_same_tokenizer(tokens, tokenizer, base)
    setting = _objective_context(config, tokenizer)
    shape = own or config.model_config_for(len(setting.token_properties.byte_lengths))
    if (longest := max_length(config)) > (context := config.context_length):
        what = f"Sequences of {longest:,} tokens exceed context_length={context:,}"
        raise ConfigError(f"{what}; raise it, or set length={context} or less.")
    config.resolved_objective().check(shape, setting, context)
    identity = _run_identity(config, parents)
    run_options.check_profile(make_batch_ramp(config).steps)
    return produce_model(
        config,
        out,
        partial(_train_and_save, config, setting, identity, run_options),
        stage="pretrain",
        version=2,
        identity=identity,
        run_options=run_options,
    )


def _run_identity(config: PretrainConfig, parents: dict[str, Artifact]) -> RunIdentity:
    return RunIdentity(
        tokenizer=parents["tokenizer"].id,
        objective=config.resolved_objective().name,
        shards=shard_hashes(parents["tokens"]),
        settings=config.hashed_values(),
        parents=parents,
    )


def _check_same_tokenizer(tokens: Artifact, tokenizer: Artifact, base: Artifact | None) -> None:
    tokens.require_kind("tokens")
    made_with = next(parent for parent in tokens.parents if parent.name == "tokenizer")
    if made_with.id != tokenizer.id and not _contains_tokenizer(
        tokenizer, tokens.path / made_with.path
    ):
        raise ConfigError(
            f"{tokens.path} was made with tokenizer {made_with.id[:12]}, not with "
            f"{tokenizer.id[:12]} in {tokenizer.path}; use the one it was made with."
        )
    if base is None or base.id == tokenizer.id:
        return
    own, used = (load_tokenizer(each.path).digest for each in (base, tokenizer))
    if own != used:
        raise ConfigError(
            f"{base.path} has tokenizer {own[:12]}, but {tokens.path} was made with "
            f"{used[:12]}; run: groundup tokens --tokenizer {base.path}."
        )


def _contains_tokenizer(given: Artifact, own: Path) -> bool:
    """Whether a model contains the tokenizer at `own`; False if that is missing."""
    try:
        return load_tokenizer(given.path).digest == load_tokenizer(own).digest
    except ArtifactError:
        return False


def _objective_context(config: PretrainConfig, tokenizer: Artifact) -> ObjectiveContext:
    loaded = load_tokenizer(tokenizer.path)
    return ObjectiveContext(token_properties_of(loaded), config.noise, loaded, config.seed)


def _train_and_save(
    config: PretrainConfig,
    setting: ObjectiveContext,
    identity: RunIdentity,
    run_options: RunOptions,
    draft: Draft,
    mesh: Mesh,
) -> None:
    tokens, tokenizer = identity.parents["tokens"], identity.parents["tokenizer"]
    inputs = (identity.parents.get(name) for name in ("base", "vectors"))
    base, vectors = (None if each is None else each.path for each in inputs)
    vocab_size = len(setting.token_properties.byte_lengths)
    shape = config.model_config_for(vocab_size) if base is None else open_config(base)
    train, held_out = (open_shards(tokens, split) for split in ("train", "validation"))
    preflight(config, shape, train, held_out, mesh, run_options)
    if base is None and config.preset is None:
        record.log(str(config.derive_from_depth(vocab_size)))
    body = initial_model(config, vocab_size, base, vectors).to(device.default_device())
    wanted, head = config.resolved_objective(), None
    module: nn.Module = body
    if wanted.head is not None:
        head = wanted.head(body.config).to(body.head.device)
        module = ModelWithHead(body, head)
    data = _training_data(config, wanted, setting, tokens, mesh)
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
        save(run.final_model(), draft.path, base or tokenizer.path)


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
        schedule.batch_ramp.lr_scale,
    )
