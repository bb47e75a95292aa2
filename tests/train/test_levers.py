"""The ladder pulls one lever at a time, and a rung's loss is that of every other rung."""

import json
import subprocess
import sys

import pytest

from benchmarks.train.levers import (
    LADDER,
    OFF,
    Measured,
    Work,
    _pulls,
    benchmark_train,
    environment,
    format_rung,
    measured,
    run_ablations,
)
from groundup.core import ConfigError, GroundupError, device

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


@pytest.mark.parametrize("on", [{"attention"}, {"bf16", "fused optimizer"}])
def test_levers_change_the_loss_by_rounding_alone(on):
    plain, found = measured(WORK, frozenset()), measured(WORK, frozenset(on))
    assert found.loss == pytest.approx(plain.loss, rel=0.01)
    assert found.tokens_per_second > 0 and found.cpu_seconds > 0
    assert found.peak_bytes > 2**24


def test_a_preset_is_another_shape():
    model = WORK._replace(preset="gpt-2-tiny").model()
    assert model.config.position.kind == "learned" and model.config.vocab_size == 300


@pytest.mark.slow  # a rung that ends badly is the same process, and is in `make test`
def test_as_a_process_it_prints_json_alone():
    asked = json.dumps({"work": WORK._asdict(), "levers": []})
    command = [sys.executable, "-m", "benchmarks.train.levers", "--rung", asked]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["loss"] > 0
