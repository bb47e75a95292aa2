"""How far our logits are from Transformers', family by family, on the fixtures of its own models.

    python -m benchmarks.model.parity

The fixtures (tests/fixtures, made by `make oracles`) are small random models of odd shapes that
Transformers wrote, with the logits that it computes in float32, padding and long rows among them.
Results: results/parity.json, from which docs/benchmarks/models.md is made.
"""

import datetime
import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from groundup.core import write_json
from groundup.model import Transformer, load

ROOT = Path(__file__).resolve().parents[2]
FIXTURES, RESULTS = ROOT / "tests" / "fixtures", ROOT / "benchmarks" / "results" / "parity.json"


def models() -> list[Path]:
    """Every directory that holds a model and what its peer makes of it, exact weights only."""
    found = sorted(path.parent for path in FIXTURES.rglob("expected.safetensors"))
    plain = [
        path
        for path in found
        if (path / "config.json").is_file() and not {"heads", "odd"} & {*path.parts}
    ]
    return [
        path for path in plain if "quantization_config" not in (path / "config.json").read_text()
    ]


def logits_of(model: Transformer, expected: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Our logits, and where they are of real tokens."""
    if model.encoder is not None:
        read = {side: expected[f"{side}_mask"] - 1 for side in ("source", "target")}
        encoded = model.encode(expected["source"], documents=read["source"])
        target = read["target"]
        hidden = model(expected["target"], documents=target, encoded=encoded)
        return model.project(hidden), target >= 0
    ids = expected["ids"]
    mask = expected.get("mask", torch.ones_like(ids))
    types = expected.get("types") if model.config.embedding.types else None
    hidden = model(ids, documents=mask - 1, types=types)
    return model.project(hidden), mask > 0


@torch.inference_mode()
def measure() -> dict[str, dict[str, float | int]]:
    """Largest difference of a logit by model_type, and of how many models and logits."""
    found: dict[str, dict[str, float | int]] = {}
    for path in models():
        model = load(path, torch.float32)
        kind = json.loads((path / "config.json").read_text())["model_type"]
        expected = load_file(path / "expected.safetensors")
        ours, is_real = logits_of(model, expected)
        gaps = (ours - expected["logits"])[is_real].abs()
        row = found.setdefault(kind, {"models": 0, "logits": 0, "largest": 0.0})
        row["models"] += 1
        row["logits"] += gaps.numel()
        row["largest"] = max(row["largest"], float(gaps.max()))
    return found


def main() -> None:
    """Measure, print and write."""
    found = measure()
    for kind, row in found.items():
        print(f"{kind:<22}{row['models']:>3} models  {row['logits']:>7,} logits  "
              f"largest difference {row['largest']:.1e}")  # fmt: skip
    date = datetime.date.today().isoformat()
    write_json(RESULTS, {"rows": [], "date": date, "families": found})


if __name__ == "__main__":
    main()
