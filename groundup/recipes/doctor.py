"""`groundup doctor`: what this machine has, how fast it is, what is missing and what that costs."""

import shutil
from pathlib import Path
from typing import NamedTuple

from groundup.core import device, record

EXTRAS = {
    "tantivy": ("retrieve", "groundup index and ask"),
    "rapidfuzz": ("evaluate", "fast edit distance"),
}


class Findings(NamedTuple):
    """What the machine has and does."""

    machine: device.Device
    speeds: device.Speeds
    disk_free_bytes: int
    """Where the command was given."""
    compute_dtype: str
    packages: dict[str, str]
    """Versions; empty where one is absent."""

    def __str__(self) -> str:
        """One aligned line a fact."""
        found, speeds = self.machine, self.speeds
        rows = [
            ("processor", f"{found.processor}, {found.cores} cores"),
            ("instructions", ", ".join(found.instruction_sets) or "none that matter here"),
            ("memory", f"{record.size(found.memory_bytes)}, {found.memory_bytes / 2**30:.1f} GiB"),
            ("disk here", f"{record.size(self.disk_free_bytes)} free"),
            ("CUDA", found.cuda or "none"),
            ("compiler", found.compiler or "none: models run uncompiled, slower but equal"),
            ("float32", f"{speeds.float32_flops / 1e9:,.0f} GFLOP/s"),
            ("bfloat16", f"{speeds.bfloat16_flops / 1e9:,.0f} GFLOP/s"),
            ("memory read", f"{speeds.read_bytes_per_second / 1e9:,.0f} GB/s"),
            ("measured", f"{speeds.measured}; anew with `groundup doctor --again`"),
            ("computes in", self.compute_dtype),
            *((name, version or remedy(name)) for name, version in self.packages.items()),
        ]
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def remedy(package: str) -> str:
    """What an absent package is for and how to get it."""
    extra, use = EXTRAS[package]
    return f"absent, needed for {use}: pip install 'groundup[{extra}]'"


def doctor(*, again: bool = False) -> Findings:
    """Look at the machine and say what groundup will do with it.

    again  measure the speeds anew instead of reading last time's figures
    """
    speeds, found = device.measure(again), device.describe()
    device.use_cores()
    return Findings(
        found,
        speeds,
        disk_free_bytes=shutil.disk_usage(Path.cwd()).free,
        compute_dtype=str(device.compute_dtype()).removeprefix("torch."),
        packages={name: device.package_version(name) for name in ("torch", *EXTRAS)},
    )
