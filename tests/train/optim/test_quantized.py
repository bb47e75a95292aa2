"""Eight bits are bitsandbytes' values, found by table as by search."""

import json
from pathlib import Path

import pytest
import torch

from groundup.train.optim.quantized import (
    _lookup_codes,
    _nearest_codes,
    dequantize_blocks,
    quantization_grid,
    quantize_state_blocks,
)

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
