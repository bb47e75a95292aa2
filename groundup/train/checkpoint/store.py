"""Checkpoints: all that a run needs to go on as if nothing had happened, without pickle.

    step-00001200/          renamed into place when it is whole
      model.safetensors     float32 weights
      optimizer.safetensors
      state.json            step, random state's digest, determinism contract, what it belongs to

The order of batches needs no state: it is a function of the step.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from groundup.core import ArtifactError, device, record
from groundup.model import save_tensors

from ..optim.optimizer import Optimizer

KEEP = 2


class Resumed(NamedTuple):
    """What was found to go on from."""

    step: int
    """Number of steps already done."""
    contract: dict[str, Any]
    """Determinism contract of the run that saved it; empty at a fresh start."""


def save(folder: Path, step: int, model: nn.Module, optimizer: Optimizer) -> Path:
    """Save a checkpoint atomically and keep only the newest two."""
    folder.mkdir(parents=True, exist_ok=True)
    place, partial = folder / f"step-{step:08d}", folder / ".partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    weights = {name: p.detach().contiguous() for name, p in model.named_parameters()}
    save_tensors(weights, partial / "model.safetensors")
    save_tensors(optimizer.state(), partial / "optimizer.safetensors")
    save_tensors({"cpu": torch.get_rng_state()}, partial / "random.safetensors")
    state = {"format": 1, "step": step, "contract": contract()}
    (partial / "state.json").write_text(json.dumps(state))
    for path in partial.iterdir():
        with open(path, "rb") as file:
            os.fsync(file.fileno())
    shutil.rmtree(place, ignore_errors=True)
    os.replace(partial, place)
    for old in sorted(folder.glob("step-*"))[:-KEEP]:
        shutil.rmtree(old, ignore_errors=True)
    return place


def resume(folder: Path, model: nn.Module, optimizer: Optimizer) -> Resumed:
    """Load the newest checkpoint into model and optimizer; step 0 if there is none.

    Raises ArtifactError if the newest one is damaged: falling back in silence would change results.
    """
    places = sorted(folder.glob("step-*"))
    if not places:
        return Resumed(0, {})
    place = places[-1]
    try:
        state = json.loads((place / "state.json").read_text())
        weights = load_file(place / "model.safetensors")
        optimizer.load_state(load_file(place / "optimizer.safetensors"))
        torch.set_rng_state(load_file(place / "random.safetensors")["cpu"])
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise ArtifactError(
            f"The checkpoint {place} is damaged ({error}); remove it to go on from the one before."
        ) from None
    own = dict(model.named_parameters())
    if own.keys() != weights.keys():
        odd = sorted(own.keys() ^ weights.keys())[:3]
        raise ArtifactError(f"The checkpoint {place} is of another model: {', '.join(odd)} differ.")
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(weights[name])
    differs = [name for name, value in contract().items() if state["contract"].get(name) != value]
    if differs:
        record.say(
            f"The checkpoint was made with another {', '.join(differs)}: going on, but the result "
            "will not be bit-equal to an undisturbed run's."
        )
    return Resumed(state["step"], state["contract"])


def contract() -> dict[str, Any]:
    """What must be the same for the same bits: machine, versions, threads, allocator aside."""
    return {**device.fingerprint(), "threads": torch.get_num_threads()}
