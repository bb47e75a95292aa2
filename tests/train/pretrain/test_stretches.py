"""Stretches cover every step once, each with its own text."""

from dataclasses import replace

import numpy as np
import pytest

from groundup.core import ConfigError
from groundup.tokenizer import Reading, Shard
from groundup.train import Stage
from groundup.train.pretrain.stretches import stretch
from tests.train.small import tiny_training


def text(name: str = "train", size: int = 65_536) -> Shard:
    ids = (np.arange(size) % 200).tolist()
    return replace(Shard.of("train", [("a", ids[:-1], size)], end=0), name=name)


def test_two_contexts_cover_every_step_once():
    stretches, steps = stretch(tiny_training(long_share=0.1), Reading([text()], None))
    assert steps == 16
    assert [(each.start, each.loader.length) for each in stretches] == [(0, 64), (14, 128)]
    stretches, _ = stretch(tiny_training(long_share=0.0), Reading([text()], None))
    assert [(each.start, each.loader.length) for each in stretches] == [(0, 64)]


def test_stages_never_read_the_same_text():
    stages = (Stage(share=0.5, length=64), Stage(share=0.25, length=128),
              Stage(share=0.25, length=64))  # fmt: skip
    stretches, steps = stretch(tiny_training(stages=stages), Reading([text()], None))
    assert [each.start for each in stretches] == [0, 8, 12] and steps == 16
    starts = [set(map(tuple, each.loader.sources[0] // [1, 4096])) for each in stretches]
    assert not starts[0] & starts[1] and not starts[1] & starts[2] and not starts[0] & starts[2]


def test_a_stage_s_mixture_leaves_out_the_other_sources():
    reading = Reading([text("a"), text("b")], {"a": 0.5, "b": 0.5})
    stages = (Stage(share=0.5, length=64), Stage(share=0.5, length=64, mixture={"b": 1.0}))
    first, last = stretch(tiny_training(stages=stages), reading)[0]
    assert [shard.name for shard in first.loader.shards] == ["a", "b"]
    assert [shard.name for shard in last.loader.shards] == ["b"]


@pytest.mark.parametrize("mixture", [{"c": 1.0}, {}])
def test_a_mixture_of_what_is_not_there_is_refused(mixture):
    stages = (Stage(share=1.0, length=64, mixture=mixture),)
    with pytest.raises(ConfigError, match="these have a"):
        stretch(tiny_training(stages=stages), Reading([text("a")], {"a": 1.0}))


def test_unmixed_tokens_have_no_mixture():
    stages = (Stage(share=1.0, length=64, mixture={"train": 1.0}),)
    with pytest.raises(ConfigError, match="expected sources of mixed tokens"):
        stretch(tiny_training(stages=stages), Reading([text()], None))
