"""DeepSpeed reads the configurations that we write; its own schema is asked, and kept for tests.

    python -m venv V && V/bin/pip install torch setuptools wheel
    DS_BUILD_OPS=0 V/bin/pip install --no-build-isolation deepspeed
    python -m benchmarks.train.deepspeed_schema write FOLDER      # our side: one file a case
    V/bin/python -m benchmarks.train.deepspeed_schema check FOLDER

The second command needs DeepSpeed alone. It writes `tests/train/plan/deepspeed_schema.json`,
names and types of the settings of ZeRO and of both precisions, which the tests compare with.
"""

import json
import sys
from pathlib import Path

KEPT = Path(__file__).resolve().parents[2] / "tests/train/plan/deepspeed_schema.json"


def write(folder: Path) -> None:
    """One file for each stage and precision."""
    from groundup.train import OptimConfig
    from groundup.train.plan.deepspeed import deepspeed_settings
    from groundup.train.plan.step import StepWork

    folder.mkdir(parents=True, exist_ok=True)
    optim = OptimConfig(matrix_optimizer="adamw")
    for precision in ("float32", "bfloat16", "float16"):
        for zero in (0, 1, 2, 3):
            work = StepWork(rows=4, micro_batches=2, precision=precision, optim=optim)
            sizes = {"shard" if zero else "data": 2}
            text = json.dumps(deepspeed_settings(work, sizes, zero), indent=1)
            (folder / f"{precision}-{zero}.json").write_text(text + "\n")


def check(folder: Path) -> None:
    """Let DeepSpeed read every file; keep what it knows."""
    import deepspeed
    from deepspeed.runtime.config import DeepSpeedConfig
    from deepspeed.runtime.precision_config import DeepSpeedBF16Config, DeepSpeedFP16Config
    from deepspeed.runtime.zero.config import DeepSpeedZeroConfig

    for path in sorted(folder.glob("*.json")):
        ours = json.loads(path.read_text(encoding="utf-8"))
        read = DeepSpeedConfig(str(path))
        assert read.zero_optimization_stage == ours["zero_optimization"]["stage"], path
        assert read.train_micro_batch_size_per_gpu == ours["train_micro_batch_size_per_gpu"], path
        assert read.gradient_accumulation_steps == ours["gradient_accumulation_steps"], path
        assert read.gradient_clipping == ours["gradient_clipping"], path
        assert read.optimizer_name == "adamw", path
        assert read.optimizer_params == ours["optimizer"]["params"], path
        assert read.bfloat16_config.enabled == ("bf16" in ours), path
        assert read.float16_config.enabled == ("fp16" in ours), path
        print(f"{path.name}: read by DeepSpeed {deepspeed.__version__}")
    parts = {"zero_optimization": DeepSpeedZeroConfig, "bf16": DeepSpeedBF16Config,
             "fp16": DeepSpeedFP16Config}  # fmt: skip
    kept = {name: sorted(names_of(part)) for name, part in parts.items()}
    KEPT.write_text(json.dumps({"deepspeed": deepspeed.__version__} | kept, indent=1) + "\n")


def names_of(part: type) -> set[str]:
    """Names that a part of the configuration may have; it refuses all others."""
    fields = part.model_fields  # type: ignore[attr-defined]
    return set(fields) | {field.alias for field in fields.values() if field.alias}


if __name__ == "__main__":
    {"write": write, "check": check}[sys.argv[1]](Path(sys.argv[2]))
