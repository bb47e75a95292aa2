"""What a model costs: parameters by part, arithmetic a token, and memory of its cache.

Counts are exact for the matrices and leave out what is small (norms, softmax, rotations): within
a few percent of the truth, which is what a plan or a bound needs. Knows no weights, only shapes.
Source: the convention of Kaplan et al. 2020, arXiv:2001.08361, with attention counted.
"""

from pathlib import Path
from typing import NamedTuple

import torch

from .config import ModelConfig
from .families.registry import family_of
from .weights import CONFIG, read_json


class Parameters(NamedTuple):
    """Numbers of weights by part."""

    embedding: int
    attention: int
    feedforward: int
    norms: int
    head: int
    """0 if it is the embedding."""

    @property
    def total(self) -> int:
        """All weights."""
        return sum(self)


class Flops(NamedTuple):
    """Floating-point operations a token; a multiplication and an addition are two."""

    inference: int
    training: int
    """Three times inference: the gradients for weights and for inputs cost one each."""


def parameters(config: ModelConfig) -> Parameters:
    """Count the weights.

    >>> parameters(ModelConfig()).total
    5771264
    """
    heads, kv_heads, head_dim = (
        config.attention.heads, config.attention.kv_heads, config.attention.head_dim,
    )  # fmt: skip
    table = config.vocab_size * config.width
    norms = 2 * config.width + (2 * head_dim if config.attention.qk_norm else 0)
    return Parameters(
        embedding=table,
        attention=config.layers * config.width * head_dim * 2 * (heads + kv_heads),
        feedforward=config.layers * 3 * config.width * config.feedforward.width,
        norms=config.layers * norms + config.width,
        head=0 if config.tied_embeddings else table,
    )


def flops_per_token(config: ModelConfig, context: int) -> Flops:
    """Arithmetic of one token that sees `context` tokens, itself included.

    In training on rows of length T, causal masks leave (T + 1) / 2 on average; kernels that
    compute the masked half too do more, which is not counted as useful.
    """
    count = parameters(config)
    matrices = count.attention + count.feedforward + config.vocab_size * config.width
    scores = 2 * config.layers * config.attention.heads * config.attention.head_dim * context
    inference = 2 * (matrices + scores)
    return Flops(inference, 3 * inference)


def cache_bytes_per_token(config: ModelConfig, dtype: torch.dtype = torch.float32) -> int:
    """Memory of one token's keys and values in all layers.

    >>> cache_bytes_per_token(ModelConfig(), torch.bfloat16)
    3072
    """
    features = 2 * config.layers * config.attention.kv_heads * config.attention.head_dim
    return features * dtype.itemsize


class Description(NamedTuple):
    """A model's shape and costs, for a person."""

    config: ModelConfig
    parameters: Parameters
    flops: Flops
    """At a full context."""
    cache_bytes_per_token: int
    """In bfloat16."""

    def __str__(self) -> str:
        """A short table."""
        config, count = self.config, self.parameters
        share = (f"{name} {number / count.total:.0%}" for name, number in by_part(count).items())
        rows = {
            "shape": f"{config.layers} layers x {config.width} features, "
            f"{config.attention.heads} heads of {config.attention.head_dim}, "
            f"{config.attention.kv_heads} for keys and values",
            "vocabulary": f"{config.vocab_size:,} ids",
            "context": f"{config.context_length:,} tokens",
            "parameters": f"{count.total:,} ({', '.join(share)})",
            "inference": f"{self.flops.inference / 1e6:,.1f} MFLOP a token at a full context",
            "training": f"{self.flops.training / 1e6:,.1f} MFLOP a token at a full context",
            "cache": f"{self.cache_bytes_per_token:,} bytes a token in bfloat16, "
            f"{self.cache_bytes_per_token * config.context_length / 2**20:.1f} MiB when full",
        }
        return "\n".join(f"{name:<12}{value}" for name, value in rows.items())


def by_part(count: Parameters) -> dict[str, int]:
    """The parts that have weights."""
    return {name: number for name, number in count._asdict().items() if number}


def describe(model: Path) -> Description:
    """Tell the shape and costs of a model directory; only its config.json is read."""
    config = read_json(Path(model) / CONFIG)
    return describe_config(family_of(config, str(Path(model) / CONFIG)).read(config))


def describe_config(config: ModelConfig) -> Description:
    """Tell the shape and costs of a configuration."""
    return Description(
        config,
        parameters(config),
        flops_per_token(config, config.context_length),
        cache_bytes_per_token(config, torch.bfloat16),
    )
