"""Recent presets: counts that are known to the last weight."""

import pytest

from groundup.model import parameters, preset


@pytest.mark.parametrize(
    "name, weights",
    [("llama-3-8b", 8_030_261_248), ("llama-3.2-1b", 1_235_814_400), ("mistral-7b", 7_241_732_096),
     ("qwen-2-0.5b", 494_032_768), ("qwen-3-0.6b", 596_049_920), ("gemma-3-1b", 999_885_952),
     ("olmo-2-1b", 1_484_916_736)],
)  # fmt: skip
def test_weights_are_those_of_the_published_file(name, weights):
    assert parameters(preset(name).config).total == weights


def test_gemma_sees_everything_in_every_sixth_layer():
    kinds = [preset("gemma-3-1b").config.pattern(i).kind for i in range(12)]
    assert kinds == (["window"] * 5 + ["full"]) * 2


def test_tiny_ones_stretch_their_angles_up_to_their_own_context():
    config = preset("llama-3-tiny").config
    scaling = config.position.scaling
    assert scaling.kind == "llama3"
    assert scaling.factor * scaling.original_length == config.context_length
    assert preset("gemma-3-tiny").config.position.scaling.kind == "linear"
