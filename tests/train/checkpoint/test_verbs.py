"""A model is made of a checkpoint while the run goes on and takes old ones away."""

import json
import os
import threading
from pathlib import Path

import pytest
import torch

from groundup.core import Artifact, ArtifactError, ConfigError
from groundup.model import Transformer, load
from groundup.train import (
    CheckpointConfig,
    Checkpoints,
    ExportConfig,
    RunIdentity,
    export_checkpoint,
    list_checkpoints,
    pretrain,
)
from groundup.train.pretrain.stage import _run_identity
from tests.train.small import Small, tiny_training, without_compiler


class Mean:
    """A running mean of weights, as far as a checkpoint sees it."""

    def __init__(self, model: Transformer) -> None:
        self.means = {f"average.{name}": p.detach() + 1 for name, p in model.named_parameters()}

    def state(self) -> dict[str, torch.Tensor]:
        return self.means | {"updates": torch.tensor(4)}

    def load_state(self, state: dict[str, torch.Tensor]) -> None:
        self.means = state


class Run:
    """A run whose weights are all equal to the number of its step."""

    def __init__(self, out: Path, made: Small, keep: int = 2) -> None:
        config = tiny_training()
        inputs = {"tokens": made.tokens, "tokenizer": made.tokenizer}
        self.model = Transformer(config.model_config_for(300), seed=0)
        self.checkpoints = Checkpoints(
            out / ".scratch",
            {"model": self.model, "ema": Mean(self.model)},
            CheckpointConfig(keep=keep),
            identity=_run_identity(config, inputs)._replace(model=self.model.config.to_dict()),
        )

    def save(self, step: int) -> None:
        with torch.no_grad():
            for parameter in self.model.parameters():
                parameter.fill_(float(step))
        self.checkpoints.save(step)


def test_a_stopped_runs_checkpoint_becomes_a_model_with_the_runs_lineage(made, tmp_path):
    run = Run(tmp_path / "run", made)
    run.save(3), run.save(8)
    run.checkpoints.close()
    newest = export_checkpoint(ExportConfig(), tmp_path / "run", tmp_path / "newest")
    assert {float(p.detach().mean()) for p in load(newest.path).parameters()} == {8.0}
    assert [(p.name, p.id) for p in newest.parents] == [
        ("tokens", made.tokens.id), ("tokenizer", made.tokenizer.id),
    ]  # fmt: skip
    assert newest.config["step"] == 8 and len(newest.config["source_digest"]) == 64
    assert newest.numbers["step"] == 8 and newest.kind == "model"
    kept = json.loads((newest.path / "log" / "checkpoint.json").read_text())
    assert kept["identity"]["objective"] == "causal" and kept["contract"]["processes"] == 1
    again = export_checkpoint(ExportConfig(), tmp_path / "run", tmp_path / "newest")
    assert again.id == newest.id
    earlier = ExportConfig(step=3)
    older = export_checkpoint(earlier, tmp_path / "run" / ".scratch", tmp_path / "older")
    assert float(load(older.path).norm.weight.detach().mean()) == 3.0 and older.id != newest.id
    mean = export_checkpoint(ExportConfig(weights="ema"), tmp_path / "run", tmp_path / "mean")
    assert Artifact.open(mean.path).config["weights"] == "ema"
    assert mean.id != newest.id and (mean.path / "tokenizer.json").is_file()


def test_checkpoints_that_are_taken_away_meanwhile_disturb_neither(made, tmp_path):
    run, stop = Run(tmp_path / "run", made, keep=1), threading.Event()
    run.save(1)
    run.checkpoints.wait()

    def go_on() -> None:
        step = 1
        while not stop.is_set():
            step += 1
            run.save(step)
        run.checkpoints.close()

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        for number in range(3):
            out = tmp_path / f"model-{number}"
            found = export_checkpoint(ExportConfig(), tmp_path / "run", out)
            means = {float(p.detach().mean()) for p in load(found.path).parameters()}
            assert means == {float(found.numbers["step"])}
    finally:
        stop.set()
        thread.join(60)
    assert not thread.is_alive() and not run.checkpoints.has_failed


def test_checkpoints_are_listed_and_checked(made, tmp_path):
    run = Run(tmp_path, made)
    run.save(2), run.save(5)
    run.checkpoints.close()
    found = list_checkpoints(tmp_path, check=True).checkpoints
    assert [each.step for each in found] == [2, 5]
    assert found[0].parts == ("ema", "model", "random") and not found[0].trouble
    path = tmp_path / ".scratch" / "step-00000002" / "ema-00000.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(ArtifactError, match="1 of 2 checkpoints .* cannot be used") as told:
        list_checkpoints(tmp_path, check=True)
    assert "other content" in told.value.__notes__[0]
    assert "other content" not in str(list_checkpoints(tmp_path))
    assert str(list_checkpoints(tmp_path)).splitlines()[1].startswith("step        5")
    path.unlink()
    assert "ema-00000.safetensors is missing" in str(list_checkpoints(tmp_path))


def test_what_cannot_be_exported_says_why(made, tmp_path):
    with pytest.raises(ArtifactError, match="has no checkpoint yet"):
        export_checkpoint(ExportConfig(), tmp_path, tmp_path / "out")
    run = Run(tmp_path / "run", made)
    run.save(1)
    run.checkpoints.close()
    with pytest.raises(ConfigError, match="weights='mean' are not in .*; it has ema, model, rand"):
        export_checkpoint(ExportConfig(weights="mean"), tmp_path / "run", tmp_path / "out")
    with pytest.raises(ArtifactError, match="no checkpoint of step 9; it has 1"):
        export_checkpoint(ExportConfig(step=9), tmp_path / "run", tmp_path / "out")
    bare = Checkpoints(tmp_path / "bare", {"model": run.model}, identity=RunIdentity())
    bare.save(1)
    bare.close()
    with pytest.raises(ArtifactError, match="has no model and tokenizer identity"):
        export_checkpoint(ExportConfig(), tmp_path / "bare", tmp_path / "out")
    os.rename(made.tokenizer.path, tmp_path / "moved")
    try:
        with pytest.raises(ArtifactError, match="tokenizer"):
            export_checkpoint(ExportConfig(), tmp_path / "run", tmp_path / "out")
    finally:
        os.rename(tmp_path / "moved", made.tokenizer.path)


def test_an_artifact_that_no_training_made_is_told_as_what_it_is(made):
    with pytest.raises(ArtifactError, match=r"Expected a model artifact, got tokens \("):
        list_checkpoints(made.tokens.path)


def test_a_complete_run_is_its_own_model(made, tmp_path):
    config = tiny_training(tokens=512, validations=1)
    with without_compiler():
        base = pretrain(config, made.tokens, made.tokenizer, tmp_path / "base")
    with pytest.raises(ArtifactError, match="is complete: it has its model"):
        export_checkpoint(ExportConfig(), base.path, tmp_path / "out")
