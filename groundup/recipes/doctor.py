"""`groundup doctor`: hardware, speed, and missing optional packages of this machine."""

import shutil
from pathlib import Path
from typing import NamedTuple

from groundup.core import device, record

EXTRAS = {
    "tantivy": ("retrieve", "groundup index and ask"),
    "rapidfuzz": ("evaluate", "fast edit distance"),
}


class MachineReport(NamedTuple):
    """Properties of the machine."""

    machine: device.Device
    speeds: device.Speeds
    disk_free_bytes: int
    """Free space in the working directory."""
    compute_dtype: str
    packages: dict[str, str]
    """Versions by name; empty if not installed."""

    def __str__(self) -> str:
        """One aligned line per fact."""
        machine, speeds, lacks = self.machine, self.speeds, device.missing_compiler()
        rows = [
            ("processor", f"{machine.processor}, {machine.cores} cores"),
            ("instructions", ", ".join(machine.instruction_sets) or "none that matter here"),
            (
                "memory",
                f"{record.format_bytes(machine.memory_bytes)}, {machine.memory_bytes / 2**30:.1f} "
                f"GiB",
            ),
            ("disk here", f"{record.format_bytes(self.disk_free_bytes)} free"),
            ("CUDA", machine.cuda or "none"),
            ("compiler", machine.compiler or f"{lacks}: models run uncompiled, slower but equal"),
            ("float32", _format_flops(speeds.float32_flops)),
            ("bfloat16", _format_flops(speeds.bfloat16_flops)),
            ("memory read", f"{speeds.read_bytes_per_second / 1e9:,.0f} GB/s"),
            ("measured", f"{speeds.measured}; anew with `groundup doctor --again`"),
            ("computes in", self.compute_dtype),
            *((name, version or _install_hint(name)) for name, version in self.packages.items()),
        ]
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def _format_flops(flops: float) -> str:
    return f"{flops / 1e9:,.0f} GFLOP/s" if flops >= 1e10 else f"{flops / 1e9:.2g} GFLOP/s"


def _install_hint(package: str) -> str:
    extra, use = EXTRAS[package]
    return f"absent, needed for {use}: pip install 'groundup[{extra}]'"


def doctor(*, again: bool = False) -> MachineReport:
    """Describe the machine and how groundup will use it.

    again  measure the speeds again instead of reading cached figures
    """
    speeds, machine = device.measure_speeds(again), device.detect_device()
    device.set_num_threads()
    return MachineReport(
        machine,
        speeds,
        disk_free_bytes=shutil.disk_usage(Path.cwd()).free,
        compute_dtype=str(device.compute_dtype()).removeprefix("torch."),
        packages={name: device.package_version(name) for name in ("torch", *EXTRAS)},
    )
