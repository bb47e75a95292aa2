"""Decoders' presets: counts that are known to the last weight."""

import pytest

from groundup.model import parameters, preset


@pytest.mark.parametrize(
    "name, weights",
    [("gpt-2", 124_439_808), ("gpt-2-xl", 1_557_611_200), ("gpt-1", 116_534_784),
     ("llama-7b", 6_738_415_616), ("llama-13b", 13_015_864_320), ("llama-33b", 32_528_943_616),
     ("llama-65b", 65_285_660_672)],
)  # fmt: skip
def test_weights_are_those_of_the_published_file(name, weights):
    assert parameters(preset(name).config).total == weights


def test_gopher_and_chinchilla_only_add_up_with_the_maps_of_distances():
    for name, printed in (("gopher-280b", 280e9), ("chinchilla-70b", 70e9)):
        count = parameters(preset(name).config)
        assert count.total == pytest.approx(printed, rel=0.002)
        assert count.total - count.positions < 0.93 * printed
