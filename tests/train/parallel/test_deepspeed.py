"""What is written for DeepSpeed has names that its own schema knows, and our numbers.

The schema is kept by benchmarks/train/deepspeed_schema.py, which lets DeepSpeed read every case.
"""

import json
from pathlib import Path

import pytest
import torch

from groundup.core import ConfigError
from groundup.train import OptimConfig
from groundup.train.parallel.deepspeed import (
    DeepSpeedBatch,
    _write_deepspeed,
    deepspeed_configuration,
)
from groundup.train.parallel.mesh import SINGLE_PROCESS
from tests.train.parallel.plans import Case, mesh_of
from tests.train.parallel.processes import run

SCHEMA = json.loads((Path(__file__).parent / "deepspeed_schema.json").read_text(encoding="utf-8"))
ADAMW = OptimConfig(matrix_optimizer="adamw", clip=0.5, weight_decay=0.1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("zero", [0, 1, 2, 3])
def test_every_name_is_known_to_deepspeed(zero: int, dtype: torch.dtype, tmp_path: Path):
    path = _write_deepspeed(
        tmp_path / "zero.json", ADAMW, DeepSpeedBatch(8, 2, dtype), SINGLE_PROCESS, zero=zero
    )
    found = json.loads(path.read_text(encoding="utf-8"))
    assert found["zero_optimization"]["stage"] == zero and found["gradient_clipping"] == 0.5
    assert found["optimizer"]["params"]["weight_decay"] == 0.1
    for part in ("zero_optimization", "bf16", "fp16"):
        assert set(found.get(part, {})) <= set(SCHEMA[part])


def rows_of_two() -> list[int]:
    """Rows by step, micro-batch and accumulation on two processes."""
    found = deepspeed_configuration(ADAMW, DeepSpeedBatch(12, 3), mesh_of(Case("shard=2")))
    return [found[name] for name in ("train_batch_size", "train_micro_batch_size_per_gpu",
                                     "gradient_accumulation_steps")]  # fmt: skip


def test_rows_are_divided_among_processes_and_micro_batches():
    assert run(2, rows_of_two)[0] == [12, 2, 3]


@pytest.mark.parametrize(
    ("optim", "work", "told"),
    [
        (OptimConfig(), DeepSpeedBatch(8), "optim.matrix_optimizer='muon' differs"),
        (
            ADAMW,
            DeepSpeedBatch(9, 2),
            "9 sequences per step do not divide among 1 processes with 2 micro-batches",
        ),
    ],
)
def test_what_deepspeed_has_no_setting_of_is_refused(
    optim: OptimConfig, work: DeepSpeedBatch, told: str
):
    with pytest.raises(ConfigError, match=told):
        deepspeed_configuration(optim, work, SINGLE_PROCESS)
