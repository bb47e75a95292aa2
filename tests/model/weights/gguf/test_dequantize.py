"""Every type of blocks gives the gguf package's numbers, bit for bit."""

import base64
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from groundup.core import DataError
from groundup.model.weights.gguf.block import TYPES
from groundup.model.weights.gguf.dequantize import BY_NAME, CHUNK_VALUES, dequantize

PEER = json.loads((Path(__file__).parents[3] / "fixtures/gguf/blocks.json").read_text())


def unpacked(text, dtype=np.uint8):
    return np.frombuffer(base64.b64decode(text), dtype)


def sha256(values):
    values = np.where(np.isnan(values), np.float32("nan"), values)
    return hashlib.sha256(values.astype("<f4").tobytes()).hexdigest()


@pytest.mark.parametrize("name", PEER["types"])
def test_values_are_the_peers_bit_for_bit(name):
    peer, type = PEER["types"][name], BY_NAME[name]
    assert (type.code, [type.values, type.layout.itemsize]) == (peer["code"], peer["sizes"])
    values = dequantize(unpacked(peer["blocks"]), type)
    first = unpacked(peer["first"], "<f4")
    assert np.array_equal(values[: len(first)], first)
    assert sha256(values) == peer["sha256"]


def test_every_type_of_the_peer_is_read_and_named_once():
    assert set(PEER["types"]) <= set(BY_NAME)
    assert set(BY_NAME) - set(PEER["types"]) == {"F64", "I8", "I16", "I32", "I64"}
    assert all(TYPES[one.code] is one for one in BY_NAME.values())


@pytest.mark.parametrize("name", ["F64", "I8", "I16", "I32", "I64"])
def test_machine_formats_are_numpys(name):
    type, numbers = BY_NAME[name], np.array([-3, 0, 100])
    stored = numbers.astype(type.layout["x"])
    assert np.array_equal(dequantize(stored.view(np.uint8), type), numbers)


def test_chunks_do_not_show():
    type = BY_NAME["Q6_K"]
    count = CHUNK_VALUES // type.values + 3
    blocks = np.tile(unpacked(PEER["types"]["Q6_K"]["blocks"])[: type.layout.itemsize], count)
    values = dequantize(blocks, type).reshape(count, -1)
    assert (values == values[0]).all()
    assert values[0].any()


def test_part_of_a_block_is_refused():
    with pytest.raises(DataError, match="33 bytes are not complete blocks of Q8_0, which have 34"):
        dequantize(np.zeros(33, np.uint8), BY_NAME["Q8_0"])
