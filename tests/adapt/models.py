"""Small models that the tests of this room adapt, and noise that gives adapters an effect."""

import torch

from groundup.adapt import (
    BottleneckConfig,
    LoraConfig,
    PrefixConfig,
    adapter_off,
    trainable_parameters,
)
from groundup.model import AttentionConfig, FeedForwardConfig, ModelConfig, Transformer

VOCAB = 61
CONFIG = ModelConfig(
    vocab_size=VOCAB, width=32, layers=2, context_length=64, tied_embeddings=False,
    attention=AttentionConfig(heads=4, kv_heads=2, head_dim=8),
    feedforward=FeedForwardConfig(width=40),
)  # fmt: skip

KINDS = {
    "lora": LoraConfig(rank=3),
    "prefix": PrefixConfig(length=3),
    "bottleneck": BottleneckConfig(style="houlsby"),
}


def small_model(config=CONFIG):
    """A random model in which nothing is zero or one."""
    model = Transformer(config, seed=3).eval()
    shake(model.parameters())
    return model


@torch.no_grad()
def shake(weights, scale=0.1):
    """Add noise to weights."""
    for weight in weights:
        weight += scale * torch.randn_like(weight)


def shake_adapter(model):
    """Add noise to what is trained, and return the model."""
    shake(trainable_parameters(model).values())
    return model


def compare_logits(model, theirs, ids):
    """The largest difference of logits from a peer's, and from those without the adapter."""
    ours = model.logits(ids)
    with adapter_off(model):
        base = model.logits(ids)
    pairs = {"difference": (ours, theirs), "effect": (ours, base)}
    return {name: float((a - b).abs().max()) for name, (a, b) in pairs.items()}


def random_ids(*shape):
    """Random token ids."""
    return torch.randint(VOCAB, shape)
