"""Model shapes: impossible ones name possible ones, and the dial is steady."""

import pytest

from groundup.core import ConfigError
from groundup.kernels import AttentionPattern
from groundup.model import (
    AttentionConfig,
    EmbeddingConfig,
    ExpertsConfig,
    FeedForwardConfig,
    ModelConfig,
    NormConfig,
    PositionConfig,
    RopeScaling,
    count_parameters,
    from_depth,
)


def test_heads_that_do_not_fit_name_the_nearest_that_do():
    with pytest.raises(ConfigError, match=r"heads=12 must be a multiple of kv_heads=5.*4 or 6"):
        AttentionConfig(heads=12, kv_heads=5)
    with pytest.raises(ConfigError, match="kv_heads=9; try kv_heads=4"):
        AttentionConfig(heads=4, kv_heads=9)
    with pytest.raises(ConfigError, match="head_dim=63 must be even.*try 64"):
        ModelConfig(attention=AttentionConfig(head_dim=63))
    with pytest.raises(ConfigError, match="layers"):
        ModelConfig(layers=0)


def test_a_configuration_survives_json():
    config = from_depth(5, 1000).config
    assert ModelConfig(**config.to_dict()) == config


def test_depth_alone_derives_growing_models_that_work():
    sizes = [count_parameters(from_depth(depth, 4096).config).total for depth in range(1, 25)]
    assert sizes == sorted(set(sizes))
    assert sizes[4] == 6_032_768
    with pytest.raises(ConfigError, match="depth=0"):
        from_depth(0, 4096)


def test_a_width_of_whole_heads_may_be_given():
    config = from_depth(5, 4096, width=384).config
    assert (config.layers, config.width, config.attention.heads) == (5, 384, 6)
    assert from_depth(5, 4096, width=256).config == from_depth(5, 4096).config
    with pytest.raises(ConfigError, match="width=100 must be a multiple of 64; try 128"):
        from_depth(5, 4096, width=100)


def test_every_derived_value_has_a_reason_and_is_in_the_configuration():
    derived = from_depth(6, 4096)
    for name, chosen, reason in derived.choices:
        value = derived.config
        for part in name.split("."):
            value = getattr(value, part)
        assert value == chosen
        assert reason in str(derived)


@pytest.mark.parametrize(
    "wrong, message",
    [
        (
            lambda: AttentionConfig(patterns=(AttentionPattern("window"),)),
            "window=0; it needs window",
        ),
        (
            lambda: AttentionConfig(patterns=(AttentionPattern("full", 3),)),
            "window=3; it needs no size",
        ),
        (
            lambda: AttentionConfig(patterns=(AttentionPattern("fixed", 0, 4, 5),)),
            "tokens=5.*tokens=1",
        ),
        (lambda: AttentionConfig(patterns=()), "patterns is empty"),
        (lambda: ExpertsConfig(count=4, chosen=5), "chosen=5 is more than count=4"),
        (lambda: ModelConfig(kind="encoder_decoder"), "encoder_layers=0"),
        (lambda: ModelConfig(encoder_layers=2), "encoder_layers=2"),
        (lambda: ModelConfig(kind="encoder", prefix=True), "prefix=true has kind='encoder'"),
        (lambda: ModelConfig(parallel=True, norm=NormConfig(place="post")), "place='post'"),
        (
            lambda: ModelConfig(kind="encoder_decoder", encoder_layers=1, parallel=True),
            "kind='encoder_decoder'.*parallel=false",
        ),
        (
            lambda: PositionConfig(kind="buckets", max_distance=16),
            "max_distance=16 must exceed 16.*try max_distance=128",
        ),
        (
            lambda: ModelConfig(
                attention=AttentionConfig(head_dim=2),
                position=PositionConfig(scaling=RopeScaling(kind="ntk", factor=2)),
            ),
            "head_dim=2 has one pair.*kind='ntk' has no effect",
        ),
        (lambda: RopeScaling(kind="dynamic", factor=2), "original_length=0 with kind='dynamic'"),
        (lambda: RopeScaling(kind="yarn", factor=2, low=0), "low=0.0 must be above 0"),
        (lambda: RopeScaling(kind="llama3", factor=2, low=4, high=1), "low=4.0 must be less"),
        (lambda: RopeScaling(kind="yarn", factor=2, low=2, high=2), "low=2.0 must be less"),
        (lambda: RopeScaling(factor=8), "factor=8.0 has kind='none'"),
        (
            lambda: PositionConfig(kind="learned", scaling=RopeScaling(kind="yarn", factor=4)),
            "kind='learned' has scaling.kind='yarn'",
        ),
        (lambda: PositionConfig(kind="alibi", window_base=1e4), "window_base=10000.0"),
        (
            lambda: ModelConfig(
                layers=2, feedforward=FeedForwardConfig(experts=ExpertsConfig(every=3))
            ),
            "every=3 and dense_layers=0 are too many for 2 layers",
        ),
        (
            lambda: PositionConfig(kind="disentangled", buckets=6, max_distance=4),
            "max_distance=4 must exceed 4 for kind='disentangled' and buckets=6",
        ),
        (lambda: PositionConfig(absolute=True), "absolute=true has kind='rope'"),
        (lambda: ModelConfig(repeats=2), "repeats=2; only encoders"),
        (lambda: ModelConfig(embedding=EmbeddingConfig(width=8)), "embedding.width=8.*encoders"),
        (
            lambda: ModelConfig(position=PositionConfig(kind="disentangled")),
            "position.kind='disentangled'.*only encoders",
        ),
        (
            lambda: ModelConfig(kind="encoder", embedding=EmbeddingConfig(width=8)),
            "width=8 needs OutputConfig.transform='dense'",
        ),
        (
            lambda: ModelConfig(kind="encoder", position=PositionConfig(kind="disentangled")),
            "kv_heads=2 has disentangled positions, which need kv_heads=heads=4",
        ),
        (lambda: ModelConfig(width=15, position=PositionConfig(kind="sinusoidal")), "try 16"),
    ],
)
def test_parts_that_do_not_fit_are_errors_that_help(wrong, message):
    with pytest.raises(ConfigError, match=message):
        wrong()


def test_what_is_not_given_of_yarn_is_its_papers_and_what_is_given_stays():
    assert RopeScaling(kind="yarn", factor=4).high == 32
    assert RopeScaling(kind="llama3", factor=4).high == 4
    told = RopeScaling(kind="yarn", factor=4, high=4)
    assert told.high == 4 and RopeScaling(**told.to_dict()) == told
