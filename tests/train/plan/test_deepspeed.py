"""What is written for DeepSpeed has names that its own schema knows, and our numbers.

The schema is kept by benchmarks/train/deepspeed_schema.py, which lets DeepSpeed read every case.
"""

import json
from pathlib import Path

import pytest

from groundup.core import ConfigError
from groundup.train import OptimConfig, PlanConfig, plan
from groundup.train.plan.deepspeed import deepspeed_settings
from groundup.train.plan.step import StepWork

SCHEMA = json.loads((Path(__file__).parent / "deepspeed_schema.json").read_text(encoding="utf-8"))
ADAMW = OptimConfig(matrix_optimizer="adamw", clip=0.5, weight_decay=0.1)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("zero", [0, 1, 2, 3])
def test_every_name_is_known_to_deepspeed(zero: int, precision: str):
    sizes = {"shard": 2} if zero else {"data": 2}
    found = deepspeed_settings(StepWork(rows=2, precision=precision, optim=ADAMW), sizes, zero)
    assert found["zero_optimization"]["stage"] == zero and found["gradient_clipping"] == 0.5
    assert found["optimizer"]["params"]["weight_decay"] == 0.1
    for part in ("zero_optimization", "bf16", "fp16"):
        assert set(found.get(part, {})) <= set(SCHEMA[part])


def test_a_plan_writes_the_step_that_it_planned(tmp_path: Path):
    step = PlanConfig(rows=2, micro_batches=3, length=64, compiled=False, zero=2, optim=ADAMW)
    file = tmp_path / "zero.json"
    plan(step, "1", memory="1GB", on="cpu", mesh="shard=2", deepspeed=file)
    found = json.loads(file.read_text(encoding="utf-8"))
    assert [found[name] for name in ("train_batch_size", "train_micro_batch_size_per_gpu",
                                     "gradient_accumulation_steps")] == [12, 2, 3]  # fmt: skip
    assert found["zero_optimization"]["stage"] == 2 and found["bf16"] == {"enabled": True}


@pytest.mark.parametrize(
    ("optim", "sizes", "told"),
    [
        (OptimConfig(), {}, "optim.matrix_optimizer='muon' differs"),
        (ADAMW, {"tensor": 2}, "does not support mesh dimension tensor"),
    ],
)
def test_what_deepspeed_has_no_setting_of_is_refused(optim, sizes, told: str):
    with pytest.raises(ConfigError, match=told):
        deepspeed_settings(StepWork(optim=optim), sizes, 3)
