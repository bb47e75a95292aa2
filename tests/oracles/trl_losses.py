"""Preference losses of TRL 1.16 on random log-probabilities: fixtures/align/trl_losses.json.

Trainers' own methods run on a stand-in for the trainer with the attributes that they read, and on a
model that gives fixed log-probabilities of tokens.
"""

import json
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import trl
from trl import DPOTrainer, KTOTrainer
from trl.experimental.cpo import CPOTrainer
from trl.experimental.orpo import ORPOTrainer

OUT = Path(__file__).resolve().parents[1] / "fixtures/align/trl_losses.json"
PAIRS, TOKENS = 5, 7
PAIR_TYPES = {
    "dpo": "sigmoid", "robust": "robust", "hinge": "hinge", "ipo": "ipo",
    "dpo_mean": "sigmoid_norm",
}  # fmt: skip
ACCELERATOR = SimpleNamespace(
    device=torch.device("cpu"), gather_for_metrics=lambda x: x, gather=lambda x: x
)


def stand_in(**values: Any) -> SimpleNamespace:
    return SimpleNamespace(
        accelerator=ACCELERATOR, _metrics={"train": defaultdict(list)}, aux_loss_enabled=False,
        model=SimpleNamespace(training=True), ld_alpha=None, precompute_ref_logps=True,
        f_divergence_type="reverse_kl", loss_weights=[1.0], use_weighting=False,
        _total_train_tokens=0, _tp_size=1, router_aux_loss_coef=0.0, **values,
    )  # fmt: skip


def outputs(logps: torch.Tensor) -> SimpleNamespace:
    zeros = torch.zeros_like(logps)
    return SimpleNamespace(
        log_probs=logps, entropy=zeros, mean_logits=zeros, aux_loss=None, is_top1=zeros.bool(),
    )  # fmt: skip


def main() -> None:
    generator = torch.Generator().manual_seed(0)
    logps = -3 * torch.rand(2 * PAIRS, TOKENS, generator=generator, dtype=torch.float64)
    lengths = torch.randint(1, TOKENS + 1, (2 * PAIRS,), generator=generator)
    reference = -3 * torch.rand(2 * PAIRS, generator=generator, dtype=torch.float64) * lengths
    mask = torch.arange(TOKENS)[None] < lengths[:, None]
    logps = logps * mask
    sums, found = logps.sum(1), {}
    completion = torch.cat([torch.zeros(len(mask), 1, dtype=torch.bool), mask], 1)
    inputs = {
        "input_ids": torch.zeros(completion.shape, dtype=torch.long),
        "attention_mask": torch.ones(completion.shape, dtype=torch.long),
        "completion_mask": completion.long(), "ref_chosen_logps": reference[:PAIRS],
        "ref_rejected_logps": reference[PAIRS:],
    }  # fmt: skip

    def model(**_: Any) -> SimpleNamespace:
        return outputs(logps)

    for name, kind in PAIR_TYPES.items():
        trainer = stand_in(beta=0.3, label_smoothing=0.2, loss_types=[kind])
        found[name] = float(DPOTrainer._compute_loss(trainer, model, dict(inputs), False))
    means = sums / lengths
    trainer = stand_in(beta=2.0, alpha=0.0, simpo_gamma=0.4, label_smoothing=0.0, loss_type="simpo")
    found["simpo"] = float(CPOTrainer.cpo_loss(trainer, means[:PAIRS], means[PAIRS:])[0].mean())
    trainer = stand_in(beta=0.3)
    odds = ORPOTrainer.odds_ratio_loss(trainer, means[:PAIRS], means[PAIRS:])[0].mean()
    found["orpo without its tuning term"] = -float(odds)
    found["kto"] = kto(logps, reference, completion)
    rows = {"logps": sums.tolist(), "tokens": lengths.tolist(), "reference": reference.tolist()}
    versions = {"trl": trl.__version__, "torch": torch.__version__}
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps({"versions": versions, "losses": found, **rows}, indent=1) + "\n")


def kto(logps: torch.Tensor, reference: torch.Tensor, completion: torch.Tensor) -> float:
    """Of the first pairs as answers, the others as answers to other prompts."""
    labels = torch.tensor([True, False, False, True, False])
    own, other = completion[:PAIRS], completion[PAIRS:]
    inputs = {
        "input_ids": torch.zeros(own.shape, dtype=torch.long), "completion_mask": own.long(),
        "attention_mask": torch.ones(own.shape), "KL_attention_mask": torch.ones(other.shape),
        "KL_input_ids": torch.ones(other.shape, dtype=torch.long),
        "KL_completion_mask": other.long(), "label": labels, "ref_logps": reference[:PAIRS],
        "ref_KL_logps": reference[PAIRS:] - 5,
    }  # fmt: skip

    def model(input_ids: torch.Tensor, **_: Any) -> SimpleNamespace:
        values = logps[PAIRS:] if bool(input_ids.all()) else logps[:PAIRS]
        return outputs(values)

    trainer = stand_in(beta=0.3, calculate_KL=True, loss_type="kto", desirable_weight=1.5,
                       undesirable_weight=0.7)  # fmt: skip
    trainer._compute_kl_logps = lambda *given: KTOTrainer._compute_kl_logps(trainer, *given)
    return float(KTOTrainer._compute_loss(trainer, model, inputs, False))


if __name__ == "__main__":
    main()
