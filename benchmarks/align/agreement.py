"""How far losses and adapters are from their peers': docs/benchmarks/alignment.md, from fixtures.

    python -m benchmarks.align.agreement

Each row computes in float32 what a peer computed for the same random numbers (tests/oracles), and
a test compares the page with what this script makes. A new loss is a row here.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from groundup.adapt import load_adapter, merge_adapter
from groundup.align.direct.losses import PAIR_LOSSES, Answers, PreferenceLossConfig, kto
from groundup.align.policy.losses import (
    PolicyLossConfig,
    Tokens,
    policy_loss,
    token_advantages,
    value_losses,
    whiten,
)
from groundup.align.reward.stage import pair_losses
from groundup.model import load

ROOT = Path(__file__).resolve().parents[2]
PAGE, FIXTURES = ROOT / "docs/benchmarks/alignment.md", ROOT / "tests/fixtures"
LIMIT, BOUNDS = 1e-5, (2e-6, 1e-5)
LORAS, PREFIXES = ("lora", "rslora", "dora", "embedding"), ("prefix", "projected")
STYLES = ("houlsby", "pfeiffer", "parallel")
HEAD = """\
# How far losses and adapters are from their peers'

Made by `python -m benchmarks.align.agreement` from what peers gave for the same random numbers
(tests/oracles, tests/fixtures); a test compares this page with what the script makes. Ours is
computed in float32, largest differences are absolute and at most 1e-5. `cdpo`, `reinforce` and the
reward of steps have no peer that computes them alone: tests hold them against their formulas.

| what | equals | values | largest difference |
|---|---|---|---|
"""


class Row(NamedTuple):
    """Something that a peer computes too."""

    what: str
    peer: str
    values: int
    largest: float


def row(what: str, peer: str, ours: Tensor, theirs: Tensor | float) -> Row:
    """Compare numbers."""
    expected = torch.as_tensor(theirs, dtype=torch.float64)
    return Row(what, peer, ours.numel(), float((ours.double() - expected).abs().max()))


def read(name: str) -> tuple[dict[str, Any], str]:
    """A fixture of TRL's, and the version that made it."""
    found = json.loads((FIXTURES / f"align/{name}.json").read_text(encoding="utf-8"))
    return found, f"TRL {found['versions']['trl'].removesuffix('.0')}"


def preferences() -> Iterator[Row]:
    """Losses of pairs, and KTO."""
    found, peer = read("trl_losses")
    columns = [torch.tensor(found[name]).float() for name in ("logps", "reference", "tokens")]
    both, pairs = Answers(*columns), len(columns[0]) // 2
    chosen, rejected = (Answers(*(v[at] for v in both)) for at in np.split(np.arange(2 * pairs), 2))
    for name, loss in PAIR_LOSSES.items():
        beta, gamma = (2.0, 0.4) if name == "simpo" else (0.3, PreferenceLossConfig().gamma)
        config = PreferenceLossConfig(name=name, beta=beta, gamma=gamma, smoothing=0.2)
        ours = loss(chosen, rejected, config).mean()
        if name == "orpo":
            theirs = found["losses"]["orpo without its tuning term"]
            yield row("orpo, its term of odds", peer, ours + chosen.mean.mean(), theirs)
        elif name in found["losses"]:
            yield row(name, peer, ours, found["losses"][name])
    config = PreferenceLossConfig(name="kto", beta=0.3, desirable=1.5, undesirable=0.7)
    is_good = torch.tensor([True, False, False, True, False])
    other = (both.policy[pairs:] - (both.reference[pairs:] - 5)).mean()
    yield row("kto", peer, kto(chosen, is_good, other, config).mean(), found["losses"]["kto"])


def rewards() -> Iterator[Row]:
    """Losses of reward models."""
    found, peer = read("trl_rewards")
    given = {name: torch.tensor(found[name]).float() for name in ("chosen", "rejected", "margin")}
    none = torch.zeros_like(given["margin"])
    for name, margin, centring in (
        ("plain", none, 0.0), ("margin", given["margin"], 0.0),
        ("centred", none, 0.01), ("both", given["margin"], 0.3),
    ):  # fmt: skip
        ours = pair_losses(given["chosen"], given["rejected"], margin, centring).mean()
        yield row(f"reward of answers, {name}", peer, ours, found["losses"][name])


def policies() -> Iterator[Row]:
    """Losses by sampled answers."""
    found, peer = read("trl_policy")
    lengths, longest = torch.tensor(found["lengths"]), len(found["policy"][0])
    mask = torch.arange(longest)[None] < lengths[:, None]
    columns = [torch.tensor(found[n]).float()[mask] for n in ("policy", "sampled", "reference")]
    answer = torch.arange(len(lengths))[:, None].expand_as(mask)[mask]
    gains = torch.tensor(found["advantages"]).float()[answer]
    divisors = {"dapo": int(lengths.sum()), "dr_grpo": len(lengths) * 12}
    for key, theirs in found["losses"].items():
        name, beta = key.split()
        config = PolicyLossConfig(name=name, clip_high=0.28, beta=float(beta))
        total = policy_loss(Tokens(*columns, gains, answer), config)
        title = f"{name}, beta {beta}" if config.beta else name
        yield row(title, peer, total / divisors.get(name, len(lengths)), theirs)


def ppo() -> Iterator[Row]:
    """PPO's advantages and losses."""
    found, peer = read("trl9_ppo")
    given = {name: np.array(values) for name, values in found.items() if name != "versions"}
    config = PolicyLossConfig(name="ppo", beta=0.3, discount=0.9, decay=0.8)
    of_tokens = -config.beta * (given["sampled"] - given["reference"])
    of_tokens[:, -1] += given["rewards"]
    gains = [
        token_advantages(r, v, config) for r, v in zip(of_tokens, given["values"], strict=True)
    ]
    ours = torch.from_numpy(np.stack(gains) + given["values"])
    yield row("ppo, returns", peer, ours, torch.from_numpy(given["returns"]))
    ours = torch.from_numpy(np.stack(whiten(gains)))
    yield row("ppo, whitened advantages", peer, ours, torch.from_numpy(given["advantages"]))
    flat = {name: torch.from_numpy(values).float().flatten() for name, values in given.items()}
    count, length = given["policy"].shape
    answer = torch.arange(count).repeat_interleave(length)
    names = ("policy", "sampled", "reference", "advantages")
    policy = policy_loss(Tokens(*(flat[name] for name in names), answer), config) / answer.numel()
    yield row("ppo, policy", peer, policy, found["policy_loss"])
    errors = value_losses(flat["new_values"], flat["values"], flat["returns"], config.value_clip)
    yield row("ppo, values", peer, errors.mean(), found["value_loss"])


def adapters() -> Iterator[Row]:
    """Logits of their adapters here, merged too, and of ours there."""
    folder, versions = FIXTURES / "adapters", {}
    for name in ("peft", "adapters"):
        lines = (ROOT / f"tests/oracles/{name}.txt").read_text(encoding="utf-8").split("\n")
        pinned = next(line for line in lines if line.startswith(f"{name}=="))
        versions[name] = pinned.replace("==", " ")
    there = {
        kind: found["difference"]
        for name in ("written", "bottlenecks")
        for kind, found in json.loads((folder / f"{name}.json").read_text("utf-8")).items()
    }
    ids = load_file(folder / "model/inputs.safetensors")["ids"]
    for kind in LORAS + PREFIXES + STYLES:
        peer = versions["adapters" if kind in STYLES else "peft"]
        model, expected = load(folder / "model"), load_file(folder / kind / "expected.safetensors")
        load_adapter(model, folder / kind)
        logits = model.logits(ids).detach()
        yield row(f"{kind}, theirs here", peer, logits, expected["logits"])
        if kind in LORAS:
            merge_adapter(model, "default")
            merged = model.logits(ids).detach()
            yield row(f"{kind}, theirs merged here", peer, merged, expected["merged"])
        yield Row(f"{kind}, ours there", peer, logits.numel(), there[kind])


def rows() -> list[Row]:
    """Everything that is compared."""
    return [each for part in (preferences, rewards, policies, ppo, adapters) for each in part()]


def page(compared: list[Row]) -> str:
    """The page as it should stand in the docs."""
    cells = ((r.what, r.peer, f"{r.values:,}", told(r.largest)) for r in compared)
    return HEAD + "".join(f"| {' | '.join(each)} |\n" for each in cells)


def told(largest: float) -> str:
    """A difference as the page tells it: rounding depends on the processor.

    >>> told(0.0), told(3e-8), told(2e-3)
    ('< 2e-06', '< 2e-06', '0.002')
    """
    bound = next((bound for bound in BOUNDS if largest < bound), None)
    return f"< {bound:.0e}" if bound else f"{largest:.4g}"


if __name__ == "__main__":
    PAGE.write_text(text := page(rows()), encoding="utf-8")
    print(text)
