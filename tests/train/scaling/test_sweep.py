"""A sweep that was killed goes on where it was, and its report tells what its runs did."""

import signal
import subprocess
import sys
import time

import pytest

from groundup.core import MANIFEST, ConfigError, record
from groundup.train import CheckpointConfig
from groundup.train.scaling.ladder import SweepConfig, SweepTraining
from groundup.train.scaling.sweep import _smooth_curve, read_sweep, sweep
from tests.train.small import Small, small, without_compiler

LADDER = SweepConfig(
    shapes=((1, 64), (2, 64)), budgets=(4e9, 7e9), min_steps=4,
    training=SweepTraining(batch_tokens=512, length=64, context_length=64, validation_tokens=512),
)  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def uncompiled():
    with without_compiler():
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Small:
    return small(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def undisturbed(made, tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed")
    return out, sweep(LADDER, made.tokens, made.tokenizer, out)


KILLED = """
import sys
from pathlib import Path
from groundup.core import Artifact
from groundup.train.scaling.ladder import SweepConfig
from groundup.train.scaling.sweep import sweep
config, tokens, tokenizer, out = sys.argv[1:]
sweep(SweepConfig.model_validate_json(config), Artifact.open(tokens), Artifact.open(tokenizer),
      Path(out))
"""


def test_a_killed_sweep_keeps_what_is_done_and_ends_like_another(made, undisturbed, tmp_path):
    out = tmp_path / "killed"
    config = LADDER.model_copy(
        update={
            "training": LADDER.training.model_copy(
                update={"checkpoints": CheckpointConfig(every_seconds=0.0)}
            )
        }
    )
    words = [config.model_dump_json(), str(made.tokens.path), str(made.tokenizer.path), str(out)]
    process = subprocess.Popen([sys.executable, "-c", KILLED, *words])
    end = time.monotonic() + 120
    while not list(out.glob("2x64-4e09/.scratch/step-*")):
        assert process.poll() is None and time.monotonic() < end, "it ended before it was killed"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=60)
    done = out / "1x64-4e09" / MANIFEST
    before = done.stat().st_mtime_ns
    assert not (out / "sweep" / MANIFEST).exists()
    plan = sweep(config, made.tokens, made.tokenizer, out, dry_run=True)
    assert [seconds == 0 for seconds in plan.seconds] == [True, False, False, False]
    found = sweep(config, made.tokens, made.tokenizer, out)
    assert done.stat().st_mtime_ns == before
    assert [run.loss for run in found.runs] == [run.loss for run in undisturbed[1].runs]
    again = sweep(config, made.tokens, made.tokenizer, out)
    assert again.artifact.id == found.artifact.id and set(again.seconds) == {0.0}


def test_the_report_tells_what_the_runs_did(undisturbed):
    out, found = undisturbed
    told = read_sweep(found.artifact)
    assert told.config == LADDER and told.vocab_size == 300 and told.runs == found.runs
    for run in told.runs:
        rows = record.read_metrics(out / run.name / "log" / "metrics.jsonl")
        assert run.loss == [row["validation"] for row in rows if "validation" in row][-1]
        assert rows[-1]["step"] == run.tokens // 512 - 1 and "validation" in rows[-1]
        assert run.curve.tokens[-1] == run.tokens
        assert run.flops == run.flops_per_token * run.tokens
        assert 0 < run.bits_per_byte < run.loss
    assert {parent.name for parent in found.artifact.parents} >= {"tokens", "1x64-4e09"}
    assert "nats" in str(found) and "1x64-7e09" in str(found)
    assert len(found._asdict()["results"]) == 4


def test_a_dry_run_tells_and_makes_nothing(made, tmp_path):
    plan = sweep(LADDER, made.tokens, made.tokenizer, tmp_path / "x", dry_run=True)
    assert not (tmp_path / "x").exists()
    assert "53,568" in str(plan) and "FLOPs in all" in str(plan)
    assert all(seconds > 0 for seconds in plan.seconds) and plan._asdict()["report"] is None


def test_more_tokens_than_there_are_is_refused_before_anything_starts(made, tmp_path):
    config = LADDER.model_copy(update={"budgets": (1e12,)})
    with pytest.raises(ConfigError, match="1x64-1e12 needs .* repeated text"):
        sweep(config, made.tokens, made.tokenizer, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_another_artifact_is_no_sweep(made):
    with pytest.raises(ConfigError, match="scaling sweep"):
        read_sweep(made.tokens)


def test_a_curve_is_a_mean_of_steps_and_ends_at_the_last():
    found = _smooth_curve([float(x) for x in range(1000)], 10)
    assert found.tokens[0] == 80 and found.tokens[-1] == 10_000 and len(found.tokens) <= 60
    assert found.loss[-1] == pytest.approx(sum(range(950, 1000)) / 50)
    assert _smooth_curve([2.0, 1.0], 10).loss == [1.5]
