"""States take the room that the formula says, and read back what was written."""

import pytest
import torch
from torch import nn

from groundup.train import OptimConfig
from groundup.train.optim.states import OptimizerState, _state_dtype, row_chunks, stored_state_bytes

CONFIG = OptimConfig()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "8bit"])
@pytest.mark.parametrize("shape", [(5,), (8, 8), (70, 300), (4, 40, 257), ()])
def test_the_formula_counts_the_tensors(dtype, shape):
    weight = nn.Parameter(torch.zeros(shape))
    kept = OptimizerState("mean", {"w": weight}, dtype, CONFIG)
    held = sum(tensor.numel() * tensor.element_size() for tensor in kept.state().values())
    assert held == stored_state_bytes(weight, dtype, CONFIG.state_block)


def test_small_weights_are_kept_exact():
    assert _state_dtype(torch.zeros(8, 8), "8bit") == "float32"
    assert _state_dtype(torch.zeros(9000), "8bit") == "float32"
    assert _state_dtype(torch.zeros(64, 64), "8bit") == "8bit"
    assert _state_dtype(torch.zeros(8), "bfloat16") == "bfloat16"


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "8bit"])
def test_rows_written_one_by_one_are_the_whole(dtype):
    values = torch.randn(70, 300)
    for_all, by_rows = (
        OptimizerState("m", {"w": torch.zeros(70, 300)}, dtype, CONFIG) for _ in range(2)
    )
    for kept, parts in ((for_all, [slice(None)]), (by_rows, [slice(0, 7), slice(7, 70)])):
        for rows in parts:
            found = kept.read("w", rows)
            assert not found.any()
            found.copy_(values[rows])
            kept.write("w", found, 3, rows)
    assert all(torch.equal(t, by_rows.state()[n]) for n, t in for_all.state().items())
    assert (for_all.read("w") - values).abs().max() < (1e-9 if dtype == "float32" else 0.04)


@pytest.mark.parametrize("dtype", ["bfloat16", "8bit"])
def test_the_loops_in_c_keep_what_torch_keeps(dtype, monkeypatch):
    drawn = torch.Generator().manual_seed(0)
    values = torch.randn(5, 70, 300, generator=drawn)
    ends = []
    for way in ("native", "torch"):
        monkeypatch.setenv("GROUNDUP_STATES", way)
        kept = OptimizerState("m", {"w": torch.zeros(5, 70, 300)}, dtype, CONFIG)
        for rows in (slice(0, 2), slice(2, 5)):
            kept.write("w", values[rows], 3, rows)
        kept.write("w", kept.read("w", slice(1, 3)).mul_(0.7), 4, slice(1, 3))
        ends.append([*kept.state().values(), kept.read("w")])
    assert all(torch.equal(one, two) for one, two in zip(*ends, strict=True))


def test_parts_cover_the_rows():
    weight = torch.zeros(1000, 700)
    parts = list(row_chunks(weight))
    assert len(parts) > 1 and sum(p.stop - p.start for p in parts) == 1000
    assert list(row_chunks(torch.zeros(0, 700))) == []
