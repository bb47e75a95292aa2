"""Where a step of training spends its processor time: one profiled step, by kind of work.

    OMP_NUM_THREADS=1 python -m benchmarks.train.profile [--size 14M] [--top 25]

Blocks are compiled with the compiler's own marks around every kernel it writes, so this run is a
little slower than training; shares, not times, are its result. With one thread the shares are those
of processor time even while other work runs on the machine.
"""

import argparse
import os
import re

import torch
import torch._inductor.config as inductor
from torch.profiler import ProfilerActivity, profile

from benchmarks.train.train import LENGTH, SIZES, our_shape, random_ids
from groundup.core import device
from groundup.model import Transformer
from groundup.train import (
    LoopOptions,
    MicroBatch,
    OptimConfig,
    Optimizer,
    Precision,
    causal_loss,
    make_lr_schedule,
    train,
)

KINDS = {
    "matrix products": r"aten::(mm|addmm)$",
    "attention: products": r"aten::(bmm|baddbmm)$",
    "loss: softmax": r"cpp_fused.*log_softmax|ChunkedCrossEntropy|aten::_?log_softmax",
    "attention: softmax": r"groundup::interval_softmax|cpp_fused.*softmax|flash_attention",
    "norms, rotary, gates, residual, casts": r"cpp_fused|CompiledFxGraph",
    "optimizer": r"aten::(_foreach|_fused|addcdiv|addcmul|lerp|sqrt)",
    "norm of the gradient": r"aten::(linalg_vector_norm|_foreach_norm)",
}
"""What a profiled name belongs to, the first that fits."""


def main() -> None:
    """Profile and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=SIZES, default="14M")
    parser.add_argument("--matrices", choices=("adamw", "muon"), default="adamw")
    parser.add_argument("--top", type=int, default=25, help="names that are listed")
    arguments = parser.parse_args()
    os.environ["GROUNDUP_COMPILE_CACHE"] = "0"  # code with marks is kept for nobody
    inductor.cpp.enable_kernel_profile = True
    inductor.cpp.descriptive_names = "original_aten"
    device.set_num_threads()
    work = SIZES[arguments.size]
    model = Transformer(our_shape(work))
    model.compile_blocks()
    config = OptimConfig(matrix_optimizer=arguments.matrices, learning_rate=1e-3, warmup=0.0)
    optimizer = Optimizer(model.named_parameters(), config)
    ids, half = random_ids(work), torch.arange(LENGTH) >= LENGTH // 2
    documents = half.long()[None].expand(len(ids), -1)
    batch = MicroBatch(ids[:, :-1], ids[:, 1:], torch.ones(ids[:, 1:].shape), documents)
    plan = LoopOptions(10**6, precision=Precision(device.compute_dtype()))
    steps = train(
        model, lambda _: [batch], causal_loss, optimizer, make_lr_schedule(config, 10**6), plan
    )
    for _ in range(3):
        next(steps)
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        next(steps)
    own = sorted(((e.self_cpu_time_total, e.key) for e in profiled.key_averages()), reverse=True)
    whole, kinds = sum(time for time, _ in own), dict.fromkeys([*KINDS, "other"], 0.0)
    for time, name in own:
        kinds[next((kind for kind, fits in KINDS.items() if re.search(fits, name)), "other")] += (
            time
        )
    for kind, time in sorted(kinds.items(), key=lambda pair: -pair[1]):
        print(f"{time / whole:6.1%}  {kind}")
    print()
    for time, name in own[: arguments.top]:
        print(f"{time / whole:6.1%}  {name[:90]}")


if __name__ == "__main__":
    main()
