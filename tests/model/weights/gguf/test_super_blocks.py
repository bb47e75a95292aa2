"""Levels of the K types, against a loop over llama.cpp's description of them."""

import numpy as np

from groundup.model.weights.gguf.super_blocks import _q4_k, _q6_k, _unpack_factors


def blocks(type, count=3):
    drawn = np.random.default_rng(1).integers(0, 256, (count, type.layout.itemsize), np.uint8)
    found = drawn.reshape(-1).view(type.layout).copy()
    found["d"] = 0.25
    return found


def scale_and_minimum(s, j):
    if j < 4:
        return s[j] & 63, s[j + 4] & 63
    return (s[j + 4] & 15) | (s[j - 4] >> 6) << 4, (s[j + 4] >> 4) | (s[j] >> 6) << 4


def test_six_bits_of_factors_and_minima_are_found():
    b = blocks(_q4_k)
    b["m"] = 0.5
    found = _unpack_factors(b)
    for row, one in enumerate(b):
        s = one["scales"].tolist()
        for j in range(8):
            factor, minimum = scale_and_minimum(s, j)
            assert found.factors[row, j, 0] == 0.25 * factor
            assert found.minima[row, j, 0] == 0.5 * minimum


def test_a_minimum_is_taken_from_what_its_factor_makes():
    b = blocks(_q4_k)
    b["m"] = 0.5
    for row, one in zip(_q4_k.decode(b), b, strict=True):
        s = one["scales"].tolist()
        for place in range(256):
            run, column = divmod(place, 64)
            q = int(one["q"][run * 32 + column % 32]) >> 4 * (column // 32) & 15
            factor, minimum = scale_and_minimum(s, place // 32)
            assert row[place] == 0.25 * factor * q - 0.5 * minimum


def test_numbers_of_six_bits_come_from_both_parts():
    b = blocks(_q6_k)
    for row, one in zip(_q6_k.decode(b), b, strict=True):
        for place in range(256):
            half, inner = divmod(place, 128)
            quarter, column = divmod(inner, 32)
            low = int(one["low"][half * 64 + (quarter % 2) * 32 + column]) >> 4 * (quarter // 2)
            high = int(one["high"][half * 32 + column]) >> 2 * quarter
            q = (low & 15 | (high & 3) << 4) - 32
            assert row[place] == 0.25 * int(one["scales"][place // 16]) * q
