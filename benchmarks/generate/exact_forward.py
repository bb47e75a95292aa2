"""What does a training step cost whose log-probabilities have the sampler's bits?

    python -m benchmarks.generate.exact_forward [--rounds 7]    some minutes

A step (forward, backward, fused AdamW) with `ExactForward.loss` alternates with one whose forward
pass is the model's own, uncompiled and compiled. Each has its own model, with equal weights and
batches, in float32. The weights change in every step, so every exact step packs them again; packing
alone is timed too. First sampled answers are compared with the exact forward pass: their
log-probabilities must be equal to the bit.

Results: results/exact_forward.json.
"""

import argparse
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch

from benchmarks import table
from groundup.core import Sampling
from groundup.generate import BatchEngine, DecodeRequest, ExactForward
from groundup.kernels import LossSum
from groundup.model import NativeDecoder, Transformer, from_depth
from groundup.train import MicroBatch, causal_loss

DEPTH, VOCABULARY = 8, 8192
SHAPES = ((4, 512),)
"""Sequences of a step, and their tokens."""


def main() -> None:
    """Print and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    rows, notes = list[table.Row](), dict[str, Any]()
    for count, length in SHAPES:
        own, work, share = compare_steps(count, length, arguments.rounds)
        rows += own
        notes[f"packing's share of a step, {work}"] = round(share, 4)
    table.report("exact_forward", rows, notes)


def compare_steps(count: int, length: int, rounds: int) -> tuple[list[table.Row], str, float]:
    """Rows against both plain steps, the work's name, and the share of packing in an exact step."""
    models = {name: build_model(length) for name in ("exact", "plain", "compiled")}
    models["compiled"].compile_blocks()
    exact = ExactForward(models["exact"])
    check_bits(models["exact"], exact)
    losses = {"exact": exact.loss, "plain": causal_loss, "compiled": causal_loss}
    batch = draw_batch(count, length)
    sides = {name: step_of(models[name], losses[name], batch) for name in models}
    seconds = table.alternate(sides, rounds, warm_up=2)
    decoder, packing = NativeDecoder(models["exact"], 1), list[float]()
    for _ in range(rounds):
        started = time.perf_counter()
        decoder.refresh()
        packing.append(time.perf_counter() - started)
    size = sum(weight.numel() for weight in models["exact"].parameters()) / 1e6
    work = f"training step {size:.0f} M, {count} x {length}, float32"
    rows = [
        table.compare(
            work, "s", seconds["exact"], seconds[name], table.Peer(f"ours, {how}", "as plain"),
            less_is_better=True,
        )
        for name, how in (("plain", "not exact"), ("compiled", "not exact, compiled"))
    ]  # fmt: skip
    return rows, work, median(packing) / median(seconds["exact"])


def build_model(length: int) -> Transformer:
    """A model whose every weight counts."""
    model = Transformer(from_depth(DEPTH, VOCABULARY, context_length=length).config).train()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.02 * torch.randn(weight.shape, generator=generator)
    return model


def draw_batch(count: int, length: int) -> MicroBatch:
    """Rows of random ids."""
    ids = torch.randint(VOCABULARY, (count, length + 1), generator=torch.Generator().manual_seed(1))
    return MicroBatch(ids[:, :-1], ids[:, 1:], torch.ones(count, length), None)


def step_of(
    model: Transformer, loss: Callable[[Any, MicroBatch], LossSum], batch: MicroBatch
) -> Callable[[], float]:
    """A function that takes a step and returns its seconds."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)

    def step() -> float:
        started = time.perf_counter()
        total, weight = loss(model, batch)
        (total / weight).backward()
        optimizer.step()
        optimizer.zero_grad()
        return time.perf_counter() - started

    return step


def check_bits(model: Transformer, exact: ExactForward) -> None:
    """Stop unless sampled answers have the exact forward pass's log-probabilities."""
    prompts = torch.randint(VOCABULARY, (4, 100), generator=torch.Generator().manual_seed(2))
    engine, answers = BatchEngine(NativeDecoder(model, 32)), []
    for ids in prompts.tolist():
        request = engine.add(DecodeRequest(ids, Sampling(max_tokens=32, temperature=1.0)))
        answers += [event.ended for event in engine.stream([request]) if event.ended is not None]
    with torch.no_grad():
        found = exact.answer_logprobs(prompts.tolist(), [each.ids for each in answers])
    if [each.tolist() for each in found] != [each.logprobs for each in answers]:
        raise SystemExit("exact_forward.py: the sampler's log-probabilities differ.")


if __name__ == "__main__":
    main()
