"""Grids and signs of the IQ types."""

import json

import numpy as np
import pytest

from groundup.model.weights.gguf.codebooks import GRIDS, _even_signs, _load_grid, _unpack_signs
from tests.model.weights.gguf.test_dequantize import PEER, sha256


@pytest.mark.parametrize("name", PEER["grids"])
def test_grids_are_the_peers(name):
    width = 4 if name.startswith("IQ3") else 8
    assert sha256(_load_grid(name, width)) == PEER["grids"][name]


def test_rows_of_a_grid_differ():
    for name in PEER["grids"]:
        rows = _load_grid(name, 4 if name.startswith("IQ3") else 8)
        assert len(np.unique(rows, axis=0)) == len(rows)


def test_the_number_of_minus_signs_is_even():
    found = _even_signs(np.arange(128, dtype=np.uint16))
    assert (found.prod(-1) == 1).all()
    assert np.array_equal(found[:, :7], _unpack_signs(np.arange(128, dtype=np.uint8))[:, :7])


def test_the_tables_say_whose_they_are():
    told = json.loads(GRIDS.read_text())
    assert "llama.cpp" in told["source"] and told["licence"].startswith("MIT, Copyright")
