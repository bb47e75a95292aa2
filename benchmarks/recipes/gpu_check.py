"""What a GPU does with groundup: parity with the processor, speed of a 124M model, share of peak.

    make gpu-check  or  python -m benchmarks.recipes.gpu_check [--rows 32] [--length 1024]

Without a CUDA device nothing is measured, the exit code is 1, and benchmarks/results/gpu_check.json
keeps what the last run on one found, or that there was none.
"""

import argparse
import datetime
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch

from groundup.core import write_json
from groundup.model import (
    AttentionConfig,
    FeedForwardConfig,
    ModelConfig,
    Transformer,
    mean_flops_per_token,
)
from groundup.train import (
    LoopOptions,
    MicroBatch,
    OptimConfig,
    Optimizer,
    Precision,
    batch_to_device,
    causal_loss,
    make_lr_schedule,
    train,
)

RESULT = Path(__file__).resolve().parents[1] / "results" / "gpu_check.json"
NEVER = {"state": "never run", "why": "no CUDA device has been there; run `make gpu-check` on one"}
PARITY = {"logits": 2e-4, "loss of each step": 2e-4, "bfloat16 loss": 3e-2}
"""Largest differences from the processor in float32 that pass."""
STEPS = 5


def shape(heads: int, layers: int, vocab_size: int, length: int) -> ModelConfig:
    """A Llama shape with tied embeddings."""
    width = 64 * heads
    attention = AttentionConfig(heads=heads, kv_heads=heads, head_dim=64, qk_norm="none")
    return ModelConfig(
        vocab_size=vocab_size, width=width, layers=layers, context_length=length,
        attention=attention, feedforward=FeedForwardConfig(width=width * 8 // 3),
        tied_embeddings=True,
    )  # fmt: skip


def losses(config: ModelConfig, place: torch.device, dtype: torch.dtype) -> list[float]:
    """Losses of some steps on one packed batch."""
    model = Transformer(config).to(place)
    optim = OptimConfig(learning_rate=1e-3, warmup=0.0)
    optimizer = Optimizer(model.named_parameters(), optim)
    plan, rate = LoopOptions(STEPS, precision=Precision(dtype)), make_lr_schedule(optim, STEPS)
    batch = batch_to_device(drawn(config, 4, config.context_length), place)
    return [
        step.loss for step in train(model, lambda _: [batch], causal_loss, optimizer, rate, plan)
    ]


def drawn(config: ModelConfig, rows: int, length: int) -> MicroBatch:
    """Random rows of two documents each."""
    made = torch.Generator().manual_seed(0)
    ids = torch.randint(config.vocab_size, (rows, length + 1), generator=made)
    documents = (torch.arange(length) >= length // 2).long()[None].expand(rows, -1)
    weights = torch.ones(rows, length)
    return MicroBatch(ids[:, :-1].contiguous(), ids[:, 1:].contiguous(), weights, documents)


def parity(place: torch.device) -> dict[str, float]:
    """Largest differences between the processor and the GPU on a small model."""
    torch.backends.cuda.matmul.allow_tf32 = False
    config = shape(2, 2, 512, 128)
    model, ids = Transformer(config), drawn(config, 4, 128).ids
    with torch.no_grad():
        for block in model.layers:  # a new model adds nothing to the residual: see that it does
            for name, weight in block.named_parameters():
                if name.endswith(("o_proj.weight", "down_proj.weight")):
                    weight.normal_(std=0.02)
        exact = model.logits(ids)
        found = model.to(place).logits(ids.to(place)).cpu()
    processor = losses(config, torch.device("cpu"), torch.float32)
    same, half = (losses(config, place, dtype) for dtype in (torch.float32, torch.bfloat16))
    return {
        "logits": float((exact - found).abs().max()),
        "loss of each step": max(abs(a - b) for a, b in zip(processor, same, strict=True)),
        "bfloat16 loss": max(abs(a - b) for a, b in zip(processor, half, strict=True)),
    }


def peak_flops(place: torch.device) -> float:
    """Floating-point operations a second of an 8192-cubed product in bfloat16."""
    a = torch.randn(8192, 8192, device=place, dtype=torch.bfloat16)
    for _ in range(3):
        a @ a
    torch.cuda.synchronize()
    started = time.perf_counter()
    for _ in range(20):
        a @ a
    torch.cuda.synchronize()
    return 20 * 2 * 8192**3 / (time.perf_counter() - started)


def speed(place: torch.device, rows: int, length: int) -> dict[str, Any]:
    """Tokens a second, share of the peak and memory of a 124M model in training."""
    config = shape(12, 12, 50304, length)
    model = Transformer(config).to(place)
    compiled = model.compile_blocks()
    optim = OptimConfig(warmup=0.0)
    optimizer = Optimizer(model.named_parameters(), optim)
    batch = batch_to_device(drawn(config, rows, length), place)
    plan = LoopOptions(30, precision=Precision(torch.bfloat16))
    steps = train(
        model, lambda _: [batch], causal_loss, optimizer, make_lr_schedule(optim, 30), plan
    )
    for _ in range(10):
        next(steps)
    torch.cuda.reset_peak_memory_stats()
    seconds = sorted(next(steps).seconds for _ in range(20))[10]
    rate, peak = rows * length / seconds, peak_flops(place)
    return {
        "parameters": sum(p.numel() for p in model.parameters()), "rows": rows, "length": length,
        "compiled": compiled, "tokens_per_second": rate, "peak_flops": peak,
        "mfu": rate * mean_flops_per_token(config, length).training / peak,
        "peak_bytes": torch.cuda.max_memory_allocated(),
    }  # fmt: skip


def main() -> int:
    """Check, or say that it cannot be checked here."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--length", type=int, default=1024)
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        if not RESULT.exists():
            write_json(RESULT, NEVER)
        last = json.loads(RESULT.read_text(encoding="utf-8"))
        never = last["state"] == "never run"
        told = "it has never run on one" if never else f"last: {last['gpu']}, {last['date']}"
        print(f"gpu-check: no CUDA device here, nothing measured; {told}.", file=sys.stderr)
        return 1
    place = torch.device("cuda")
    differences = parity(place)
    failed = [name for name, bound in PARITY.items() if not differences[name] <= bound]
    found = {
        "state": "failed" if failed else "passed", "date": datetime.date.today().isoformat(),
        "gpu": torch.cuda.get_device_name(0), "torch": torch.__version__,
        "parity": differences, "bounds": PARITY,
        "speed": speed(place, arguments.rows, arguments.length),
    }  # fmt: skip
    write_json(RESULT, found)
    print(json.dumps(found, indent=1))
    for name in failed:
        print(f"gpu-check: {name} differs by {differences[name]:.2g}; expected at most "
              f"{PARITY[name]:.2g}.", file=sys.stderr)  # fmt: skip
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
