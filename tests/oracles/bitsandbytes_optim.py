"""Optimizers of bitsandbytes and transformers: the grids of eight bits, and ten steps of each.

Writes tests/fixtures/optim/{grids,eight_bits,adafactor}.json; all on a processor, from seed 0.
"""

import json
from pathlib import Path

import torch
from bitsandbytes.functional import create_dynamic_map
from bitsandbytes.optim import AdamW8bit
from torch import nn
from transformers.optimization import Adafactor

from tests.oracles.bitsandbytes_gradients import COLUMNS, ROWS, STEPS, gradients

OUT = Path(__file__).resolve().parents[1] / "fixtures" / "optim"


def stepped(optimizer: torch.optim.Optimizer, weights: list[nn.Parameter]) -> None:
    """Ten steps of the optimizer."""
    for number in range(STEPS):
        for place, weight in enumerate(weights):
            weight.grad = gradients(100 * place + number, tuple(weight.shape))
        optimizer.step()


def write(name: str, values: object) -> None:
    """Keep a fixture."""
    (OUT / f"{name}.json").write_text(json.dumps(values) + "\n", encoding="utf-8")


def main() -> None:
    """Make every fixture."""
    OUT.mkdir(parents=True, exist_ok=True)
    write("grids", {name: create_dynamic_map(signed, 7, 8).tolist()
                    for name, signed in (("signed", True), ("unsigned", False))})  # fmt: skip
    weight = nn.Parameter(torch.zeros(ROWS, COLUMNS))
    eight = AdamW8bit([weight], lr=0.01, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1,
                      min_8bit_size=0)  # fmt: skip
    stepped(eight, [weight])
    state = eight.state[weight]
    write("eight_bits", {
        "weight": weight[0].tolist(), "mean_codes": state["state1"][0].tolist(),
        "mean_scales": state["absmax1"].tolist(), "square_scales": state["absmax2"].tolist(),
        "norms": weight.norm(dim=1).tolist(),
    })  # fmt: skip
    pair = [nn.Parameter(torch.full((6, 4), 0.5)), nn.Parameter(torch.zeros(5))]
    plain = Adafactor(pair, lr=0.01, scale_parameter=False, relative_step=False, warmup_init=False)
    stepped(plain, pair)
    write("adafactor", [weight.tolist() for weight in pair])


if __name__ == "__main__":
    main()
