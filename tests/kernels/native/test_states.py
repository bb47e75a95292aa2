"""Native states are the definitions in torch, to the bit; so is a step, but for torch's tails."""

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from groundup.core import ConfigError, ShapeError, device
from groundup.kernels import Stored, fits, has_states, move_states, read_state, write_state
from groundup.train.optim.adamw import Move, adamw
from groundup.train.optim.blocks import Blocks, decode, encode, grid
from groundup.train.optim.rounding import key_of, rounded

pytestmark = pytest.mark.skipif(not device.compiler(), reason="no C++ compiler")
SHAPES = [(1, 1), (3, 40), (70, 300), (2, 5, 257), (1000,), (0, 7), (4, 0)]
FUSED_ALIKE = ("AVX2", "AVX512")
"""Where torch fuses products and sums alike; but its last numbers it takes in float64."""
SIGNED = (True, False)
MOVE = Move(1e-2, 3, 0.1, 0.9, 0.95, 1e-8)


def drawn(shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    """Numbers of many sizes."""
    made = torch.Generator().manual_seed(seed)
    power = torch.empty(shape).uniform_(-9, 0, generator=made)
    return torch.randn(shape, generator=made) * 10**power


def stored(blocks: Blocks, block: int, signed: bool) -> Stored:
    known = grid(signed)
    return Stored(blocks.codes, blocks.scales, (known.values, known.middles, known.first), block)


def check(values: torch.Tensor, block: int, signed: bool) -> None:
    """Written and read natively, and as the definition says."""
    wanted = encode(values, block, signed)
    empty = Blocks(torch.empty_like(wanted.codes), torch.empty_like(wanted.scales))
    own = stored(empty, block, signed)
    before = values.clone()
    write_state(own, values)
    assert torch.equal(values.view(torch.int32), before.view(torch.int32)), "what is read stays"
    assert torch.equal(empty.codes, wanted.codes)
    torch.testing.assert_close(empty.scales, wanted.scales, rtol=0, atol=0, equal_nan=True)
    back = decode(wanted, block, signed)
    torch.testing.assert_close(read_state(own), back, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("block", [8, 256])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_eight_bits_are_the_definition_s(shape, block, signed):
    values = drawn(shape) if signed else drawn(shape).square()
    for scale in (1.0, 1e-36, 1e-42, 1e36, 0.0):
        check(values * scale, block, signed)


@pytest.mark.parametrize("signed", [True, False])
def test_between_all_values_of_the_grid_the_same_is_nearest(signed):
    known = grid(signed)
    edges = known.middles[:-1]
    beside = [torch.nextafter(edges, torch.full_like(edges, side)) for side in (-2.0, 2.0)]
    check(torch.cat([known.values, edges, *beside, torch.ones(1)])[None], 2048, signed)


def test_damage_is_that_of_the_definition():
    values = drawn((7, 64))
    for row, odd in enumerate((torch.inf, -torch.inf, torch.nan, -torch.nan)):
        values[row, row] = odd
    values[4] = torch.inf
    values[5, :2] = torch.tensor([torch.nan, torch.inf])
    check(values, 32, True)
    own = Stored(torch.zeros(7, 64, dtype=torch.bfloat16))
    write_state(own, values)
    wanted = rounded(values, torch.arange(7 * 64, dtype=torch.int32).view(7, 64), 0)
    torch.testing.assert_close(own.numbers, wanted, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("first", [0, 2**31 - 100])
def test_chance_is_of_key_and_place(shape, first):
    values, key = drawn(shape), key_of("a", 1)
    places = torch.arange(first, first + values.numel()).to(torch.int32).view(shape)
    starts = places[..., :1].contiguous()
    for each in (starts, None) if first == 0 else (starts,):
        own = Stored(torch.zeros(shape, dtype=torch.bfloat16), starts=each, key=key)
        write_state(own, values)
        assert torch.equal(own.numbers, rounded(values, places, key))


def states(shape: tuple[int, ...], is_short: bool) -> tuple[Stored, Stored]:
    """A mean and a mean square, kept in few bits."""
    mean, square = drawn(shape, 1) * 1e-3, drawn(shape, 2).square() * 1e-6
    if is_short:
        return Stored(mean.bfloat16(), key=5), Stored(square.bfloat16(), key=-9)
    one, other = (stored(encode(x, 32, s), 32, s) for x, s in ((mean, True), (square, False)))
    return one, other


def by_torch(weights, gradients, kept: tuple[Stored, Stored], move: Move) -> list[torch.Tensor]:
    """The same step by the definitions; returns the states as they are kept."""
    is_short = kept[0].scales is None
    mean, square = (
        each.numbers.float() if is_short else decode(Blocks(*each[:2]), 32, signed)
        for each, signed in zip(kept, SIGNED, strict=True)
    )
    adamw([weights], [gradients], [mean], [square], move)
    ends, places = (mean, square), torch.arange(weights.numel(), dtype=torch.int32)
    if is_short:
        places = places.view(weights.shape)
        return [rounded(x, places, each.key) for x, each in zip(ends, kept, strict=True)]
    return [part for x, s in zip(ends, SIGNED, strict=True) for part in encode(x, 32, s)]


@pytest.mark.parametrize("is_short", [False, True], ids=["eight bits", "bfloat16"])
@pytest.mark.parametrize("shape", [(30, 160), (48, 300), (7, 33), (5,), (0, 7)], ids=str)
@pytest.mark.parametrize(
    "move", [MOVE, MOVE._replace(decay=0.0, beta1=0.3, number=1), MOVE._replace(beta1=0.0)]
)
def test_a_step_is_torch_s(shape, move, is_short):
    weights, gradients, kept = drawn(shape, 3), drawn(shape, 4), states(shape, is_short)
    other = weights.clone()
    wanted = by_torch(other, gradients, kept, move)
    move_states(weights, gradients, *kept, move.factors())
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
            move_states(weights, drawn((50, 200), 4), *kept, MOVE.factors())
            ends.append((weights, kept[0].numbers, kept[1].numbers, kept[0].scales))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one, two) for one, two in zip(*ends, strict=True))


def test_only_plain_tensors_of_one_shape_go_by_address():
    codes, weight = torch.zeros(6, 8, dtype=torch.uint8), nn.Parameter(torch.zeros(6, 8))
    assert fits(codes, weight) and not fits(codes, weight[:5]) and not fits(codes.mT)
    assert not fits(codes, weight.bfloat16()) and not fits(codes.to("meta"))
    with FakeTensorMode():
        assert not fits(torch.zeros(6, 8, dtype=torch.uint8))
    with pytest.raises(ShapeError, match="12 blocks have 6 scales"):
        read_state(stored(Blocks(codes, torch.zeros(6, 1)), 4, True))


def test_a_step_is_seen_by_torch():
    weights, kept = drawn((4, 64), 3), states((4, 64), True)
    version = weights._version
    move_states(weights, drawn((4, 64), 4), *kept, MOVE.factors())
    assert weights._version > version


def test_they_can_be_turned_off(monkeypatch):
    codes = torch.zeros(6, 8, dtype=torch.uint8)
    assert has_states() and fits(codes)
    for name, word in (("GROUNDUP_STATES", "torch"), ("GROUNDUP_COMPILE", "0")):
        monkeypatch.setenv(name, word)
        assert not has_states() and not fits(codes)
        monkeypatch.delenv(name)
    monkeypatch.setenv("GROUNDUP_STATES", "fast")
    with pytest.raises(ConfigError, match="GROUNDUP_STATES=fast must be native or torch, or not"):
        has_states()
