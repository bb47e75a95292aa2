"""Cutting bytes into numbers."""

import numpy as np
import pytest

from groundup.model.weights.gguf.block import TYPES, to_signed, unpack_bits


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("run", [1, 2, 8])
def test_numbers_come_from_where_the_loop_takes_them(bits, run):
    packed = np.random.default_rng(0).integers(0, 256, (3, 16), dtype=np.uint8)
    expected = [
        [
            row[start + place] >> shift & (1 << bits) - 1
            for start in range(0, 16, run)
            for shift in range(0, 8, bits)
            for place in range(run)
        ]
        for row in packed.tolist()
    ]
    assert unpack_bits(packed, bits, run).tolist() == expected


def test_zero_may_stand_anywhere():
    assert to_signed(np.array([0, 8, 15], np.uint8), 8).tolist() == [-8.0, 0.0, 7.0]


def test_layouts_have_no_gaps():
    for one in TYPES.values():
        sizes = [one.layout[name].itemsize for name in one.layout.names]
        assert sum(sizes) == one.layout.itemsize, one.name
