"""A model of a few thousand weights with one token a byte, for the tests of this room."""

from collections.abc import Sequence
from pathlib import Path

import torch

from groundup.core import Message
from groundup.generate import Engine
from groundup.model import AttentionConfig, FeedForwardConfig, ModelConfig, Transformer
from groundup.model import save as save_model
from groundup.tokenizer import FastTokenizer, save_tokenizer

CONTEXT = 96


def tiny_model(
    dtype: torch.dtype = torch.float64, context_length: int = CONTEXT, *, prefix: bool = False
) -> Transformer:
    """A model whose every weight counts: none starts at zero, so layers and cache matter."""
    config = ModelConfig(
        vocab_size=260,
        width=32,
        layers=2,
        context_length=context_length,
        attention=AttentionConfig(heads=4, kv_heads=2, head_dim=8),
        feedforward=FeedForwardConfig(width=48),
        prefix=prefix,
    )
    model = Transformer(config, seed=0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 2:
                weight.copy_(torch.randn(weight.shape, generator=generator) * 0.3)
    return model.to(dtype)


def tiny_engine(**values) -> Engine:
    """The model with a tokenizer of 256 bytes and three special tokens."""
    return Engine(tiny_model(**values), FastTokenizer([]))


def tiny_directory(path: Path) -> Path:
    """The model in float32 and its tokenizer as a model directory."""
    save_model(tiny_model(torch.float32), path)
    save_tokenizer(FastTokenizer([]), path)
    return path


def user(text: str) -> tuple[Message, ...]:
    """A conversation of one message."""
    return (Message("user", text),)


def full_forward(engine: Engine, prompt: list[int], ids: Sequence[int]) -> list[float]:
    """Log-probability of each id after a prompt or source, by one pass without a cache."""
    model, frame = engine.model, engine.source_frame
    with torch.no_grad():
        if frame is None:
            row = torch.tensor([[*prompt, *ids]])
            prefix = torch.arange(row.shape[1])[None] < len(prompt)
            logits = model.logits(row, prefix=prefix if model.config.prefix else None)
            logits = logits[0, len(prompt) - 1 : -1]
        else:
            encoded = model.encode(torch.tensor([prompt]))
            logits = model.logits(torch.tensor([[frame.start, *ids[:-1]]]), encoded=encoded)[0]
    logprobs = logits[:, : engine.tokenizer.vocab_size].log_softmax(-1)
    return logprobs[torch.arange(len(ids)), torch.tensor(ids)].tolist()
