"""What a model is before its first step: drawn weights, vectors for its embedding, or a base.

A base is any model that `groundup import` or `groundup pretrain` made. Its optimizer begins anew,
so the rate warms up again, to less than a new model's peak: far enough to learn, near enough to
keep what it knows. To read longer rows than before, its rotary positions are stretched.
Source: Ibrahim et al. 2024, arXiv:2403.08763 (warming up again); Chen et al. 2023,
arXiv:2306.15595, and Peng et al. 2023, arXiv:2309.00071 (stretching).
"""

from pathlib import Path

import torch

from groundup.core import Artifact, ArtifactError, ConfigError
from groundup.embeddings import load_vectors
from groundup.model import ModelConfig, PositionConfig, RopeScaling, Transformer, load_to_train

from ..optim.config import OptimConfig
from .config import PretrainConfig

OURS = OptimConfig(muon_learning_rate=0.0125, learning_rate=2e-3, embedding_learning_rate=0.1)
"""Of a base that was trained here: half a new model's rates."""
OTHERS = OptimConfig(
    matrices="adamw", learning_rate=1e-4, embedding_learning_rate=1e-4, epsilon=1e-8
)
"""Of an imported base, which Muon's large steps would make forget."""


def resolved(config: PretrainConfig, base: Artifact, own: ModelConfig) -> PretrainConfig:
    """Settings of a run on a base: what was not given is the base's own.

    Raises ConfigError if a shape is given too, or positions that cannot be stretched.
    """
    given = config.model_fields_set
    if said := sorted({"depth", "width", "preset", "layers"} & given):
        raise ConfigError(f"{said[0]} came with a base, which has its own shape; leave one out.")
    context = config.context_length if "context_length" in given else own.context_length
    length = config.length if "length" in given else min(config.length, context)
    optim = optim_for(config.optim, "optim" in given, OTHERS if is_of_others(base) else OURS)
    objective = config.wanted(own).name
    settings = {"context_length": context, "length": length, "optim": optim}
    return config.model_copy(update=settings | {"objective": objective})


def optim_for(given: OptimConfig, is_given: bool, usual: OptimConfig) -> OptimConfig:
    """The settings that were given, and the usual ones for the others."""
    chosen = given.model_fields_set if is_given else ()
    return usual.model_copy(update={name: getattr(given, name) for name in chosen})


def is_of_others(model: Artifact) -> bool:
    """Whether a model was imported, or trained on from one that was, as far as parents are there.

    Raises nothing: where a parent is gone, the model counts as one of ours.
    """
    while model.stage != "import":
        before = next((each for each in model.parents if each.name in ("model", "base")), None)
        if before is None:
            return False
        try:
            found = model.open_parent(before)
        except ArtifactError:
            return False
        if found is None or found.kind != "model":
            return False
        model = found
    return True


def begin(
    config: PretrainConfig, vocab_size: int, base: Path | None, vectors: Path | None
) -> Transformer:
    """The model of a run, its weights float32."""
    if base is None:
        body = Transformer(config.shape(vocab_size), seed=config.seed)
    else:
        body = continued(config, load_to_train(base))
    if vectors is not None:
        begin_with(body, vectors)
    return body


def continued(config: PretrainConfig, model: Transformer) -> Transformer:
    """A base with the run's context length; its weights are shared, not copied.

    Raises ConfigError for places that it has no vectors for.
    """
    shape = lengthened(model.config, config)
    shape = shape.model_copy(update={"prefix": config.wanted().name == "prefix"})
    made = Transformer(shape, seed=None)
    made.load_state_dict(model.state_dict(), assign=True)
    return made


def lengthened(own: ModelConfig, config: PretrainConfig) -> ModelConfig:
    """A base's configuration at the run's context length."""
    wanted, before = config.context_length, own.context_length
    if wanted == before:
        return own
    if own.position.kind == "learned":
        raise ConfigError(
            f"context_length={wanted:,}, and the base has learned vectors for {before:,} places "
            "alone; leave it out."
        )
    position = own.position
    if wanted > before and position.kind == "rope" and config.stretch != "keep":
        position = stretched(own, wanted / before, config.stretch)
    return own.model_copy(update={"context_length": wanted, "position": position})


def stretched(own: ModelConfig, factor: float, kind: str) -> PositionConfig:
    """Rotary positions for rows that are `factor` times as long."""
    position, width = own.position, own.attention.head_dim
    if kind == "base":  # the slowest pair of features turns as far over the new length as the old
        return position.model_copy(update={"base": position.base * factor ** (width / (width - 2))})
    if position.scaling.kind != "none":
        raise ConfigError(
            f"stretch={kind!r}, and the base's positions are stretched by "
            f"{position.scaling.kind!r} already; use stretch=base."
        )
    fields = {"kind": kind, "factor": factor, "original_length": own.context_length}
    return position.model_copy(update={"scaling": RopeScaling(**fields)})


@torch.no_grad()
def begin_with(body: Transformer, vectors: Path) -> None:
    """Give the embedding's rows the vectors of their ids, centred, with 1/20 as their RMS.

    That is little more than drawn rows have, which ids without a vector keep: rows begin alike in
    size. Raises ConfigError if the vectors are of other ids or of another width.
    """
    found, table = load_vectors(vectors), body.embed_tokens.weight
    ids = [int(word) if word.isdecimal() else -1 for word in found.words]
    if not all(0 <= id < len(table) for id in ids) or found.matrix.shape[1] != table.shape[1]:
        raise ConfigError(
            f"{vectors} must name vectors of width {table.shape[1]} by ids below "
            f"{len(table):,}; it has width {found.matrix.shape[1]} and names such as "
            f"{', '.join(found.words[:3])}. Make vectors of these tokens' ids."
        )
    matrix = torch.from_numpy(found.matrix)
    matrix = matrix - matrix.mean(0)
    size = matrix.norm(dim=1).mean().clamp(min=1e-12)
    table[torch.tensor(ids)] = matrix / size * (0.05 * table.shape[1] ** 0.5)
