"""PPO's advantages and losses by TRL 1.9's own lines: fixtures/align/trl9_ppo.json.

They stand within one long function there, so its source is cut at its comments and run on random
numbers. Answers have the full length, where TRL's mask of values is its mask of tokens.
"""

import inspect
import json
import textwrap
from pathlib import Path
from types import SimpleNamespace

import torch
import trl
from trl.experimental.ppo import ppo_trainer

OUT = Path(__file__).resolve().parents[1] / "fixtures/align/trl9_ppo.json"
ANSWERS, TOKENS = 5, 7


def lines(first: str, last: str) -> str:
    source = inspect.getsource(ppo_trainer.PPOTrainer.train)
    begin = source.rindex("\n", 0, source.index(first)) + 1
    return textwrap.dedent(source[begin : source.rindex("\n", 0, source.index(last, begin))])


def main() -> None:
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    args = SimpleNamespace(
        kl_estimator="k1", kl_coef=0.3, whiten_rewards=False, gamma=0.9, lam=0.8,
        cliprange=0.2, cliprange_value=0.2, vf_coef=0.1,
    )  # fmt: skip
    logprobs, values, scores = -3 * draw(ANSWERS, TOKENS), draw(ANSWERS, TOKENS), draw(ANSWERS)
    ref_logprobs = logprobs + 0.8 * (draw(ANSWERS, TOKENS) - 0.5)
    nothing = torch.zeros(ANSWERS, TOKENS, dtype=torch.bool)
    names = vars(ppo_trainer) | {
        "args": args, "logprobs": logprobs, "ref_logprobs": ref_logprobs, "values": values,
        "scores": scores, "responses": nothing, "padding_mask": nothing, "padding_mask_p1": nothing,
        "sequence_lengths": torch.full((ANSWERS,), TOKENS - 1),
        "sequence_lengths_p1": torch.full((ANSWERS,), TOKENS),
    }  # fmt: skip
    exec(lines("# 4. compute rewards", "empty_cache()"), names)
    new_logprobs = logprobs + 0.8 * (draw(ANSWERS, TOKENS) - 0.5)
    vpred = values + draw(ANSWERS, TOKENS) - 0.5
    every = slice(None)
    names |= {
        "new_logprobs": new_logprobs, "vpred": vpred, "mb_values": values,
        "mb_return": names["returns"], "mb_logprobs": logprobs,
        "mb_advantage": names["advantages"], "micro_batch_inds": every,
    }  # fmt: skip
    exec(lines("vpredclipped = torch.clamp(", "accelerator.backward(loss)"), names)
    rows = {
        "sampled": logprobs, "reference": ref_logprobs, "values": values, "rewards": scores,
        "advantages": names["advantages"], "returns": names["returns"], "policy": new_logprobs,
        "new_values": vpred, "policy_loss": names["pg_loss"], "value_loss": names["vf_loss"],
        "loss": names["loss"],
    }  # fmt: skip
    content = {name: tensor.tolist() for name, tensor in rows.items()}
    versions = {"trl": trl.__version__, "torch": torch.__version__}
    OUT.write_text(json.dumps({"versions": versions, **content}, indent=1) + "\n")


if __name__ == "__main__":
    main()
