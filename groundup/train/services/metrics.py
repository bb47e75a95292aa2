"""Metrics of each step: the file next to the checkpoints, model FLOPs utilisation, TensorBoard.

    MFU = tokens per second x FLOPs per token / (peak FLOP/s x processes)

FLOPs are those of the model, forward and backward, with attention at the sequence's length;
recomputation and masked halves that a kernel computes do not count. A CPU's peak is measured; a
CUDA device's is the maker's figure for dense matrices, since no quick measurement reaches it.
TensorBoard's event files have the same content; the metrics file remains the reference.
Source: Chowdhery et al. 2022, arXiv:2204.02311, appendix B.
"""

import math
import shutil
import statistics
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from groundup.core import Draft, MissingExtra, device, record
from groundup.model import ModelConfig, mean_flops_per_token

from ..checkpoint.store import ResumePoint
from ..loop import TrainStep
from .validation import BITS_PER_BYTE, SAMPLES_KEY

METRICS_FILE = "metrics.jsonl"


@contextmanager
def open_metrics(draft: Draft, resumed: ResumePoint) -> Iterator[record.MetricsFile]:
    """Metrics of a run, resumed from the checkpoint's step; copied into the log at the end.

    Until then they are next to the checkpoints, which survive a kill.
    """
    path = draft.scratch / METRICS_FILE
    metrics = record.MetricsFile(path, lambda row: row["step"] < resumed.step)
    try:
        yield metrics
    finally:
        metrics.close()
    shutil.copyfile(path, draft.log / METRICS_FILE)


def log_steps(
    steps: Iterable[TrainStep],
    metrics: record.MetricsFile,
    bar: record.ProgressReporter | None = None,
    *,
    utilisation: Callable[[TrainStep], float] | None = None,
) -> Iterator[TrainStep]:
    """Write each step to the metrics file and advance the progress bar by its tokens.

    utilisation  model FLOPs utilisation of a step, logged as `mfu`

    A non-finite loss is null; a step that was not applied has `applied: false`. After a rewind
    step numbers repeat, and the bar goes back too.
    """
    expected = None
    for step in steps:
        row: dict[str, Any] = {
            "loss": _round_finite(step.loss, 6),
            "gradient_norm": _round_finite(step.grad_norm, 4),
            "rate": round(step.lr_multiplier, 6),
            "tokens": step.tokens,
            "tokens_per_second": round(step.tokens / step.seconds),
        }
        shown = {"loss": step.loss}
        if utilisation is not None:
            shown["mfu"] = row["mfu"] = round(utilisation(step), 4)
        if not step.is_applied:
            row["applied"] = False
        metrics.write(step=step.number, **row)
        if bar is not None:
            if expected is None:  # the first step includes compilation
                bar.skip(step.tokens)
            else:
                bar.advance((1 + step.number - expected) * step.tokens, **shown)
        expected = step.number + 1
        yield step


def _round_finite(value: float, digits: int) -> float | None:
    """The value rounded, or None if it is not finite, which JSON lacks."""
    return round(value, digits) if math.isfinite(value) else None


def summarise_metrics(metrics: Path) -> dict[str, float]:
    """Numbers of a run from its metrics: last losses, median speed."""
    rows = record.read_metrics(metrics)
    losses = [row["loss"] for row in rows if row.get("loss") is not None]
    speeds = [row["tokens_per_second"] for row in rows if "tokens_per_second" in row]
    numbers = {"final loss": losses[-1]} if losses else {}
    if speeds:
        numbers["tokens per second"] = float(statistics.median(speeds))
    shares = [row["mfu"] for row in rows if "mfu" in row]
    numbers |= {"mfu": float(statistics.median(shares))} if shares else {}
    for column, name in (("validation", "validation loss"), (BITS_PER_BYTE, BITS_PER_BYTE)):
        values = [row[column] for row in rows if column in row]
        numbers |= {name: values[-1]} if values else {}
    return numbers


STATED_TFLOPS = {  # TFLOP/s, dense, 16-bit with 32-bit sums: the names' longest match counts
    "A100": 312.0,  # NVIDIA A100 datasheet, 2021
    "A10": 125.0,  # NVIDIA A10 datasheet, 2021
    "A10G": 70.0,  # NVIDIA A10G datasheet for AWS G5, 2021
    "A30": 165.0,  # NVIDIA A30 datasheet, 2021
    "A40": 149.7,  # NVIDIA A40 datasheet, 2021
    "A6000": 154.8,  # NVIDIA RTX A6000: 309.7 with sparsity, 2020
    "B200": 2250.0,  # NVIDIA DGX B200 datasheet, 2024: 18 PFLOP/s dense of 8
    "GH200": 989.4,  # NVIDIA GH200 datasheet, 2023: as H100 SXM
    "H100": 989.4,  # NVIDIA H100 SXM datasheet, 2022: 1,979 with sparsity
    "H100 NVL": 835.5,  # NVIDIA H100 NVL datasheet, 2023: 1,671 with sparsity
    "H100 PCIe": 756.0,  # NVIDIA H100 PCIe datasheet, 2022: 1,513 with sparsity
    "H200": 989.4,  # NVIDIA H200 datasheet, 2023: 1,979 with sparsity
    "L4": 121.0,  # NVIDIA L4 datasheet, 2023: 242 with sparsity
    "L40S": 362.0,  # NVIDIA L40S datasheet, 2023: 733 with sparsity
    "RTX 3090": 71.0,  # NVIDIA Ampere GA102 whitepaper, 2021
    "RTX 4090": 165.2,  # NVIDIA Ada whitepaper, 2023
    "T4": 65.0,  # NVIDIA T4 datasheet, 2019: float16
    "V100": 125.0,  # NVIDIA V100 datasheet, 2020: float16
}


def peak_flops(torch_device: torch.device, dtype: torch.dtype) -> float:
    """Peak FLOP/s of matrix products on a device: the maker's figure if known, or measured."""
    if torch_device.type == "cpu":
        speeds = device.measure_speeds()
        return speeds.bfloat16_flops if dtype == torch.bfloat16 else speeds.float32_flops
    if torch_device.type == "cuda" and dtype in (torch.bfloat16, torch.float16):
        stated = _stated_peak(torch.cuda.get_device_name(torch_device))
        if stated is not None:
            return stated
    return _measure_flops(torch_device, dtype)


def _stated_peak(name: str) -> float | None:
    """The maker's figure for a device name, by the longest match.

    >>> [_stated_peak(f"NVIDIA H100 {kind}") for kind in ("80GB HBM3", "PCIe")]
    [989400000000000.0, 756000000000000.0]
    >>> _stated_peak("NVIDIA A2")
    """
    words = name.replace("-", " ").split()
    names = [each for each in STATED_TFLOPS if all(word in words for word in each.split())]
    best = max(names, key=len, default=None)
    return None if best is None else 1e12 * STATED_TFLOPS[best]


def _measure_flops(place: torch.device, dtype: torch.dtype, size: int = 4096) -> float:
    """FLOP/s of a square matrix product, the best of several."""
    a, b = (torch.randn(size, size, device=place, dtype=dtype) for _ in range(2))

    def product() -> None:
        torch.mm(a, b)[0, 0].item()  # synchronises

    return 2 * size**3 / device.best_seconds(product)


def flops_utilisation(
    config: ModelConfig, length: int, tokens_per_second: float, peak: float
) -> float:
    """MFU, 0 to 1, of training on sequences of a length; `peak` of all processes, FLOP/s."""
    return mean_flops_per_token(config, length).training * tokens_per_second / peak


EVENTS_FOLDER = "tensorboard"
"""Folder of the event files in a run's log."""


@contextmanager
def tensorboard_events(folder: Path, metrics: record.MetricsFile, start: int = 0) -> Iterator[Path]:
    """Write every row of the metrics to event files too, until the block ends.

    start  first step to come: older events of this and later steps are hidden

    Raises MissingExtra if the package is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingExtra("tensorboard", "tensorboard") from error
    writer = SummaryWriter(str(folder), purge_step=start or None)

    def write_row(row: dict[str, Any]) -> None:
        for name, value in row.items():
            if name != "step":
                _add_value(writer, name, value, row["step"])
        writer.flush()

    metrics.listeners.append(write_row)
    try:
        yield folder
    finally:
        metrics.listeners.remove(write_row)
        writer.close()


def _add_value(writer: Any, name: str, value: Any, step: int) -> None:
    """Add one number, text or list under a name."""
    if isinstance(value, bool):
        value = int(value)
    if isinstance(value, int | float):
        writer.add_scalar(name, value, step)
    elif name == SAMPLES_KEY:
        for number, sample in enumerate(value):
            writer.add_text(f"{name}/{number}", f"**{sample['prompt']}**{sample['text']}", step)
    elif isinstance(value, str):
        writer.add_text(name, value, step)
    elif isinstance(value, list) and value and all(isinstance(v, int | float) for v in value):
        import numpy as np

        writer.add_histogram(name, np.array(value), step)
