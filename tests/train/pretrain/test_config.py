"""Settings that do not fit each other are refused before anything starts."""

import pytest

from groundup.core import ConfigError
from groundup.model import preset
from groundup.train import OBJECTIVES, NoiseConfig, PretrainConfig, RampConfig, StageConfig
from groundup.train.pretrain.config import DEFAULT_OBJECTIVES, NOISE_FIELDS
from groundup.train.pretrain.phases import make_batch_ramp
from tests.train.small import tiny_training


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"preset": "bert-tiny", "objective": "causal"}, "'causal' trains.*'decoder'.*'masked'"),
        ({"objective": "masked"}, "'masked' trains.*'encoder'.*depth.*set a preset"),
        ({"preset": "birt-tiny"}, "no preset 'birt-tiny'; the nearest are bert-tiny"),
        ({"objective": "mask"}, "objective"),
        ({"nonsense": 3}, "has no key `nonsense`; `--help` lists all keys."),
        ({"noise": {"rate": 1.5}}, "NoiseConfig.rate.*less than 1"),
        ({"noise": {"rate": 0.2}}, "noise.rate is set, but objective='causal'.*none of them"),
        (
            {"preset": "bert-tiny", "noise": {"permute": False}},
            "noise.permute.*'masked'.*dynamic, rate, whole_words",
        ),
        ({"preset": "bert-tiny", "depth": 3}, "depth=3 came with preset='bert-tiny'.*4 layers"),
        ({"preset": "bert-tiny", "width": 64}, "width=64 came with preset='bert-tiny'.*width 128"),
        ({"layers": 3}, "layers=3 overrides a preset.*depth=3"),
        ({"validations": -1}, "validations.*greater than or equal to 1"),
        ({"steps": 3}, "steps=3 of batch_tokens=512 are 1,536 tokens, but tokens=8,192"),
        ({"dropout": 0.1, "recompute": "all"}, "dropout=0.1 came with recompute='all'"),
        ({"validation_tokens": 0}, "validation_tokens.*greater than or equal to 1"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(changes, said: str):
    with pytest.raises(ConfigError, match=said) as caught:
        tiny_training(**changes).check_objective()
    assert "\n" not in str(caught.value)


def test_a_width_may_be_given_beside_the_depth():
    wide, derived = (tiny_training(width=width).model_config_for(300) for width in (192, None))
    assert (wide.width, wide.attention.heads, wide.feedforward.width) == (192, 3, 576)
    assert derived.width == 64 and wide.layers == derived.layers


def test_every_objective_says_what_noise_it_reads():
    assert NOISE_FIELDS.keys() == OBJECTIVES.keys()
    assert {
        name for read in NOISE_FIELDS.values() for name in read
    } == NoiseConfig.model_fields.keys()


def test_a_base_has_the_objective_of_its_kind():
    for name, wanted in (("bert-tiny", "masked"), ("t5-tiny", "corruption"), ("gpt-2", "causal")):
        own = preset(name).config
        assert (
            tiny_training().resolved_objective(own).name == wanted == DEFAULT_OBJECTIVES[own.kind]
        )
        tiny_training().check_objective(own)
    with pytest.raises(ConfigError, match="the base is of kind 'encoder'; try objective='masked'"):
        tiny_training(objective="causal").check_objective(preset("bert-tiny").config)


def test_without_stages_a_run_has_two_contexts_or_one():
    assert tiny_training(long_share=0.25).resolved_stages() == (
        StageConfig(share=0.75, length=64), StageConfig(share=0.25, length=128),
    )  # fmt: skip
    assert tiny_training(long_share=0.0).resolved_stages() == (StageConfig(share=1.0, length=64),)


def test_stages_are_the_whole_run():
    with pytest.raises(ConfigError, match=r"add up to 0\.7; expected 1"):
        tiny_training(stages=(StageConfig(share=0.7, length=64),))


def test_a_run_may_be_given_by_its_steps():
    config = PretrainConfig(steps=7, batch_tokens=4096)
    assert config.tokens == 7 * 4096 and make_batch_ramp(config).steps == 7
    assert PretrainConfig(**config.to_dict()) == config
    with pytest.raises(ConfigError, match="batch size ramp"):
        PretrainConfig(steps=7, ramp=RampConfig(start=0.5))
