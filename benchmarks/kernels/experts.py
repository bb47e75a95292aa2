"""Experts beside a dense feed-forward of equal arithmetic a token.

    python -m benchmarks.kernels.experts [--rounds 9] [--tokens 4096]

Two of eight experts, each half as wide as the dense layer, so that a token meets as many weights.
Forward and backward, float32 and bfloat16 by autocast. Routing, sorting and adding back are what
experts pay on top; the aim is at least 85 % of the dense layer's speed.
"""

import argparse
import time
from collections.abc import Callable

import torch
from torch import nn

from benchmarks import table
from groundup.core import device
from groundup.model import (
    AttentionConfig,
    ExpertsConfig,
    FeedForwardConfig,
    ModelConfig,
    Transformer,
)

WIDTH, INNER, EXPERTS, CHOSEN = 512, 2048, 8, 2


def layers() -> tuple[nn.Module, nn.Module]:
    """A layer of experts and a dense one of equal arithmetic."""
    base = {
        "width": WIDTH, "layers": 1, "vocab_size": 64,
        "attention": AttentionConfig(heads=8, kv_heads=8, head_dim=64),
    }  # fmt: skip
    part = ExpertsConfig(count=EXPERTS, chosen=CHOSEN)
    sparse = FeedForwardConfig(width=INNER // CHOSEN, experts=part)
    experts = Transformer(ModelConfig(**base, feedforward=sparse)).layers[0]
    dense = Transformer(ModelConfig(**base, feedforward=FeedForwardConfig(width=INNER))).layers[0]
    for block in (experts, dense):
        for weight in block.parameters():
            if weight.ndim > 1:
                nn.init.normal_(weight, std=0.02)
    return experts.experts, dense.feedforward  # type: ignore[return-value]


def rate(layer: nn.Module, tokens: int, dtype: torch.dtype) -> Callable[[], float]:
    """A side: tokens a second, forward and backward."""
    hidden = torch.randn(1, tokens, WIDTH, requires_grad=True)

    def measured() -> float:
        started = time.perf_counter()
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            out = layer(hidden)
        out.sum().backward()
        return tokens / (time.perf_counter() - started)

    return measured


def main() -> None:
    """Race in both dtypes."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--tokens", type=int, default=4096)
    given = parser.parse_args()
    device.set_num_threads()
    torch.manual_seed(0)
    experts, dense = layers()
    rows = []
    for dtype in (torch.float32, torch.bfloat16):
        sides = {"experts": experts, "dense": dense}
        speeds = table.alternate(
            {name: rate(layer, given.tokens, dtype) for name, layer in sides.items()}, given.rounds
        )
        name = str(dtype).removeprefix("torch.")
        work = f"{CHOSEN} of {EXPERTS} experts, {given.tokens:,} tokens, {name}"
        peer = table.Peer("our dense layer", "of equal FLOPs")
        rows.append(table.compare(work, "tokens/s", speeds["experts"], speeds["dense"], peer))
    table.report("experts", rows, {"width": WIDTH, "inner": INNER})


if __name__ == "__main__":
    main()
