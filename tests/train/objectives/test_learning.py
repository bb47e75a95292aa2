"""Every tiny preset learns more than counting tells: minutes each, so they are marked slow."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from groundup.train import MicroBatch

SCRIPT = Path(__file__).resolve().parents[3] / "benchmarks" / "train" / "learning.py"


def script() -> ModuleType:
    """The benchmark, which states the rule."""
    spec = importlib.util.spec_from_file_location("learning", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


learning = script()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """Text and goals, made once for all presets."""
    folder = tmp_path_factory.mktemp("learning")
    return folder, learning.prepared(folder), {}


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("name", "wanted"), learning.pairs())
def test_a_tiny_preset_learns_more_than_counting_tells(shared, name: str, wanted: str):
    folder, text, goals = shared
    if wanted not in goals:
        goals[wanted] = learning.goal(wanted, text)
    row = learning.learned(name, wanted, goals[wanted], text, folder / "models")
    assert row["reached"] < row["threshold"], row


def batch_of(before: list[int], targets: list[int], weights: list[float]) -> MicroBatch:
    ids = torch.tensor([before]), torch.tensor([targets])
    return MicroBatch(*ids, torch.tensor([weights]), None)


def test_every_preset_is_tried_with_its_own_objective():
    kinds = {wanted for _, wanted in learning.pairs()}
    assert kinds == {
        "causal", "prefix", "middle", "masked", "boundary", "next_sentence", "corruption",
        "denoising",
    }  # fmt: skip
    assert len(set(learning.pairs())) == len(learning.pairs()) > 22


def test_counts_are_of_weighted_targets():
    counts = learning.counted(iter([batch_of([1, 1, 2], [2, 2, 3], [1.0, 1.0, 0.0])]))
    assert counts.after[1, 2] == counts.single[2] == 2 and counts.single.sum() == 2


def test_the_bigram_is_witten_s_and_bell_s():
    after = np.array([[0.0, 3.0, 1.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    counts = learning.Counts(after.sum(0), after)
    single = (np.array([0, 3, 1]) + 0.5) / (4 + 1.5)
    seen = (np.array([0, 3, 1]) + 2 * single) / (4 + 2)
    assert seen.sum() == pytest.approx(1)
    held = batch_of([0, 0, 1], [1, 0, 2], [1.0, 1.0, 1.0])
    wanted = -np.log([seen[1], seen[0], single[2]]).mean()
    assert learning.entropy(counts, held, "bigram") == pytest.approx(wanted)
    assert learning.entropy(counts, held, "unigram") == pytest.approx(-np.log(single).mean())


def test_results_are_kept_by_preset_and_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr(learning, "RESULTS", tmp_path / "learning.json")
    for name, reached in (("bert-tiny", 3.0), ("gpt-1-tiny", 2.0), ("bert-tiny", 1.0)):
        own = next(wanted for each, wanted in learning.pairs() if each == name)
        learning.kept({"preset": name, "objective": own, "reached": reached})
    rows = learning.json.loads((tmp_path / "learning.json").read_text())["presets"]
    assert [(row["preset"], row["reached"]) for row in rows] == [
        ("gpt-1-tiny", 2.0), ("bert-tiny", 1.0),
    ]  # fmt: skip
