"""The verb gives a run its voice: samples, a profile and event files land in the log."""

import pytest

from groundup.core import record
from groundup.recipes.pretraining import pretrain_with_samples
from tests.train.small import Small, small, tiny_training, without_compiler


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Small:
    return small(tmp_path_factory.mktemp("small"))


def test_samples_profile_and_events_lie_in_the_log(made, tmp_path):
    pytest.importorskip("tensorboard")
    config = tiny_training(tokens=2048, validations=2, statistics_every=2)
    with without_compiler():
        base = pretrain_with_samples(
            config, made.tokens, made.tokenizer, tmp_path / "base",
            prompt=["The river"], profile=1, tensorboard=True,
        )  # fmt: skip
    rows = record.read_metrics(base.path / "log" / "metrics.jsonl")
    told = [row["samples"] for row in rows if "samples" in row]
    assert len(told) == 2 and told[0][0]["prompt"] == "The river"
    assert any("gradient/layers.0.attention" in row for row in rows)
    assert "aten::mm" in (base.path / "log" / "profile.txt").read_text()
    assert list((base.path / "log").rglob("*tfevents*"))
    with without_compiler():
        plain = pretrain_with_samples(config, made.tokens, made.tokenizer, tmp_path / "plain")
    assert plain.id == base.id  # watching changes nothing
