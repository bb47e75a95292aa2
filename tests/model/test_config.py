"""Model shapes: impossible ones name possible ones, and the dial is steady."""

import pytest

from groundup.core import ConfigError
from groundup.model import AttentionConfig, ModelConfig, from_depth, parameters


def test_heads_that_do_not_fit_name_the_nearest_that_do():
    with pytest.raises(ConfigError, match=r"heads=12 must be a multiple of kv_heads=5.*4 or 6"):
        AttentionConfig(heads=12, kv_heads=5)
    with pytest.raises(ConfigError, match="kv_heads=9; try kv_heads=4"):
        AttentionConfig(heads=4, kv_heads=9)
    with pytest.raises(ConfigError, match="head_dim=63 must be even.*try 64"):
        AttentionConfig(head_dim=63)
    with pytest.raises(ConfigError, match="layers"):
        ModelConfig(layers=0)


def test_a_configuration_survives_json():
    config = from_depth(5, 1000).config
    assert ModelConfig(**config.plain()) == config


def test_depth_alone_derives_growing_models_that_work():
    sizes = [parameters(from_depth(depth, 4096).config).total for depth in range(1, 25)]
    assert sizes == sorted(set(sizes))
    assert sizes[4] == 6_032_768
    with pytest.raises(ConfigError, match="depth=0"):
        from_depth(0, 4096)


def test_every_derived_value_has_a_reason_and_is_in_the_configuration():
    derived = from_depth(6, 4096)
    for choice in derived.choices:
        value = derived.config
        for part in choice.name.split("."):
            value = getattr(value, part)
        assert value == choice.value
        assert choice.reason in str(derived)
