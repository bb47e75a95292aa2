"""A run's attention is chosen before it starts, and kept when it goes on."""

import pytest
import torch

from groundup.core import device, write_json
from groundup.kernels import RowShape, Way, chosen_ways, replay_ways
from groundup.kernels.trial import kept_file
from groundup.kernels.ways import way_of
from groundup.model import Transformer, from_depth
from groundup.train.levers.ways import choosing, seconds_of


@pytest.fixture(autouse=True)
def own_ways(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    before = chosen_ways()
    replay_ways({})
    yield
    replay_ways(before)


def small():
    model = Transformer(from_depth(1, 300, 128).config)
    part = model.config.attention
    return model, RowShape(part.heads, part.kv_heads, part.head_dim, 128, True, "float32")


def test_a_short_run_measures_nothing_and_goes_by_the_rule():
    model, shape = small()
    assert choosing(model, [100, 128], torch.float32, tokens=10_000) == {}
    assert not kept_file().exists()
    assert way_of(*shape).kind == "matmul"


def test_what_was_measured_before_is_used_by_short_runs_too():
    model, shape = small()
    kept_file().parent.mkdir(parents=True)
    write_json(kept_file(), {shape.name: {"way": ["flash", 512], "ms": {}}})
    assert choosing(model, [128], torch.float32, tokens=1) == {shape.name: ["flash", 512]}
    assert way_of(*shape) == Way("flash")


def test_a_resumed_run_takes_what_it_had_whatever_is_kept_now(monkeypatch):
    model, shape = small()
    monkeypatch.setenv("GROUNDUP_ATTENTION", "flash")
    contract = {shape.name: ["matmul", 64]}
    assert choosing(model, [128], torch.float32, tokens=1, contract=contract) == contract
    assert way_of(*shape) == Way("matmul", 64)


def test_the_way_can_be_said(monkeypatch):
    model, shape = small()
    monkeypatch.setenv("GROUNDUP_ATTENTION", "flash")
    assert list(choosing(model, [128], torch.float32, tokens=1)) == [shape.name]


def test_twice_the_tokens_take_twice_the_time(monkeypatch):
    speeds = device.measure()  # a busy machine's are not kept, so they are not the same twice
    monkeypatch.setattr(device, "measure", lambda: speeds)
    model, _ = small()
    once, twice = (seconds_of(model, 128, torch.float32, n) for n in (1000, 2000))
    assert twice == pytest.approx(2 * once)
