"""Levels of the simple types, against loops that follow their layout byte by byte."""

import numpy as np
import pytest

from groundup.model.weights.gguf.rounded import (
    _base3_digits,
    _half_of_ue4m3,
    _mxfp4,
    _q4_0,
    _q5_1,
    _tq1_0,
)


def blocks(type, count=5):
    drawn = np.random.default_rng(0).integers(0, 256, (count, type.layout.itemsize), np.uint8)
    found = drawn.reshape(-1).view(type.layout).copy()
    if "d" in found.dtype.names:
        found["d"] = 0.5
    return found


def test_four_bits_lie_sixteen_places_apart():
    b = blocks(_q4_0)
    for row, one in zip(_q4_0.decode(b), b, strict=True):
        q = [int(byte) & 15 for byte in one["q"]] + [int(byte) >> 4 for byte in one["q"]]
        assert row.tolist() == [0.5 * (each - 8) for each in q]


def test_a_fifth_bit_comes_from_its_own_word():
    b = blocks(_q5_1)
    b["m"] = -1
    for row, one in zip(_q5_1.decode(b), b, strict=True):
        high = int.from_bytes(one["high"].tobytes(), "little")
        for place in range(32):
            low = int(one["low"][place % 16]) >> 4 * (place // 16) & 15
            assert row[place] == 0.5 * (low + 16 * (high >> place & 1)) - 1


@pytest.mark.parametrize("number", [0, 1, 100, 242])
def test_digits_of_all_bytes_come_back(number):
    byte = -(-number * 256 // 243)
    found = _base3_digits(np.array([[byte]], np.uint8), 5)[0].tolist()
    assert found == [number // 3**place % 3 for place in range(4, -1, -1)]


def test_three_levels_alone():
    b = blocks(_tq1_0)
    assert set(np.unique(_tq1_0.decode(b))) == {-0.5, 0.0, 0.5}


def test_small_floats():
    assert _half_of_ue4m3(np.array([[0x7E, 0x08, 0x07, 0x40]], np.uint8)).tolist() == [
        [224.0, 2**-7, 7 * 2**-10, 1.0]
    ]
    b = np.zeros(1, _mxfp4.layout)
    b["e"], b["q"][0, 0] = 128, 0xF7
    assert _mxfp4.decode(b)[0, [0, 16]].tolist() == [12.0, -12.0]
