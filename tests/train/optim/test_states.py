"""States are kept in each format by its definition, and rounding is right on average."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from groundup.train import OptimConfig
from groundup.train.optim.states import (
    OptimizerState,
    _lookup_codes,
    _nearest_codes,
    _random_bits,
    _state_dtype,
    dequantize_blocks,
    quantization_grid,
    quantize_state_blocks,
    round_stochastic,
    rounding_key,
    row_chunks,
)

CONFIG = OptimConfig()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "8bit"])
@pytest.mark.parametrize("shape", [(5,), (8, 8), (70, 300), (4, 40, 257), ()])
def test_a_state_takes_the_bytes_of_its_format(dtype, shape):
    weight = nn.Parameter(torch.zeros(shape))
    kept = OptimizerState("mean", {"w": weight}, dtype, CONFIG)
    held = sum(tensor.numel() * tensor.element_size() for tensor in kept.state().values())
    count, kind, columns = weight.numel(), _state_dtype(weight, dtype), (shape or (1,))[-1]
    blocks = count // columns * -(-columns // CONFIG.state_block)
    assert held == {"float32": 4 * count, "bfloat16": 2 * count, "8bit": count + 4 * blocks}[kind]


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


FIXTURE = Path(__file__).parents[2] / "fixtures" / "optim" / "grids.json"


@pytest.mark.parametrize("signed", [True, False])
def test_the_grid_is_that_of_bitsandbytes(signed):
    expected = json.loads(FIXTURE.read_text())["signed" if signed else "unsigned"]
    torch.testing.assert_close(
        quantization_grid(signed).values, torch.tensor(expected), atol=1e-7, rtol=1e-6
    )


@pytest.mark.parametrize("signed", [True, False])
def test_the_table_finds_what_the_search_finds(signed):
    known = quantization_grid(signed)
    drawn = torch.empty(100_000).uniform_(-1 if signed else 0, 1)
    small = drawn * 10 ** torch.empty(100_000).uniform_(-9, 0)
    edges = known.midpoints[:-1]
    beside = [torch.nextafter(edges, torch.full_like(edges, side)) for side in (-2.0, 2.0)]
    values = torch.cat([drawn, small, known.values, edges, *beside, torch.zeros(1)])
    assert torch.equal(_lookup_codes(values, signed), _nearest_codes(values, signed))


def test_what_is_on_the_grid_comes_back_exactly():
    values = quantization_grid(True).values[None] * torch.tensor([[3.0], [0.02]])
    assert torch.equal(
        dequantize_blocks(quantize_state_blocks(values, 256, True), 256, True), values
    )


@pytest.mark.parametrize("columns", [1, 255, 256, 300])
def test_every_number_is_near_and_the_largest_of_a_block_is_exact_above_zero(columns):
    values = torch.randn(3, 5, columns)
    blocks = quantize_state_blocks(values, 256, True)
    assert blocks.codes.shape == values.shape and blocks.codes.dtype == torch.uint8
    assert blocks.scales.shape == (3, 5, -(-columns // 256))
    back = dequantize_blocks(blocks, 256, True)
    largest = values[..., :256].abs().amax(-1, keepdim=True)
    assert ((back - values)[..., :256].abs() <= 0.0071 * largest + 1e-7).all()
    is_top = values[..., :256] == largest
    assert is_top.any() and torch.equal(back[..., :256][is_top], values[..., :256][is_top])


@pytest.mark.parametrize("signed", [True, False])
def test_zeros_stay_zero(signed):
    assert not dequantize_blocks(
        quantize_state_blocks(torch.zeros(2, 300), 256, signed), 256, signed
    ).any()


PLACES = torch.arange(1 << 16, dtype=torch.int32)


def test_the_mean_is_right_and_only_neighbours_come():
    value = torch.full((1 << 16,), 0.1)
    found = round_stochastic(value, PLACES, rounding_key(0, 1)).float()
    assert len(found.unique()) == 2
    assert found.unique()[0] < 0.1 < found.unique()[1]
    spread = float(found.unique().diff())
    assert abs(float(found.mean()) - 0.1) < 4 * spread / 2 / 256  # four standard errors


def test_what_bfloat16_holds_stays_and_signs_are_kept():
    exact = torch.randn(1000).bfloat16().float()
    assert torch.equal(round_stochastic(exact, PLACES[:1000], 5).float(), exact)
    values = torch.randn(1 << 16) * 1e-3
    assert torch.equal(round_stochastic(values, PLACES, 5).sign().float(), values.sign())


def test_it_is_a_function_of_key_and_place():
    values = torch.randn(1 << 16)
    one = round_stochastic(values, PLACES, 5)
    assert torch.equal(one, round_stochastic(values, PLACES, 5))
    assert not torch.equal(one, round_stochastic(values, PLACES, 6))
    assert torch.equal(one[1000:2000], round_stochastic(values[1000:2000], PLACES[1000:2000], 5))


def test_chance_is_even_and_neighbours_and_steps_are_independent():
    drawn = _random_bits(PLACES, rounding_key(0, 1)).double() / 65536
    later = _random_bits(PLACES, rounding_key(0, 2)).double() / 65536
    assert abs(float(drawn.mean()) - 0.5) < 0.005 and abs(float(drawn.var()) - 1 / 12) < 0.002
    pairs = [(drawn[:-1], drawn[1:]), (drawn[:-256], drawn[256:]), (drawn, later)]
    for pair in pairs:
        assert abs(float(torch.corrcoef(torch.stack(pair))[0, 1])) < 0.016  # four standard errors
