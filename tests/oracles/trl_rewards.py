"""Reward losses of TRL 1.16 on random scores: fixtures/align/trl_rewards.json."""

import json
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import torch
import trl
from trl import RewardTrainer

OUT = Path(__file__).resolve().parents[1] / "fixtures/align/trl_rewards.json"
PAIRS = 7


def main() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(2 * PAIRS, 1, generator=generator, dtype=torch.float64)
    margin = torch.rand(PAIRS, generator=generator, dtype=torch.float64)
    same = SimpleNamespace(
        gather=lambda values: values, gather_for_metrics=lambda values: torch.as_tensor(values)
    )
    found = {}
    for name, centring, margins in (
        ("plain", None, {}), ("margin", None, {"margin": margin}),
        ("centred", 0.01, {}), ("both", 0.3, {"margin": margin}),
    ):  # fmt: skip
        trainer = SimpleNamespace(
            model=SimpleNamespace(training=True), accelerator=same, _total_train_tokens=0,
            _tp_size=1, _metrics={"train": defaultdict(list)},
            args=SimpleNamespace(center_rewards_coefficient=centring),
        )  # fmt: skip
        inputs = {"attention_mask": torch.ones(2 * PAIRS, 1)} | margins

        def model(**inputs: object) -> SimpleNamespace:
            return SimpleNamespace(logits=scores)

        found[name] = float(RewardTrainer.compute_loss(trainer, model, inputs))
    chosen, rejected = scores[:, 0].chunk(2)
    rows = {"chosen": chosen.tolist(), "rejected": rejected.tolist(), "margin": margin.tolist()}
    versions = {"trl": trl.__version__, "torch": torch.__version__}
    OUT.write_text(json.dumps({"versions": versions, "losses": found, **rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
