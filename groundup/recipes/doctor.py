"""`groundup doctor`: what this machine has, how fast it is, what is missing and what that costs."""

import shutil
from importlib.util import find_spec
from pathlib import Path

from groundup.core import device, record

EXTRAS = {
    "tantivy": ("retrieve", "groundup index and ask"),
    "rapidfuzz": ("evaluate", "fast edit distance"),
}


def doctor(*, again: bool = False) -> str:
    """Look at the machine and say what groundup will do with it.

    again  measure the speeds anew instead of reading last time's figures
    """
    speeds, found = device.measure(again), device.describe()
    device.use_cores()
    rows = [
        ("processor", f"{found.processor}, {found.cores} cores"),
        ("instructions", ", ".join(found.instruction_sets) or "none that matter here"),
        ("memory", record.size(found.memory_bytes)),
        ("disk here", f"{record.size(shutil.disk_usage(Path.cwd()).free)} free"),
        ("CUDA", found.cuda or "none"),
        ("compiler", found.compiler or "none: models run uncompiled, slower but equal"),
        ("float32", f"{speeds.float32_flops / 1e9:,.0f} GFLOP/s"),
        ("bfloat16", f"{speeds.bfloat16_flops / 1e9:,.0f} GFLOP/s"),
        ("memory read", f"{speeds.read_bytes_per_second / 1e9:,.0f} GB/s"),
        ("computes in", str(device.compute_dtype()).removeprefix("torch.")),
        ("torch", device.package_version("torch")),
    ]
    for package, (extra, use) in EXTRAS.items():
        there = find_spec(package) is not None
        note = (
            device.package_version(package)
            if there
            else f"absent, needed for {use}: pip install 'groundup[{extra}]'"
        )
        rows.append((package, note))
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)
