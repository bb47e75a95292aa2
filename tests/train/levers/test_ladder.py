"""The ladder pulls one lever at a time, each by a switch that pre-training has too."""

import pytest

from groundup.core import ConfigError, GroundupError, device
from groundup.train.levers.ladder import (
    LADDER,
    OFF,
    _pulls,
    benchmark_train,
    environment,
    format_rung,
    run_ablations,
)
from groundup.train.levers.rung import Measured, Work

WORK = Work(depth=1, preset="", vocab_size=300, rows=2, length=16, steps=1)


def test_each_rung_has_one_lever_more():
    rungs = [on for _, on in _pulls()]
    assert rungs[0] == frozenset() and rungs[-1] == frozenset(LADDER)
    assert [len(on) for on in rungs] == list(range(len(LADDER) + 1))


def test_levers_that_are_off_are_turned_off_for_the_process(monkeypatch):
    monkeypatch.setenv("LD_PRELOAD", "libtcmalloc.so")
    off = environment(frozenset())
    assert all(off[name] == value for switch in OFF.values() for name, value in switch.items())
    assert "LD_PRELOAD" not in off and "GLIBC_TUNABLES" not in off
    assert environment(frozenset(["allocator"]))["LD_PRELOAD"] == "libtcmalloc.so"


def test_the_table_says_what_each_rung_gives():
    slow, fast = Measured(100, 2**20, 9, 2, 4), Measured(250, 2**20, 9, 1, 4)
    ladder = format_rung(
        WORK, {"no lever": [slow], "+ bf16": [fast, fast._replace(tokens_per_second=150)]}
    )
    assert [rung.tokens_per_second for rung in ladder.rungs] == [100, 200]
    assert "2.00" in str(ladder) and "tokens/s" in str(ladder)
    peak = device.measure_speeds().bfloat16_flops
    assert 0 < ladder.rungs[0].share_of_peak < 100 * 1e9 / peak


def test_sizes_that_cannot_be_are_refused():
    with pytest.raises(ConfigError, match="--vocab-size 0 must be 1 or more"):
        benchmark_train(vocab_size=0)
    with pytest.raises(ConfigError, match="gpt-two"):
        benchmark_train(preset="gpt-two")


def test_a_rung_that_ends_says_why():
    with pytest.raises(GroundupError, match="^The rung with no lever ended: There is no preset"):
        run_ablations(WORK._replace(preset="gpt-two"), frozenset())


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_whole_ladder():
    ladder = benchmark_train(levers=True, depth=1, vocab_size=300, rows=2, length=16, steps=1)
    assert [rung.lever for rung in ladder.rungs] == [name for name, _ in _pulls()]
    losses = [rung.loss for rung in ladder.rungs]
    assert max(losses) - min(losses) < 0.05 * min(losses)
