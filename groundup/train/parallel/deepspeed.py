"""DeepSpeed: its ZeRO configuration, written from ours.

Whoever trains with DeepSpeed starts from the same settings: stage, batch, precision, clipping and
AdamW. Two things differ and are the caller's: DeepSpeed averages gradients over processes, where
our losses are divided by the weight of the whole step; and it has one learning rate and no schedule
with a plateau, so that `schedule` goes to it as a LambdaLR.
Source: https://www.deepspeed.ai/docs/config-json, checked by DeepSpeed 0.19.8's own schema.
"""

from pathlib import Path
from typing import Any, NamedTuple

import torch

from groundup.core import ConfigError, write_json

from ..optim.config import OptimConfig
from ..precision import FIRST_SCALE, PATIENCE
from .data import BUCKET_BYTES
from .mesh import Mesh


class Work(NamedTuple):
    """What a step computes, as DeepSpeed wants to know it."""

    rows: int
    """Of a whole step."""
    micro_batches: int = 1
    dtype: torch.dtype = torch.float32


def deepspeed_configuration(
    optim: OptimConfig, work: Work, mesh: Mesh, *, zero: int = 3
) -> dict[str, Any]:
    """Settings for `deepspeed.initialize(config=…)` that train as ours on a mesh of rows alone.

    zero  stage 1, 2 or 3; 0 for whole weights on every process

    Raises ConfigError for what DeepSpeed has no setting of: Muon as it is here, matrices, layers or
    positions that are divided, and rows that do not divide.
    """
    others = sorted(set(mesh.dimensions) - {"data", "shard"})
    if others:
        raise ConfigError(f"DeepSpeed's ZeRO divides rows, and the mesh has {others[0]}; leave it "
                          "out.")  # fmt: skip
    if optim.matrices != "adamw":
        raise ConfigError(
            f"optim.matrices={optim.matrices!r} is another rule than DeepSpeed's of that name; use "
            "optim.matrices=adamw."
        )
    parts = mesh.rows.parts
    if work.rows % (parts * work.micro_batches):
        raise ConfigError(
            f"{work.rows} rows a step do not divide among {parts} processes with "
            f"{work.micro_batches} micro-batches each; choose a multiple of "
            f"{parts * work.micro_batches}."
        )
    return {
        "train_batch_size": work.rows,
        "train_micro_batch_size_per_gpu": work.rows // (parts * work.micro_batches),
        "gradient_accumulation_steps": work.micro_batches,
        "gradient_clipping": optim.clip,
        "optimizer": {
            "type": "AdamW",
            "params": {
                "lr": optim.learning_rate,
                "betas": [optim.beta1, optim.beta2],
                "eps": optim.epsilon,
                "weight_decay": optim.weight_decay,
            },
        },
        "zero_optimization": zero_settings(zero),
        **precision_settings(work.dtype),
    }


def zero_settings(stage: int) -> dict[str, Any]:
    """The part about ZeRO; sizes are counts of numbers, not bytes."""
    numbers = BUCKET_BYTES // 4
    found: dict[str, Any] = {"stage": stage}
    if stage:
        found |= {"reduce_scatter": True, "reduce_bucket_size": numbers, "overlap_comm": True,
                  "contiguous_gradients": True}  # fmt: skip
    if stage == 3:
        return found | {"stage3_prefetch_bucket_size": numbers,
                        "stage3_param_persistence_threshold": 0}  # fmt: skip
    return found | ({"allgather_bucket_size": numbers} if stage else {})


def precision_settings(dtype: torch.dtype) -> dict[str, Any]:
    """The part about precision; float16 scales its loss as precision.py does."""
    if dtype == torch.bfloat16:
        return {"bf16": {"enabled": True}}
    if dtype == torch.float16:
        power = int(FIRST_SCALE).bit_length() - 1
        return {"fp16": {"enabled": True, "loss_scale": 0, "initial_scale_power": power,
                         "loss_scale_window": PATIENCE, "min_loss_scale": 1}}  # fmt: skip
    return {}


def write_deepspeed(
    path: Path, optim: OptimConfig, work: Work, mesh: Mesh, *, zero: int = 3
) -> Path:
    """Write the settings as a JSON file, to be given to DeepSpeed by its path."""
    write_json(path, deepspeed_configuration(optim, work, mesh, zero=zero))
    return path
