"""Positions: sinusoids, biases by distance, rotations and their scalings."""

import math

import pytest
import torch
from torch.testing import assert_close

from groundup.core import ConfigError
from groundup.model import PositionConfig
from groundup.model.configuration.positions import RopeScaling
from groundup.model.positions import (
    BucketBias,
    DistanceBias,
    _alibi_slopes,
    _distance_bucket,
    alibi_bias,
    compute_rotation,
    rope_frequencies,
    rotate,
    sinusoids,
)
from tests.model.shapes import BUCKETS, heads, shape


def test_every_value_is_the_papers():
    found = sinusoids(torch.tensor([[3, 700]]), 8, torch.float64)
    for place, row in zip((3, 700), found[0].tolist(), strict=True):
        for i in range(4):
            angle = place / 10_000 ** (2 * i / 8)
            assert math.isclose(row[i], math.sin(angle), abs_tol=1e-12)
            assert math.isclose(row[4 + i], math.cos(angle), abs_tol=1e-12)


def test_a_shift_is_a_rotation_so_products_depend_on_distance_alone():
    table = sinusoids(torch.arange(50), 16, torch.float64)
    products = table @ table.T
    assert_close(products[3, 10], products[33, 40])
    assert_close(products[:-1, :-1], products[1:, 1:])


def test_slopes_are_the_papers_for_eight_and_interleave_for_twelve():
    assert _alibi_slopes(8).tolist() == [2.0**-i for i in range(1, 9)]
    twelve = _alibi_slopes(12, torch.float64)
    assert_close(twelve[:8], _alibi_slopes(8, torch.float64))
    assert_close(twelve[8:], _alibi_slopes(16, torch.float64)[::2][:4])


def test_the_penalty_grows_with_distance_and_ignores_the_future_no_more_than_the_past():
    config = shape(position=PositionConfig(kind="alibi"), attention=heads(heads=2, kv_heads=2))
    bias = alibi_bias(config, torch.arange(4)[None], 2, torch.float32)
    slope = 2.0**-4
    assert_close(bias[0, 0], -slope * torch.tensor([[2.0, 1, 0, 1], [3, 2, 1, 0]]))


@pytest.mark.parametrize("scale", [None, 0.25])
def test_falcons_penalty_is_that_of_the_key_rounded_to_bfloat16_then_scaled(scale):
    part = heads(heads=5, kv_heads=5, scale=scale)
    config = shape(position=PositionConfig(kind="alibi", rounded=True), attention=part)
    bias = alibi_bias(config, torch.arange(400)[None], 2, torch.float32)
    assert bias.shape == (1, 5, 2, 400)
    for head, slope in enumerate(_alibi_slopes(5).tolist()):
        own = torch.tensor(slope, dtype=torch.bfloat16)
        for key in (1, 7, 255, 257, 399):  # 257 is no bfloat16
            product = own * torch.tensor(float(key)).bfloat16()
            assert float(bias[0, head, 1, key]) == float(product) * (scale or 0.5)


def loop_bucket(distance, buckets, max_distance, causal):
    """T5's rule in words, for one distance of key minus query."""
    offset = 0
    if causal:
        apart = max(0, -distance)
    else:
        buckets //= 2
        offset, apart = (buckets if distance > 0 else 0), abs(distance)
    exact = buckets // 2
    if apart < exact:
        return offset + apart
    share = math.log(apart / exact) / math.log(max_distance / exact)
    return offset + min(buckets - 1, exact + int(share * (buckets - exact)))


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("buckets, max_distance", [(32, 128), (8, 16), (20, 300)])
def test_buckets_are_one_each_when_near_and_grow(buckets, max_distance, causal):
    apart = torch.arange(-400, 401)
    found = _distance_bucket(apart, buckets, max_distance, causal=causal).tolist()
    expected = [loop_bucket(d, buckets, max_distance, causal) for d in apart.tolist()]
    assert sum(a != b for a, b in zip(found, expected, strict=True)) <= 4  # float32 at the borders
    assert max(found) == buckets - 1


def test_a_table_is_read_by_distance_alone():
    table = BucketBias(shape(position=BUCKETS))
    table.weight.data = torch.randn(8, 4)
    bias = table(6, 6, causal=True)
    assert bias.shape == (1, 4, 6, 6)
    assert torch.equal(bias[0, :, 5, 3], bias[0, :, 3, 1])
    assert torch.equal(table(1, 6, causal=True)[0, :, 0], bias[0, :, 5])


def test_distances_score_as_transformer_xl_writes_it():
    config = shape(position=PositionConfig(kind="transformer_xl"))
    part, scale = DistanceBias(config).double(), 0.7
    for weight in part.parameters():
        weight.data = torch.randn_like(weight)
    q = torch.randn(2, 4, 3, 4, dtype=torch.float64)
    queries, bias = part(q, 7, scale)
    assert_close(queries, q + part.content_bias[None, :, None])
    for h in range(4):
        for t in range(3):
            for s in range(7):
                apart = torch.tensor([7 - 3 + t - s])
                r = part.r_proj(sinusoids(apart, 16, torch.float64))[0].view(4, 4)[h]
                expected = scale * (q[1, h, t] + part.distance_bias[h]) @ r
                assert_close(bias[1, h, t, s], expected)


def at(x, position):
    return rotate(
        x, compute_rotation(torch.tensor([[position]]), rope_frequencies(64, dtype=torch.float64))
    )


def test_scores_depend_on_distance_alone():
    q, k = torch.randn(2, 1, 1, 1, 64, dtype=torch.float64)
    near = at(q, 5) @ at(k, 2).mT
    far = at(q, 905) @ at(k, 902).mT
    assert_close(near, far, atol=1e-12, rtol=0)


def test_a_rotation_keeps_norms_and_position_zero():
    q = torch.randn(2, 3, 1, 64, dtype=torch.float64)
    assert_close(at(q, 77).norm(dim=-1), q.norm(dim=-1))
    assert torch.equal(at(q, 0), q)


def test_every_row_may_have_its_own_positions():
    x = torch.randn(2, 1, 3, 4)
    positions = torch.tensor([[0, 1, 2], [5, 6, 7]])
    by = rope_frequencies(4, 100.0)
    both = rotate(x, compute_rotation(positions, by))
    for row in range(2):
        alone = rotate(x[row : row + 1], compute_rotation(positions[row : row + 1], by))
        assert torch.equal(both[row : row + 1], alone)


def test_an_odd_width_is_an_error():
    with pytest.raises(ConfigError, match="head_dim=5 must be even"):
        rope_frequencies(5)


def test_a_raised_base_stretches_the_slowest_pair_by_the_factor_and_the_fastest_not():
    plain = rope_frequencies(8, 100.0, dtype=torch.float64)
    scaled = rope_frequencies(8, 100.0, RopeScaling(kind="ntk", factor=4.0), dtype=torch.float64)
    assert scaled[0] == plain[0] and scaled[-1] == pytest.approx(float(plain[-1]) / 4)


def test_a_dynamic_base_stretches_the_slowest_pair_as_the_sequence_grows():
    plain = rope_frequencies(8, 100.0, dtype=torch.float64)
    scaling = RopeScaling(kind="dynamic", factor=3.0, original_length=10)
    below, at, beyond, far = (
        rope_frequencies(8, 100.0, scaling, length, torch.float64) for length in (3, 10, 15, 20)
    )
    assert torch.equal(below, plain) and torch.equal(at, plain)
    for longer, growth in ((beyond, 2.5), (far, 4.0)):
        assert longer[0] == plain[0] and longer[-1] == pytest.approx(float(plain[-1]) / growth)
        base = 100.0 * growth ** (8 / 6)
        assert_close(longer, rope_frequencies(8, base, dtype=torch.float64), atol=0, rtol=1e-12)


@pytest.mark.parametrize("kind", ["llama3", "yarn"])
def test_the_original_length_is_the_context_by_the_factor_unless_it_is_given(kind):
    told = RopeScaling(kind=kind, factor=4.0, original_length=256)
    untold = RopeScaling(kind=kind, factor=4.0)
    wanted = rope_frequencies(16, 1000.0, told, 9999)
    assert torch.equal(rope_frequencies(16, 1000.0, untold, 1024), wanted)
    assert not torch.equal(rope_frequencies(16, 1000.0, untold, 4096), wanted)
