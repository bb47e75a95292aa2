"""Stretches cover every step once, each with its own text."""

from dataclasses import replace

import numpy as np
import pytest

from groundup.core import ConfigError
from groundup.tokenizer import Shard, TokenShards
from groundup.train import StageConfig
from groundup.train.optim.config import RampConfig
from groundup.train.pretrain.phases import _closest_step, make_batch_ramp, make_training_schedule
from tests.train.small import tiny_training


def text(name: str = "train", size: int = 65_536) -> Shard:
    ids = (np.arange(size) % 200).tolist()
    return replace(Shard.from_documents("train", [("a", ids[:-1], size)], end=0), name=name)


def test_two_contexts_cover_every_step_once():
    found = make_training_schedule(tiny_training(long_share=0.1), TokenShards([text()], None))
    stretches = found.phases
    assert found.steps == 16 and found.tokens == 8192
    assert [(each.start, each.loader.length) for each in stretches] == [(0, 64), (14, 128)]
    stretches = make_training_schedule(
        tiny_training(long_share=0.0), TokenShards([text()], None)
    ).phases
    assert [(each.start, each.loader.length) for each in stretches] == [(0, 64)]


def test_stages_never_read_the_same_text():
    stages = (StageConfig(share=0.5, length=64), StageConfig(share=0.25, length=128),
              StageConfig(share=0.25, length=64))  # fmt: skip
    found = make_training_schedule(tiny_training(stages=stages), TokenShards([text()], None))
    stretches, steps = found.phases, found.steps
    assert [each.start for each in stretches] == [0, 8, 12] and steps == 16
    starts = [set(map(tuple, each.loader.sources[0] // [1, 4096])) for each in stretches]
    assert not starts[0] & starts[1] and not starts[1] & starts[2] and not starts[0] & starts[2]


def test_a_stage_s_mixture_leaves_out_the_other_sources():
    reading = TokenShards([text("a"), text("b")], {"a": 0.5, "b": 0.5})
    stages = (
        StageConfig(share=0.5, length=64),
        StageConfig(share=0.5, length=64, mixture={"b": 1.0}),
    )
    first, last = make_training_schedule(tiny_training(stages=stages), reading).phases
    assert [shard.name for shard in first.loader.shards] == ["a", "b"]
    assert [shard.name for shard in last.loader.shards] == ["b"]


@pytest.mark.parametrize(
    "mixture, named", [({"a": 0.5, "c": 0.5}, "names c;"), ({}, "names nothing")]
)
def test_a_mixture_of_what_is_not_there_is_refused(mixture, named):
    stages = (StageConfig(share=1.0, length=64, mixture=mixture),)
    with pytest.raises(ConfigError, match=f"{named}.*which here are a"):
        make_training_schedule(tiny_training(stages=stages), TokenShards([text("a")], {"a": 1.0}))


def test_unmixed_tokens_have_no_mixture():
    stages = (StageConfig(share=1.0, length=64, mixture={"train": 1.0}),)
    with pytest.raises(ConfigError, match="expected sources of mixed tokens"):
        make_training_schedule(tiny_training(stages=stages), TokenShards([text()], None))


def test_a_growing_batch_reads_every_row_once_and_no_stretch_another_s():
    config = tiny_training(ramp=RampConfig(start=0.25, share=0.5, stages=2), long_share=0.25)
    found = make_training_schedule(config, TokenShards([text()], None))
    sizes = [found.batch_ramp.tokens_at(step) for step in range(found.steps)]
    assert sizes[0] == 128 and sizes[-1] == 512 and sizes == sorted(sizes)
    assert found.tokens == sum(sizes) <= 8192
    read = [found.sequences(step) for step in range(found.steps)]
    assert [rows.ids[:, 1:].size for rows in read] == sizes
    long = found.phases[1]
    assert read[long.start - 1].ids.shape[1] == 65 and read[long.start].ids.shape[1] == 129
    whole = found.phases[0].loader.sequences(0, long.tokens_before // 64)
    assert np.array_equal(np.concatenate([rows.ids for rows in read[: long.start]]), whole.ids)


def test_rows_of_a_step_are_told_wherever_they_change():
    found = make_training_schedule(tiny_training(long_share=0.1), TokenShards([text()], None))
    assert found.sequence_counts() == [8, 4]
    growing = tiny_training(tokens=16_384, ramp=RampConfig(start=0.5, share=0.5, stages=1))
    found = make_training_schedule(growing, TokenShards([text()], None))
    rows = [len(found.sequences(step).ids) for step in range(found.steps)]
    changes = [rows[0], *(b for a, b in zip(rows, rows[1:], strict=False) if a != b)]
    assert found.sequence_counts() == changes


def test_long_runs_are_laid_out_at_once():
    plan = make_batch_ramp(tiny_training(tokens=10**15))
    assert (
        plan.steps > 10**12
        and _closest_step(plan, 0.5 * plan.tokens_before(plan.steps)) == plan.steps // 2
    )
