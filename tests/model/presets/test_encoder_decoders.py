"""Encoder–decoders' presets: counts that are known to the last weight."""

import pytest

from groundup.model import parameters, preset


@pytest.mark.parametrize(
    "name, weights",
    [("t5-small", 60_506_624), ("t5-base", 222_903_552), ("t5-large", 737_668_096),
     ("bart-base", 139_420_416), ("bart-large", 406_291_456)],
)  # fmt: skip
def test_weights_are_those_of_the_published_file(name, weights):
    count = parameters(preset(name).config)
    bias = 50_265 if name.startswith("bart") else 0  # a buffer in BART's file, not a weight
    assert count.total - bias == weights
