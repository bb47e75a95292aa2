"""Policy losses and advantages of TRL 1.16 on random numbers: fixtures/align/trl_policy.json."""

import json
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import trl
from trl import GRPOTrainer, RLOOTrainer

OUT = Path(__file__).resolve().parents[1] / "fixtures/align/trl_policy.json"
GROUPS, ANSWERS, TOKENS, LONGEST = 2, 4, 9, 12
ACCELERATOR = SimpleNamespace(
    device=torch.device("cpu"), num_processes=1, gather=lambda x: x, gather_for_metrics=lambda x: x,
    reduce=lambda x, reduction: x,
)  # fmt: skip


def stand_in(logps: torch.Tensor, **values: Any) -> SimpleNamespace:
    args = SimpleNamespace(
        use_bias_correction_kl=True,
        delta=None,
        sapo_temperature_pos=1.0,
        sapo_temperature_neg=1.05,
        steps_per_generation=1,
    )
    return SimpleNamespace(
        accelerator=ACCELERATOR, args=args, model=SimpleNamespace(training=True),
        _metrics={"train": defaultdict(list)}, aux_loss_enabled=False, top_entropy_quantile=1.0,
        off_policy_mask_threshold=None, importance_sampling_level="token", use_vllm=False,
        current_gradient_accumulation_steps=1, max_completion_length=LONGEST, epsilon_low=0.2,
        epsilon_high=0.28, router_aux_loss_coef=0.0, _entropy_bonus_enabled=False,
        entropy_coef=0.0,
        _get_per_token_logps_and_entropies=lambda *a, **k: (logps, torch.zeros_like(logps), None),
        **values,
    )  # fmt: skip


def main() -> None:
    generator = torch.Generator().manual_seed(0)
    count = GROUPS * ANSWERS

    def draw(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    logps = -3 * draw(count, TOKENS)
    sampled = logps + 0.8 * (draw(count, TOKENS) - 0.5)
    reference = logps + 0.8 * (draw(count, TOKENS) - 0.5)
    lengths = torch.randint(1, TOKENS + 1, (count,), generator=generator)
    mask = (torch.arange(TOKENS)[None] < lengths[:, None]).long()
    advantages = 2 * draw(count) - 1
    ones = torch.ones(count, 1, dtype=torch.long)
    inputs = {
        "prompt_ids": ones, "prompt_mask": ones, "completion_ids": mask, "completion_mask": mask,
        "advantages": advantages, "old_per_token_logps": sampled, "ref_per_token_logps": reference,
        "num_items_in_batch": mask.sum(), "old_logps": (sampled * mask).sum(1),
    }  # fmt: skip
    found = {}
    for name in ("grpo", "dr_grpo", "dapo"):
        for beta in (0.0, 0.3):
            trainer = stand_in(logps, loss_type=name, beta=beta)
            loss = GRPOTrainer._compute_loss(trainer, None, dict(inputs))
            found[f"{name} {beta}"] = float(loss)
    trainer = stand_in(logps, beta=0.0)
    found["rloo 0.0"] = float(RLOOTrainer._compute_loss(trainer, None, dict(inputs)))
    rows = {
        "policy": logps.tolist(), "sampled": sampled.tolist(), "reference": reference.tolist(),
        "lengths": lengths.tolist(), "advantages": advantages.tolist(),
    }  # fmt: skip
    versions = {"trl": trl.__version__, "torch": torch.__version__}
    OUT.write_text(json.dumps({"versions": versions, "losses": found, **rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
