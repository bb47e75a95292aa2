"""Blocks give the numbers, and numbers the bytes, that gguf 0.19 made of them."""

import base64
import hashlib
import itertools
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from groundup.core import DataError, MissingExtra
from groundup.model.weights.gguf.blocks import (
    CHUNK_VALUES,
    LARGEST,
    NUMPY_TYPES,
    _library,
    block_types,
    dequantize,
    quantize_blocks,
)

PEER = json.loads((Path(__file__).parents[3] / "fixtures/gguf/blocks.json").read_text())


def unpacked(text, dtype=np.uint8):
    return np.frombuffer(base64.b64decode(text), dtype)


def sha256(values):
    values = np.where(np.isnan(values), np.float32("nan"), values)
    return hashlib.sha256(values.astype("<f4").tobytes()).hexdigest()


@pytest.mark.parametrize("name", PEER["types"])
def test_values_are_the_peers_bit_for_bit(name):
    peer, type = PEER["types"][name], block_types()[name]
    assert (type.code, [type.values, type.bytes]) == (peer["code"], peer["sizes"])
    values = dequantize(unpacked(peer["blocks"]), type)
    first = unpacked(peer["first"], "<f4")
    assert np.array_equal(values[: len(first)], first)
    assert sha256(values) == peer["sha256"]


@pytest.mark.parametrize("name", [name for name in NUMPY_TYPES if name not in PEER["types"]])
def test_machine_formats_are_numpys(name):
    type, numbers = block_types()[name], np.array([-3, 0, 100])
    stored = numbers.astype(NUMPY_TYPES[name])
    assert np.array_equal(dequantize(stored.view(np.uint8), type), numbers)


def test_chunks_do_not_show():
    type = block_types()["Q6_K"]
    count = CHUNK_VALUES // type.values + 3
    blocks = np.tile(unpacked(PEER["types"]["Q6_K"]["blocks"])[: type.bytes], count)
    values = dequantize(blocks, type).reshape(count, -1)
    assert (values == values[0]).all()
    assert values[0].any()


def test_part_of_a_block_is_refused():
    with pytest.raises(DataError, match="33 bytes are not complete blocks of Q8_0, which have 34"):
        dequantize(np.zeros(33, np.uint8), block_types()["Q8_0"])


NUMBERS = unpacked(PEER["rounded"]["numbers"], "<f4").reshape(-1, 64)


@pytest.mark.parametrize("name", LARGEST)
def test_bytes_are_the_peers(name):
    stored = quantize_blocks(NUMBERS, block_types()[name])
    assert np.array_equal(stored, unpacked(PEER["rounded"][name]))


@pytest.mark.parametrize(("name", "levels"), [("Q8_0", 127), ("Q4_0", 8)])
def test_what_comes_back_is_near(name, levels):
    blocks = NUMBERS.reshape(-1, 32)
    type = block_types()[name]
    again = dequantize(quantize_blocks(NUMBERS, type), type).reshape(blocks.shape)
    step = np.abs(blocks).max(1, keepdims=True) / levels
    # The factor's own rounding moves the last level by 127 / 2048 of a step. Q4_0 has 7 levels on
    # one side of zero, so a number at that end may be a whole step away.
    allowed = 0.57 if name == "Q8_0" else 1.01
    assert (np.abs(again - blocks) <= allowed * step + 2**-24 * levels).all()


@pytest.mark.parametrize("name", LARGEST)
def test_rounding_twice_is_rounding_once(name):
    type = block_types()[name]
    once = dequantize(quantize_blocks(NUMBERS[:1], type), type)
    again = dequantize(quantize_blocks(once.reshape(1, -1), type), type)
    np.testing.assert_allclose(again, once, rtol=2e-3, atol=1e-7)


def test_numbers_too_small_for_any_scale_become_zero():
    for tiny, name in itertools.product((1e-44, 1e-37), ("Q8_0", "Q4_0")):
        stored = quantize_blocks(np.full((1, 32), tiny, np.float32), block_types()[name])
        assert not dequantize(stored, block_types()[name]).any()


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
        quantize_blocks(values, block_types()[name])


def test_a_missing_library_is_an_error_that_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "gguf", None)
    _library.cache_clear()
    with pytest.raises(MissingExtra, match="pip install 'groundup.gguf.'"):
        quantize_blocks(NUMBERS, block_types()["Q8_0"])
