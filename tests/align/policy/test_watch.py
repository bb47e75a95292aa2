"""A run ends with its best weights before it loses what its rewards do not see."""

import json

import numpy as np
import torch
from torch import nn

from groundup.align.policy.watch import HeldOut, Watch, WatchConfig
from groundup.core import Draft

SAMPLED = {"entropy": 1.0, "distinct": 0.5, "divergence": 3.0, "length": 20.0}


class Looks:
    """A watch over a model of one weight, which is the number of the step."""

    def __init__(self, path, measures, **config):
        for name in ("log", "scratch"):
            (path / name).mkdir(exist_ok=True)
        self.model, self.measures = nn.Linear(1, 1, bias=False), iter(measures)
        draft = Draft(path, log=path / "log", scratch=path / "scratch")
        config = WatchConfig(**{"every": 1} | config)
        self.watch = Watch(config, draft, 10, self.look, self.model)

    def look(self) -> HeldOut:
        return HeldOut(next(self.measures), 0.25)

    def at(self, step: int, **numbers: float) -> bool:
        with torch.no_grad():
            self.model.weight.fill_(step)
        return self.watch.is_done(step, lambda: SAMPLED | numbers)

    def restored(self) -> float:
        self.watch.restore_best(self.model)
        return self.model.weight.item()


def share(value: float, count: int = 100) -> np.ndarray:
    return (np.arange(count) < value * count).astype(float)


def test_a_measure_that_falls_by_more_than_chance_ends_the_run_with_the_best_weights(tmp_path):
    looks = Looks(tmp_path, [share(x) for x in (0.5, 0.8, 0.6, 0.79, 0.6, 0.65)])
    assert [looks.at(step) for step in range(6)] == [False] * 5 + [True]
    assert looks.watch.stopped == "the held-out measure fell from 0.800 to 0.650"
    assert looks.restored() == 1
    found = looks.watch.summary()
    assert found["best"] == 0.8 and found["best_step"] == 1 and found["last_step"] == 5


def test_what_a_sample_may_be_has_limits(tmp_path):
    limits = {
        "min_entropy": ({"entropy": 0.4}, 0.5, "entropy 0.4 is below 0.5"),
        "min_distinct": ({"distinct": 0.2}, 0.3, "distinct 0.2 is below 0.3"),
        "max_divergence": ({"divergence": 5.0}, 4.0, "divergence 5 is above 4"),
        "max_length": ({"length": 30.0}, 25.0, "length 30 is above 25"),
    }
    for name, (numbers, limit, reason) in limits.items():
        (tmp_path / name).mkdir()
        looks = Looks(tmp_path / name, [share(0.5)] * 2, **{name: limit})
        assert not looks.at(0) and looks.at(1, **numbers)
        assert looks.watch.stopped == reason


def test_between_looks_nothing_is_measured(tmp_path):
    looks = Looks(tmp_path, [share(0.5)] * 2, every=3)
    assert not any(looks.at(step) for step in range(6))
    assert [row["step"] for row in looks.watch.rows] == [0, 3]


def test_a_resumed_run_knows_what_it_saw_and_looks_again_at_what_was_lost(tmp_path):
    first = Looks(tmp_path, [share(0.9), share(0.5), share(0.89)])
    assert not any(first.at(step) for step in range(3))
    again = Looks(tmp_path, [share(0.4)])  # resumed after step 1
    assert again.at(2) and again.restored() == 0
    rows = [json.loads(line) for line in (tmp_path / "log/watch.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [0, 1, 2]
    assert Looks(tmp_path, []).watch.stopped == "the held-out measure fell from 0.900 to 0.400"


def test_chance_seldom_ends_a_run(tmp_path):
    """The same quality, every answer drawn anew at each look: more noise than a run has."""
    rng, ended = np.random.default_rng(0), 0
    for run in range(100):
        (tmp_path / str(run)).mkdir()
        drawn = [(rng.random(50) < 0.7).astype(float) for _ in range(10)]
        looks = Looks(tmp_path / str(run), drawn)
        ended += any(looks.at(step) for step in range(10))
    assert ended <= 7, ended
