"""Relative positions: slopes, buckets and maps are those of their papers."""

import math

import pytest
import torch
from torch.testing import assert_close

from groundup.model import PositionConfig
from groundup.model.positions.absolute import sinusoids
from groundup.model.positions.relative import (
    BucketBias,
    DistanceBias,
    _alibi_slopes,
    _distance_bucket,
    alibi_bias,
)
from tests.model.shapes import BUCKETS, shape


def test_slopes_are_the_papers_for_eight_and_interleave_for_twelve():
    assert _alibi_slopes(8).tolist() == [2.0**-i for i in range(1, 9)]
    twelve = _alibi_slopes(12, torch.float64)
    assert_close(twelve[:8], _alibi_slopes(8, torch.float64))
    assert_close(twelve[8:], _alibi_slopes(16, torch.float64)[::2][:4])


def test_the_penalty_grows_with_distance_and_ignores_the_future_no_more_than_the_past():
    bias = alibi_bias(2, 2, 4, torch.device("cpu"), torch.float32)
    slope = 2.0**-4
    assert_close(bias[0, 0], -slope * torch.tensor([[2.0, 1, 0, 1], [3, 2, 1, 0]]))


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
    table = BucketBias(shape(position=BUCKETS), causal=True)
    table.weight.data = torch.randn(8, 4)
    bias = table(6, 6)
    assert bias.shape == (1, 4, 6, 6)
    assert torch.equal(bias[0, :, 5, 3], bias[0, :, 3, 1])
    assert torch.equal(table(1, 6)[0, :, 0], bias[0, :, 5])


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
