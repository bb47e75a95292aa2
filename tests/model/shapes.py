"""Models small enough for float64 and loops."""

import torch

from groundup.model import AttentionConfig, FeedForwardConfig, ModelConfig, Transformer

VOCAB = 29


def tiny_config(qk_norm=True, tied=True, layers=2, kv_heads=2):
    return ModelConfig(
        vocab_size=VOCAB, width=16, layers=layers, context_length=64, tied_embeddings=tied,
        attention=AttentionConfig(heads=4, kv_heads=kv_heads, head_dim=6, qk_norm=qk_norm),
        feedforward=FeedForwardConfig(width=20),
    )  # fmt: skip


def tiny_model(config=None, dtype=torch.float64):
    """A model whose every weight matters: nothing is zero or one."""
    model = Transformer(config or tiny_config(), seed=1).to(dtype).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.3 * torch.randn_like(weight)
    return model
