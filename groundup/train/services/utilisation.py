"""Model FLOPs utilisation (MFU): the share of the machine's peak that training uses.

    MFU = tokens per second x FLOPs per token / (peak FLOP/s x processes)

FLOPs are those of the model, forward and backward, with attention at the sequence's length;
recomputation and masked halves that a kernel computes do not count. A CPU's peak is measured; a
CUDA device's is the maker's figure for dense matrices, since no quick measurement reaches it.
Source: Chowdhery et al. 2022, arXiv:2204.02311, appendix B.
"""

from typing import NamedTuple

import torch

from groundup.core import device
from groundup.model import ModelConfig, mean_flops_per_token

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


class PeakFlops(NamedTuple):
    """Peak arithmetic of a device."""

    flops: float
    """FLOP/s."""
    source: str
    """`measured`, or the maker."""


def peak_flops(torch_device: torch.device, dtype: torch.dtype) -> PeakFlops:
    """Peak of matrix products in a dtype on a device: the maker's figure if known, or measured."""
    if torch_device.type == "cpu":
        speeds = device.measure_speeds()
        is_half = dtype == torch.bfloat16
        return PeakFlops(speeds.bfloat16_flops if is_half else speeds.float32_flops, "measured")
    if torch_device.type == "cuda" and dtype in (torch.bfloat16, torch.float16):
        stated = _stated_peak(torch.cuda.get_device_name(torch_device))
        if stated is not None:
            return stated
    return PeakFlops(_measure_flops(torch_device, dtype), "measured")


def _stated_peak(name: str) -> PeakFlops | None:
    """The maker's figure for a device name, by the longest match.

    >>> [_stated_peak(f"NVIDIA H100 {kind}").flops for kind in ("80GB HBM3", "PCIe")]
    [989400000000000.0, 756000000000000.0]
    >>> _stated_peak("NVIDIA A2")
    """
    words = name.replace("-", " ").split()
    names = [each for each in STATED_TFLOPS if all(word in words for word in each.split())]
    best = max(names, key=len, default=None)
    return None if best is None else PeakFlops(1e12 * STATED_TFLOPS[best], "NVIDIA")


def _measure_flops(place: torch.device, dtype: torch.dtype, size: int = 4096) -> float:
    """FLOP/s of a square matrix product, the best of several."""
    a, b = (torch.randn(size, size, device=place, dtype=dtype) for _ in range(2))

    def product() -> None:
        torch.mm(a, b)[0, 0].item()  # synchronises

    return 2 * size**3 / device.best_seconds(product)


class Utilisation(NamedTuple):
    """Computes MFU."""

    peak: PeakFlops
    processes: int = 1

    def flops_utilisation(
        self, config: ModelConfig, length: int, tokens_per_second: float
    ) -> float:
        """MFU, 0 to 1, of training on sequences of a length."""
        needed = mean_flops_per_token(config, length).training * tokens_per_second
        return needed / (self.peak.flops * self.processes)
