"""Rounding gives the gguf package's bytes; what does not fit is refused."""

import numpy as np
import pytest

from groundup.core import DataError
from groundup.model.weights.gguf.dequantize import BY_NAME, dequantize
from groundup.model.weights.gguf.quantize import WRITERS, quantize_blocks
from tests.model.weights.gguf.test_dequantize import PEER, unpacked

NUMBERS = unpacked(PEER["rounded"]["numbers"], "<f4").reshape(-1, 64)


@pytest.mark.parametrize("name", WRITERS)
def test_bytes_are_the_peers(name):
    stored = quantize_blocks(NUMBERS, BY_NAME[name])
    assert np.array_equal(stored, unpacked(PEER["rounded"][name]))


@pytest.mark.parametrize(("name", "levels"), [("Q8_0", 127), ("Q4_0", 8)])
def test_what_comes_back_is_near(name, levels):
    blocks = NUMBERS.reshape(-1, 32)
    again = dequantize(quantize_blocks(NUMBERS, BY_NAME[name]), BY_NAME[name]).reshape(blocks.shape)
    step = np.abs(blocks).max(1, keepdims=True) / levels
    # The factor's own rounding moves the last level by 127 / 2048 of a step. Q4_0 has 7 levels on
    # one side of zero, so a number at that end may be a whole step away.
    allowed = 0.57 if name == "Q8_0" else 1.01
    assert (np.abs(again - blocks) <= allowed * step + 2**-24 * levels).all()


@pytest.mark.parametrize("name", WRITERS)
def test_rounding_twice_is_rounding_once(name):
    once = dequantize(quantize_blocks(NUMBERS[:1], BY_NAME[name]), BY_NAME[name])
    again = dequantize(quantize_blocks(once.reshape(1, -1), BY_NAME[name]), BY_NAME[name])
    np.testing.assert_allclose(again, once, rtol=2e-3, atol=1e-7)


def test_numbers_too_small_for_any_scale_become_zero():
    tiny = np.full((1, 32), 1e-44, np.float32)
    for name in ("Q8_0", "Q4_0"):
        assert not dequantize(quantize_blocks(tiny, BY_NAME[name]), BY_NAME[name]).any()


@pytest.mark.parametrize(
    ("values", "name", "said"),
    [
        (np.full((1, 32), np.nan, np.float32), "F32", "magnitude nan does not fit F32"),
        (np.full((1, 32), -np.inf, np.float32), "BF16", "magnitude inf does not fit BF16"),
        (np.full((1, 32), 7e4, np.float32), "F16", "magnitude 70000 does not fit F16; use BF16 or"),
        (np.full((1, 32), 1e7, np.float32), "Q8_0", "does not fit Q8_0"),
        (np.ones((2, 33), np.float32), "Q8_0", "not complete blocks of Q8_0, which hold 32"),
        (np.ones((0, 32), np.float32), "Q8_0", "not complete blocks"),
        (np.ones((1, 256), np.float32), "Q6_K", "Q6_K is read only; write F32, F16, BF16, Q8_0"),
    ],
)
def test_what_cannot_be_written_is_refused(values, name, said):
    with pytest.raises(DataError, match=said):
        quantize_blocks(values, BY_NAME[name])
