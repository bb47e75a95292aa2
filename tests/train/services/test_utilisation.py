"""The share of the peak is what the formula says, and the makers' figures are what they say."""

import pytest
import torch

from groundup.core import device
from groundup.model import ModelConfig, mean_flops_per_token
from groundup.train.services.utilisation import (
    STATED_TFLOPS,
    PeakFlops,
    Utilisation,
    _measure_flops,
    _stated_peak,
    peak_flops,
)


def test_the_share_by_hand():
    config = ModelConfig()
    flops = mean_flops_per_token(config, 512).training
    use = Utilisation(PeakFlops(1e12, "measured"), processes=2)
    assert use.flops_utilisation(config, 512, 1000.0) == pytest.approx(flops * 1000 / 2e12)


@pytest.mark.parametrize(
    "name, teraflops",
    [
        ("NVIDIA A100-SXM4-80GB", 312.0),
        ("NVIDIA H100 80GB HBM3", 989.4),
        ("NVIDIA H100 PCIe", 756.0),
        ("NVIDIA H100 NVL", 835.5),
        ("NVIDIA H200", 989.4),
        ("NVIDIA GH200 480GB", 989.4),
        ("NVIDIA A10G", 70.0),
        ("NVIDIA L40S", 362.0),
        ("Tesla V100-SXM2-16GB", 125.0),
        ("NVIDIA GeForce RTX 4090", 165.2),
    ],
)
def test_devices_are_known_by_name(name, teraflops):
    found = _stated_peak(name)
    assert found is not None and found.flops == teraflops * 1e12


def test_an_unknown_device_is_measured_not_guessed():
    assert _stated_peak("NVIDIA GeForce RTX 5050") is None
    assert _stated_peak("NVIDIA A1000") is None
    assert _measure_flops(torch.device("cpu"), torch.float32, size=64) > 1e6


def test_twice_as_large_figures_are_those_with_sparsity():
    # NVIDIA states 1,979 for the H100 SXM with sparsity: the dense half is what counts.
    assert STATED_TFLOPS["H100"] == pytest.approx(1979 / 2, rel=1e-3)
    assert STATED_TFLOPS["H100 PCIe"] == pytest.approx(1513 / 2, rel=1e-3)


def test_a_processor_is_held_to_what_was_measured_in_its_dtype(monkeypatch):
    monkeypatch.setattr(device, "measure_speeds", lambda: device.Speeds(1e11, 3e11, 1e10))
    cpu = torch.device("cpu")
    assert peak_flops(cpu, torch.bfloat16) == PeakFlops(3e11, "measured")
    assert peak_flops(cpu, torch.float32) == PeakFlops(1e11, "measured")
