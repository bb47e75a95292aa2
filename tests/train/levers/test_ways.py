"""A run's attention is chosen before it starts, and kept when it goes on."""

import pytest
import torch

from groundup.core import device, write_json
from groundup.kernels import AttentionBackend, AttentionShape, chosen_backends, restore_backends
from groundup.kernels.attention import backend_for
from groundup.kernels.compiled import _cache_file
from groundup.model import Transformer, from_depth
from groundup.train.levers.ways import _seconds_of, choosing


@pytest.fixture(autouse=True)
def own_ways(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    before = chosen_backends()
    restore_backends({})
    yield
    restore_backends(before)


def small():
    model = Transformer(from_depth(1, 300, 128).config)
    part = model.config.attention
    return model, AttentionShape(part.heads, part.kv_heads, part.head_dim, 128, True, "float32")


def test_a_short_run_measures_nothing_and_goes_by_the_rule():
    model, shape = small()
    assert choosing(model, [100, 128], torch.float32, tokens=10_000) == {}
    assert not _cache_file().exists()
    assert backend_for(*shape).kind == "matmul"


def test_what_was_measured_before_is_used_by_short_runs_too():
    model, shape = small()
    _cache_file().parent.mkdir(parents=True)
    write_json(_cache_file(), {shape.key: {"way": ["flash", 512], "ms": {}}})
    assert choosing(model, [128], torch.float32, tokens=1) == {shape.key: ["flash", 512]}
    assert backend_for(*shape) == AttentionBackend("flash")


def test_a_resumed_run_takes_what_it_had_whatever_is_kept_now(monkeypatch):
    model, shape = small()
    monkeypatch.setenv("GROUNDUP_ATTENTION", "flash")
    contract = {shape.key: ["matmul", 64]}
    assert choosing(model, [128], torch.float32, tokens=1, contract=contract) == contract
    assert backend_for(*shape) == AttentionBackend("matmul", 64)


def test_the_way_can_be_said(monkeypatch):
    model, shape = small()
    monkeypatch.setenv("GROUNDUP_ATTENTION", "flash")
    assert list(choosing(model, [128], torch.float32, tokens=1)) == [shape.key]


def test_twice_the_tokens_take_twice_the_time(monkeypatch):
    speeds = (
        device.measure_speeds()
    )  # a busy machine's are not kept, so they are not the same twice
    monkeypatch.setattr(device, "measure_speeds", lambda: speeds)
    model, _ = small()
    once, twice = (_seconds_of(model, 128, torch.float32, n) for n in (1000, 2000))
    assert twice == pytest.approx(2 * once)
