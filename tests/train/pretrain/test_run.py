"""On two processes a run is the same run: its steps, its model, and what it goes on from."""

import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from groundup.core import Artifact, ConfigError, DataError, record
from groundup.core.contracts import Generation, Sampling
from groundup.corpus import CorpusConfig, corpus
from groundup.model import load
from groundup.tokenizer import MixConfig, TokensConfig, encode_corpus, mix_tokens
from groundup.train import (
    CheckpointConfig,
    Checkpoints,
    OptimConfig,
    PretrainConfig,
    RunOptions,
    pretrain,
)
from groundup.train.optim.schedule import make_lr_schedule
from groundup.train.parallel.mesh import SINGLE_PROCESS, Mesh
from groundup.train.pretrain.config import StageConfig
from groundup.train.pretrain.run import _require_finite_weights, _resolve_run_precision
from tests.train.parallel.processes import torchrun
from tests.train.services.test_validation import Rolling
from tests.train.small import Small, tiny_training, without_compiler

SETTINGS = {
    "depth": 3, "tokens": 4096, "batch_tokens": 512, "length": 64, "context_length": 128,
    "validation_tokens": 512, "validations": 2, "optim.matrices": "adamw", "optim.warmup": 0.0,
    "precision": "float32", "checkpoints.every_steps": 2, "micro_batches": 2,
}  # fmt: skip


def config_of() -> PretrainConfig:
    """What SETTINGS say."""
    return PretrainConfig(
        **{key: value for key, value in SETTINGS.items() if "." not in key},
        optim=OptimConfig(matrix_optimizer="adamw", warmup=0.0),
        checkpoints=CheckpointConfig(every_steps=2),
    )


@pytest.fixture(scope="module")
def alone(made, tmp_path_factory) -> Artifact:
    out = tmp_path_factory.mktemp("alone") / "run"
    with without_compiler():
        return pretrain(config_of(), made.tokens, made.tokenizer, out)


def on_two(made: Small, out: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The verb on two processes."""
    return torchrun(2, *command(made, out, *words))


def command(made: Small, out: Path, *words: str) -> list[str]:
    """The verb."""
    names = ("--tokens", str(made.tokens.path), "--tokenizer", str(made.tokenizer.path))
    settings = [w for key, value in SETTINGS.items() for w in ("--set", f"{key}={value}")]
    return ["pretrain", "--out", str(out), *words, *names, *settings]


def by_torchrun(made: Small, out: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The same, started by torchrun itself, which takes three times as long."""
    start = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    start += ["-m", "groundup", *command(made, out, *words)]
    with without_compiler():
        return subprocess.run(start, capture_output=True, text=True, timeout=150)


def losses(artifact: Artifact, name: str) -> list[float]:
    rows = record.read_metrics(artifact.path / "log" / "metrics.jsonl")
    return [row[name] for row in rows if name in row]


@pytest.mark.parametrize(
    ("start", "words"),
    [
        (on_two, ("--mesh", "shard=2")),
        pytest.param(on_two, ("--mesh", "pipeline=2"), marks=pytest.mark.slow),
        (on_two, ("--mesh", "data=2", "--prompt", "The")),
        # Three programs that import torch; how torchrun starts them is all that differs.
        pytest.param(by_torchrun, ("--mesh", "data=2"), marks=pytest.mark.slow),
    ],
)
def test_two_processes_make_the_model_of_one(made, alone, tmp_path, start, words):
    done = start(made, tmp_path / "two", *words)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("model ") == 1  # one process speaks
    two = Artifact.open(tmp_path / "two", "model")
    assert two.numbers["parameters"] == alone.numbers["parameters"]
    for name in ("loss", "validation"):
        assert_close(losses(two, name), losses(alone, name), atol=1e-5, rtol=0)
    assert len(losses(two, "samples")) == (2 if "--prompt" in words else 0)
    ours, theirs = (dict(load(each.path).named_parameters()) for each in (two, alone))
    for name, weight in theirs.items():
        assert_close(ours[name], weight, atol=1e-4, rtol=0)


def test_a_mesh_that_does_not_divide_is_one_line_and_no_folder(made, tmp_path):
    done = on_two(made, tmp_path / "two", "--mesh", "tensor=2")
    assert done.returncode and done.stderr.count("attention.kv_heads=1 does not divide") == 1
    assert not (tmp_path / "two" / "manifest.json").exists()
    done = on_two(made, tmp_path / "three", "--mesh", "data=3")
    assert done.returncode and done.stderr.count("needs 3 processes, but 2 are running") == 1


SHORT = {"tokens": 2048, "validations": 2}


@pytest.fixture(scope="module")
def plain(made, tmp_path_factory) -> Artifact:
    with without_compiler():
        out = tmp_path_factory.mktemp("plain") / "run"
        return pretrain(tiny_training(**SHORT), made.tokens, made.tokenizer, out)


@pytest.mark.parametrize(
    "name, share", [("dropout", 0.2), ("label_smoothing", 0.1), ("z_loss", 0.01)]
)
def test_dropout_smoothing_and_z_loss_change_training_and_no_score(
    made, plain, tmp_path, name, share
):
    with without_compiler():
        run = pretrain(
            tiny_training(**SHORT, **{name: share}), made.tokens, made.tokenizer, tmp_path / "run"
        )
    assert losses(run, "loss")[1:] != losses(plain, "loss")[1:]
    if name == "z_loss":  # what is added to the loss of equal weights
        assert losses(run, "loss")[0] > losses(plain, "loss")[0]
    assert abs(losses(run, "validation")[-1] - losses(plain, "validation")[-1]) < 0.3


def test_the_mean_of_the_weights_is_what_is_scored_sampled_and_saved(made, plain, tmp_path):
    spoken = []

    class Speaker(Rolling):
        def generate(self, conversations, how: Sampling) -> list[Generation]:
            spoken.append(self.model.embed_tokens.weight.detach().clone())
            return super().generate(conversations, how)

    beside = RunOptions(make_generator=Speaker, prompts=("The",))
    with without_compiler():
        config = tiny_training(**SHORT, average=0.5)
        mean = pretrain(config, made.tokens, made.tokenizer, tmp_path / "mean", run_options=beside)
    one, other = (dict(load(each.path).named_parameters()) for each in (mean, plain))
    assert max(float((one[name] - other[name]).detach().abs().max()) for name in one) > 1e-4
    assert losses(mean, "loss") == losses(plain, "loss")
    assert losses(mean, "validation") != losses(plain, "validation")
    assert_close(spoken[-1], one["embed_tokens.weight"].detach(), atol=0, rtol=0)


def test_samples_of_a_divided_model_are_refused(monkeypatch):
    beside = RunOptions(prompts=("The",))
    for dimensions, is_so in (((), False), (("data",), False), (("data", "tensor"), True)):
        monkeypatch.setattr(Mesh, "dimensions", dimensions)
        with pytest.raises(ConfigError, match="dimension tensor") if is_so else nullcontext():
            beside.check_mesh(SINGLE_PROCESS)
        RunOptions().check_mesh(SINGLE_PROCESS)


@pytest.mark.parametrize("number", [-1, 16, 1000])
def test_a_profile_of_a_step_that_does_not_come_is_refused(made, tmp_path, number):
    with pytest.raises(ConfigError, match=f"--profile {number} must .* step of this run, 0 to 15"):
        pretrain(tiny_training(), made.tokens, made.tokenizer, tmp_path / "run",
                 run_options=RunOptions(profile=number))  # fmt: skip
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["selective", "all"])
def test_what_is_computed_again_changes_nothing(made, plain, tmp_path, kind):
    config = tiny_training(**SHORT, recompute=kind)
    with without_compiler():
        again = pretrain(config, made.tokens, made.tokenizer, tmp_path / "run")
    assert losses(plain, "loss") == losses(again, "loss")


def test_a_short_run_at_an_absurd_rate_is_an_error(made, tmp_path):
    optim = OptimConfig(
        matrix_optimizer="adamw", learning_rate=30.0, embedding_learning_rate=30.0, warmup=0.0
    )
    with without_compiler(), pytest.raises(DataError, match="exploded: .* up to step 15"):
        pretrain(tiny_training(optim=optim), made.tokens, made.tokenizer, tmp_path / "wild")


def mixture(made: Small, folder: Path, validation_share: float) -> Artifact:
    """Tokens of the small corpus, `one`, and of sums, `two`, so much of which is held out."""
    (folder / "sums").mkdir()
    for number in range(8):
        lines = [f"{number} and {other} make {number + other}.\n" for other in range(60)]
        (folder / "sums" / f"{number}.txt").write_text("".join(lines), encoding="utf-8")
    split = CorpusConfig(
        validation_share=validation_share, test_share=0.1, near_duplicate_threshold=0
    )
    sums = encode_corpus(TokensConfig(), corpus(split, folder / "sums", folder / "corpus"),
                  made.tokenizer, folder / "tokens")  # fmt: skip
    return mix_tokens(MixConfig(tokens=2048, weights={"one": 1, "two": 1}),
               {"one": made.tokens, "two": sums}, made.tokenizer, folder / "mix")  # fmt: skip


def test_the_whole_of_a_validation_weighs_sources_as_the_run_reads_them(made, tmp_path):
    mixed = mixture(made, tmp_path, 0.4)
    stages = (
        StageConfig(share=0.5, length=64),
        StageConfig(share=0.5, length=64, mixture={"two": 1.0}),
    )
    config = tiny_training(tokens=2048, stages=stages, validations=1)
    with without_compiler():
        base = pretrain(config, mixed, made.tokenizer, tmp_path / "base")
    (whole,), (one,), (two,) = (
        losses(base, name) for name in ("validation", "validation/one", "validation/two")
    )
    assert abs(one - two) > 0.05
    assert whole == pytest.approx(0.25 * one + 0.75 * two, abs=2e-5)


def test_a_growing_batch_trains_on_all_tokens_at_rates_that_follow_it(made, tmp_path):
    config = tiny_training(ramp={"start": 0.25, "share": 0.5, "stages": 1})
    with without_compiler():
        base = pretrain(config, made.tokens, made.tokenizer, tmp_path / "base")
    sizes = losses(base, "tokens")
    assert sizes == sorted(sizes) and sizes[0] == 128 and sizes[-1] == 512
    rate = make_lr_schedule(config.optim, base.numbers["steps"])
    assert losses(base, "rate")[0] == pytest.approx(0.5 * rate(0), abs=1e-5)
    assert sum(sizes) == base.numbers["tokens"] == 8192


def test_a_run_that_goes_on_computes_as_it_did():
    place, config = torch.device("cpu"), tiny_training()
    assert _resolve_run_precision(config, {"dtype": "torch.float16"}, place).is_scaled
    told = tiny_training(precision="float32")
    assert _resolve_run_precision(told, {"dtype": "torch.bfloat16"}, place).dtype == torch.float32
    assert RunOptions().mesh == ""


def test_held_out_text_that_the_run_does_not_read_is_named(made, tmp_path, capsys):
    mixed = mixture(made, tmp_path, 0)
    config = tiny_training(
        tokens=2048,
        validations=1,
        stages=(StageConfig(share=1.0, length=64, mixture={"two": 1.0}),),
    )
    record.set_output_mode("plain")
    with without_compiler():
        pretrain(config, mixed, made.tokenizer, tmp_path / "base")
    said = capsys.readouterr()
    assert "measured on one, which the run does not train on" in said.err + said.out


def test_weights_that_are_not_finite_become_no_model():
    weights = dict(torch.nn.Linear(2, 2).named_parameters())
    _require_finite_weights(weights, "It")
    weights["bias"].data[1] = torch.nan
    with pytest.raises(DataError, match="It has non-finite values in bias"):
        _require_finite_weights(weights, "It")


def test_what_has_no_effect_on_a_mesh_is_told(capsys):
    record.set_output_mode("plain")
    RunOptions(zero=2, schedule="gpipe").check_mesh(SINGLE_PROCESS)
    said = capsys.readouterr().err
    assert "--zero 2 has no effect: the mesh has no dimension shard" in said
    assert "--schedule gpipe has no effect: the mesh has no dimension pipeline" in said
    RunOptions().check_mesh(SINGLE_PROCESS)
    assert not capsys.readouterr().err


def test_rows_of_a_step_stand_in_the_order_of_the_services(made, tmp_path):
    """A step's row, then its validation's, and both before the checkpoint of that step."""
    config = tiny_training(tokens=2048, validations=4, checkpoints=CheckpointConfig(every_steps=1))
    saved = []
    with without_compiler(), pytest.MonkeyPatch.context() as patch:
        save = Checkpoints.save

        def noted(self, step: int, *, wait: bool = True) -> bool:
            rows = record.read_metrics(self.folder / "metrics.jsonl")
            saved.append((step, [tuple(row)[1] for row in rows if row["step"] == step - 1]))
            return save(self, step, wait=wait)

        patch.setattr(Checkpoints, "save", noted)
        pretrain(config, made.tokens, made.tokenizer, tmp_path / "run")
    assert dict(saved) == {step: ["loss", "validation"] for step in range(1, 5)}
