"""Native states are the definitions in torch, to the bit; so is a step, but for torch's tails."""

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from groundup.core import ConfigError, ShapeError, device
from groundup.kernels import (
    StoredState,
    adamw_update,
    decode_state,
    encode_state,
    fits_native_states,
    has_native_states,
)
from groundup.train.optim.rules import AdamWStep, _update_exact
from groundup.train.optim.states import (
    QuantizedBlocks,
    dequantize_blocks,
    quantization_grid,
    quantize_state_blocks,
    round_stochastic,
    rounding_key,
)

pytestmark = pytest.mark.skipif(not device.compiler(), reason="no C++ compiler")
SHAPES = [(1, 1), (3, 40), (70, 300), (2, 5, 257), (1000,), (0, 7), (4, 0)]
FUSED_ALIKE = ("AVX2", "AVX512")
"""Where torch fuses products and sums alike; but its last numbers it takes in float64."""
SIGNED = (True, False)
MOVE = AdamWStep(1e-2, 3, 0.1, 0.9, 0.95, 1e-8)


def drawn(shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    """Numbers of many sizes."""
    made = torch.Generator().manual_seed(seed)
    power = torch.empty(shape).uniform_(-9, 0, generator=made)
    return torch.randn(shape, generator=made) * 10**power


def stored(blocks: QuantizedBlocks, block: int, signed: bool) -> StoredState:
    known = quantization_grid(signed)
    return StoredState(
        blocks.codes, blocks.scales, (known.values, known.midpoints, known.first_codes), block
    )


def check(values: torch.Tensor, block: int, signed: bool) -> None:
    """Written and read natively, and as the definition says."""
    wanted = quantize_state_blocks(values, block, signed)
    empty = QuantizedBlocks(torch.empty_like(wanted.codes), torch.empty_like(wanted.scales))
    own = stored(empty, block, signed)
    before = values.clone()
    encode_state(own, values)
    assert torch.equal(values.view(torch.int32), before.view(torch.int32)), "what is read stays"
    assert torch.equal(empty.codes, wanted.codes)
    torch.testing.assert_close(empty.scales, wanted.scales, rtol=0, atol=0, equal_nan=True)
    back = dequantize_blocks(wanted, block, signed)
    torch.testing.assert_close(decode_state(own), back, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("block", [8, 256])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_eight_bits_are_the_definition_s(shape, block, signed):
    values = drawn(shape) if signed else drawn(shape).square()
    for scale in (1.0, 1e-36, 1e-42, 1e36, 0.0):
        check(values * scale, block, signed)


@pytest.mark.parametrize("signed", [True, False])
def test_between_all_values_of_the_grid_the_same_is_nearest(signed):
    known = quantization_grid(signed)
    edges = known.midpoints[:-1]
    beside = [torch.nextafter(edges, torch.full_like(edges, side)) for side in (-2.0, 2.0)]
    check(torch.cat([known.values, edges, *beside, torch.ones(1)])[None], 2048, signed)


def test_damage_is_that_of_the_definition():
    values = drawn((7, 64))
    for row, odd in enumerate((torch.inf, -torch.inf, torch.nan, -torch.nan)):
        values[row, row] = odd
    values[4] = torch.inf
    values[5, :2] = torch.tensor([torch.nan, torch.inf])
    check(values, 32, True)
    own = StoredState(torch.zeros(7, 64, dtype=torch.bfloat16))
    encode_state(own, values)
    wanted = round_stochastic(values, torch.arange(7 * 64, dtype=torch.int32).view(7, 64), 0)
    torch.testing.assert_close(own.numbers, wanted, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("first", [0, 2**31 - 100])
def test_chance_is_of_key_and_place(shape, first):
    values, key = drawn(shape), rounding_key("a", 1)
    places = torch.arange(first, first + values.numel()).to(torch.int32).view(shape)
    starts = places[..., :1].contiguous()
    for each in (starts, None) if first == 0 else (starts,):
        own = StoredState(torch.zeros(shape, dtype=torch.bfloat16), starts=each, key=key)
        encode_state(own, values)
        assert torch.equal(own.numbers, round_stochastic(values, places, key))


def states(shape: tuple[int, ...], is_short: bool) -> tuple[StoredState, StoredState]:
    """A mean and a mean square, kept in few bits."""
    mean, square = drawn(shape, 1) * 1e-3, drawn(shape, 2).square() * 1e-6
    if is_short:
        return StoredState(mean.bfloat16(), key=5), StoredState(square.bfloat16(), key=-9)
    one, other = (
        stored(quantize_state_blocks(x, 32, s), 32, s) for x, s in ((mean, True), (square, False))
    )
    return one, other


def by_torch(
    weights, gradients, kept: tuple[StoredState, StoredState], move: AdamWStep
) -> list[torch.Tensor]:
    """The same step by the definitions; returns the states as they are kept."""
    is_short = kept[0].scales is None
    mean, square = (
        each.numbers.float()
        if is_short
        else dequantize_blocks(QuantizedBlocks(*each[:2]), 32, signed)
        for each, signed in zip(kept, SIGNED, strict=True)
    )
    _update_exact([weights], [gradients], [mean], [square], move)
    ends, places = (mean, square), torch.arange(weights.numel(), dtype=torch.int32)
    if is_short:
        places = places.view(weights.shape)
        return [round_stochastic(x, places, each.key) for x, each in zip(ends, kept, strict=True)]
    return [
        part for x, s in zip(ends, SIGNED, strict=True) for part in quantize_state_blocks(x, 32, s)
    ]


@pytest.mark.parametrize("is_short", [False, True], ids=["eight bits", "bfloat16"])
@pytest.mark.parametrize("shape", [(30, 160), (48, 300), (7, 33), (5,), (0, 7)], ids=str)
@pytest.mark.parametrize(
    "move", [MOVE, MOVE._replace(weight_decay=0.0, beta1=0.3, number=1), MOVE._replace(beta1=0.0)]
)
def test_a_step_is_torch_s(shape, move, is_short):
    weights, gradients, kept = drawn(shape, 3), drawn(shape, 4), states(shape, is_short)
    other = weights.clone()
    wanted = by_torch(other, gradients, kept, move)
    adamw_update(weights, gradients, *kept, move.kernel_factors())
    found = [part for each in kept for part in each[:2] if part is not None]
    if weights.numel() % 16 == 0 and torch.backends.cpu.get_cpu_capability() in FUSED_ALIKE:
        assert torch.equal(weights, other)
        assert all(torch.equal(one, two) for one, two in zip(found, wanted, strict=True))
        return
    torch.testing.assert_close(weights, other, rtol=1e-6, atol=1e-9)
    for one, two in zip(found, wanted, strict=True):
        torch.testing.assert_close(one.float(), two.float(), rtol=2**-7, atol=1.0)


def test_threads_change_no_bit():
    before, ends = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            weights, kept = drawn((50, 200), 3), states((50, 200), False)
            adamw_update(weights, drawn((50, 200), 4), *kept, MOVE.kernel_factors())
            ends.append((weights, kept[0].numbers, kept[1].numbers, kept[0].scales))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one, two) for one, two in zip(*ends, strict=True))


def test_only_plain_tensors_of_one_shape_go_by_address():
    codes, weight = torch.zeros(6, 8, dtype=torch.uint8), nn.Parameter(torch.zeros(6, 8))
    assert (
        fits_native_states(codes, weight)
        and not fits_native_states(codes, weight[:5])
        and not fits_native_states(codes.mT)
    )
    assert not fits_native_states(codes, weight.bfloat16()) and not fits_native_states(
        codes.to("meta")
    )
    with FakeTensorMode():
        assert not fits_native_states(torch.zeros(6, 8, dtype=torch.uint8))
    with pytest.raises(ShapeError, match="12 blocks have 6 scales"):
        decode_state(stored(QuantizedBlocks(codes, torch.zeros(6, 1)), 4, True))


def test_a_step_is_seen_by_torch():
    weights, kept = drawn((4, 64), 3), states((4, 64), True)
    version = weights._version
    adamw_update(weights, drawn((4, 64), 4), *kept, MOVE.kernel_factors())
    assert weights._version > version


def test_they_can_be_turned_off(monkeypatch):
    codes = torch.zeros(6, 8, dtype=torch.uint8)
    assert has_native_states() and fits_native_states(codes)
    for name, word in (("GROUNDUP_STATES", "torch"), ("GROUNDUP_COMPILE", "0")):
        monkeypatch.setenv(name, word)
        assert not has_native_states() and not fits_native_states(codes)
        monkeypatch.delenv(name)
    monkeypatch.setenv("GROUNDUP_STATES", "fast")
    with pytest.raises(ConfigError, match="GROUNDUP_STATES=fast must be native or torch, or not"):
        has_native_states()
