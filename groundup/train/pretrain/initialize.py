"""Initial weights of a run: random, with word vectors as embedding, or those of a base model.

A base is any model made by `groundup import` or `groundup pretrain`. Its optimizer starts fresh, so
the learning rate warms up again, to less than a new model's peak, to avoid forgetting. For longer
sequences its rotary positions are extended.
Source: Ibrahim et al. 2024, arXiv:2403.08763 (re-warming); Chen et al. 2023,
arXiv:2306.15595, and Peng et al. 2023, arXiv:2309.00071 (context extension).
"""

from pathlib import Path

import torch

from groundup.core import Artifact, ArtifactError, ConfigError
from groundup.embeddings import load_vectors
from groundup.model import ModelConfig, PositionConfig, RopeScaling, Transformer, load_to_train

from ..optim.config import OptimConfig
from .config import PretrainConfig

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
    usual = IMPORTED_OPTIM if is_imported(base) else TRAINED_HERE_OPTIM
    optim = merge_optim(config.optim, "optim" in set_fields, usual)
    objective = config.resolved_objective(own).name
    settings = {"context_length": context, "length": length, "optim": optim}
    return config.model_copy(update=settings | {"objective": objective})


def merge_optim(optim: OptimConfig, is_set: bool, defaults: OptimConfig) -> OptimConfig:
    """The settings that the user set, on top of the defaults for this kind of model."""
    chosen = optim.model_fields_set if is_set else ()
    return defaults.model_copy(update={name: getattr(optim, name) for name in chosen})


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
    if own.position.kind == "learned":
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
