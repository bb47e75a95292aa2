"""The recipes `align` and `reason` run to their reports, and again from what is there."""

from importlib import import_module

import pytest

from groundup.core import Artifact, ConfigError
from groundup.recipes.tuning.align import METHODS, align
from groundup.recipes.tuning.policies import SumsConfig
from groundup.recipes.tuning.reason import REWARDS, reason
from groundup.train import pretrain
from tests.train.small import small, tiny_training, without_compiler


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Artifact:
    folder = tmp_path_factory.mktemp("base")
    made = small(folder)
    config = tiny_training(context_length=256)
    with without_compiler():
        return pretrain(config, made.tokens, made.tokenizer, folder / "base")


def test_reasoning_is_rewarded_in_three_ways_and_compared(base, tmp_path, monkeypatch):
    recipe = import_module("groundup.recipes.tuning.reason")
    task = SumsConfig(shown=24, rewarded=60, tested=8)
    monkeypatch.setattr(recipe, "TASK", task)
    with without_compiler():
        said = reason(base=base.path, tokens=tmp_path, out=tmp_path / "out", steps=2)
        assert reason(base=base.path, tokens=tmp_path, out=tmp_path / "out", steps=2) == said
    report = Artifact.open(tmp_path / "out/report")
    assert report.numbers.keys() == {"tuned", *REWARDS}
    assert {parent.name for parent in report.parents} == {"tuned", *REWARDS}
    assert "Thinking in steps" in (report.path / "report.html").read_text()


@pytest.mark.slow
def test_four_methods_train_on_from_one_model_and_are_compared(base, tmp_path, monkeypatch):
    recipe = import_module("groundup.recipes.tuning.align")
    monkeypatch.setattr(recipe, "TASK", SumsConfig(shown=60, rewarded=60, tested=20))
    with without_compiler():
        said = align(base=base.path, tokens=tmp_path, out=tmp_path / "out", steps=2)
        assert align(base=base.path, tokens=tmp_path, out=tmp_path / "out", steps=2) == said
    report = Artifact.open(tmp_path / "out/report")
    assert report.numbers.keys() == {"tuned", *METHODS}
    assert "dpo" in (report.path / "report.html").read_text()


@pytest.mark.parametrize("recipe", [align, reason])
def test_steps_are_looked_at_before_anything_is_trained(recipe, base, tmp_path):
    with pytest.raises(ConfigError, match="steps: .*got 0"):
        recipe(base=base.path, out=tmp_path / "out", steps=0)
    assert not (tmp_path / "out").exists()
