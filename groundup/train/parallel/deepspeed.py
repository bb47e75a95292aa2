"""Export of a DeepSpeed ZeRO configuration from our settings.

It has the same stage, batch, precision, clipping and AdamW. Two things differ and are up to the
caller: DeepSpeed averages gradients over processes, while our losses are divided by the weight of
the global step; and it has one learning rate and no schedule with a plateau, so `schedule` must be
passed to it as a LambdaLR.
Source: https://www.deepspeed.ai/docs/config-json, checked by DeepSpeed 0.19.8's own schema.
"""

from pathlib import Path
from typing import Any, NamedTuple

import torch

from groundup.core import ConfigError, write_json

from ..optim.config import OptimConfig
from ..precision import GROWTH_INTERVAL, INITIAL_SCALE
from .data import BUCKET_BYTES
from .mesh import Mesh


class DeepSpeedBatch(NamedTuple):
    """Batch and dtype of a step."""

    sequences: int
    """Sequences of the global step."""
    micro_batches: int = 1
    dtype: torch.dtype = torch.float32


def deepspeed_configuration(
    optim: OptimConfig, work: DeepSpeedBatch, mesh: Mesh, *, zero: int = 3
) -> dict[str, Any]:
    """Settings for `deepspeed.initialize(config=…)`, for a mesh of data and shard dimensions.

    zero  stage 1, 2 or 3; 0 for replicated weights

    Raises ConfigError for what DeepSpeed cannot do: our Muon, other mesh dimensions, and batches
    that do not divide.
    """
    others = sorted(set(mesh.dimensions) - {"data", "shard"})
    if others:
        raise ConfigError(f"DeepSpeed's ZeRO does not support mesh dimension {others[0]}; omit "
                          "it.")  # fmt: skip
    if optim.matrix_optimizer != "adamw":
        raise ConfigError(
            f"optim.matrix_optimizer={optim.matrix_optimizer!r} differs from DeepSpeed's optimizer "
            "of that name; use optim.matrix_optimizer=adamw."
        )
    parts = mesh.batch_rank.parts
    if work.sequences % (parts * work.micro_batches):
        raise ConfigError(
            f"{work.sequences} sequences per step do not divide among {parts} processes with "
            f"{work.micro_batches} micro-batches each; use a multiple of "
            f"{parts * work.micro_batches}."
        )
    return {
        "train_batch_size": work.sequences,
        "train_micro_batch_size_per_gpu": work.sequences // (parts * work.micro_batches),
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
        "zero_optimization": _zero_settings(zero),
        **_precision_settings(work.dtype),
    }


def _zero_settings(stage: int) -> dict[str, Any]:
    """The ZeRO section; sizes are numbers of elements, not bytes."""
    numbers = BUCKET_BYTES // 4
    settings: dict[str, Any] = {"stage": stage}
    if stage:
        settings |= {"reduce_scatter": True, "reduce_bucket_size": numbers, "overlap_comm": True,
                     "contiguous_gradients": True}  # fmt: skip
    if stage == 3:
        return settings | {"stage3_prefetch_bucket_size": numbers,
                           "stage3_param_persistence_threshold": 0}  # fmt: skip
    return settings | ({"allgather_bucket_size": numbers} if stage else {})


def _precision_settings(dtype: torch.dtype) -> dict[str, Any]:
    """The precision section; float16 loss scaling as in precision.py."""
    if dtype == torch.bfloat16:
        return {"bf16": {"enabled": True}}
    if dtype == torch.float16:
        power = int(INITIAL_SCALE).bit_length() - 1
        return {"fp16": {"enabled": True, "loss_scale": 0, "initial_scale_power": power,
                         "loss_scale_window": GROWTH_INTERVAL, "min_loss_scale": 1}}  # fmt: skip
    return {}


def _write_deepspeed(
    path: Path, optim: OptimConfig, work: DeepSpeedBatch, mesh: Mesh, *, zero: int = 3
) -> Path:
    """Write the settings to a JSON file for DeepSpeed."""
    write_json(path, deepspeed_configuration(optim, work, mesh, zero=zero))
    return path
