"""A planned step as DeepSpeed's configuration, for `groundup plan --deepspeed FILE`.

It has the same ZeRO stage, batch, precision, clipping and AdamW. Two things differ and are up to
the caller: DeepSpeed averages gradients over processes, while our losses are divided by the weight
of the global step; and it has one learning rate and no schedule with a plateau, so `schedule` must
be passed to it as a LambdaLR.
Source: https://www.deepspeed.ai/docs/config-json, checked by DeepSpeed 0.19.8's own schema.
"""

from collections.abc import Mapping
from typing import Any

from groundup.core import ConfigError

from ..parallel.data import BUCKET_BYTES
from ..precision import GROWTH_INTERVAL, INITIAL_SCALE
from .step import StepWork


def deepspeed_settings(work: StepWork, sizes: Mapping[str, int], zero: int) -> dict[str, Any]:
    """Settings for `deepspeed.initialize(config=…)`.

    work   what one process computes
    sizes  of the mesh's dimensions
    zero   ZeRO stage along `shard`

    Raises ConfigError for what DeepSpeed cannot do: our Muon, and meshes of other dimensions than
    data and shard.
    """
    others = sorted(name for name in sizes.keys() - {"data", "shard"} if sizes[name] > 1)
    if others:
        raise ConfigError(f"DeepSpeed's ZeRO does not support mesh dimension {others[0]}; omit it.")
    optim = work.optim
    if optim.matrix_optimizer != "adamw":
        raise ConfigError(
            f"optim.matrix_optimizer={optim.matrix_optimizer!r} differs from DeepSpeed's optimizer "
            "of that name; use optim.matrix_optimizer=adamw."
        )
    processes = sizes.get("data", 1) * sizes.get("shard", 1)
    adamw = {"lr": optim.learning_rate, "betas": [optim.beta1, optim.beta2],
             "eps": optim.epsilon, "weight_decay": optim.weight_decay}  # fmt: skip
    return {
        "train_batch_size": work.rows * work.micro_batches * processes,
        "train_micro_batch_size_per_gpu": work.rows,
        "gradient_accumulation_steps": work.micro_batches,
        "gradient_clipping": optim.clip,
        "optimizer": {"type": "AdamW", "params": adamw},
        "zero_optimization": _zero_settings(zero if sizes.get("shard", 1) > 1 else 0),
        **_precision_settings(work.precision),
    }


def _zero_settings(stage: int) -> dict[str, Any]:
    numbers = BUCKET_BYTES // 4
    settings: dict[str, Any] = {"stage": stage}
    if stage:
        settings |= {"reduce_scatter": True, "reduce_bucket_size": numbers, "overlap_comm": True,
                     "contiguous_gradients": True}  # fmt: skip
    if stage == 3:
        return settings | {"stage3_prefetch_bucket_size": numbers,
                           "stage3_param_persistence_threshold": 0}  # fmt: skip
    return settings | ({"allgather_bucket_size": numbers} if stage else {})


def _precision_settings(precision: str) -> dict[str, Any]:
    """The precision section; float16 loss scaling as in precision.py."""
    if precision == "bfloat16":
        return {"bf16": {"enabled": True}}
    if precision == "float16":
        power = int(INITIAL_SCALE).bit_length() - 1
        return {"fp16": {"enabled": True, "loss_scale": 0, "initial_scale_power": power,
                         "loss_scale_window": GROWTH_INTERVAL, "min_loss_scale": 1}}  # fmt: skip
    return {}
