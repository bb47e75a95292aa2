"""Log-probabilities after transformers' processors and warpers, for test_sampling.py.

Run by `make oracles`; writes tests/fixtures/sampling/transformers.json. Each case has settings by
groundup's names, ids of the prompt and of the answer, logits, and the log-probabilities of every
token that transformers' processors leave, in its own order.
"""

import json
from pathlib import Path

import torch
from transformers import LogitsProcessorList
from transformers.generation.logits_process import (
    MinNewTokensLengthLogitsProcessor,
    MinPLogitsWarper,
    PrefixConstrainedLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    SequenceBiasLogitsProcessor,
    SuppressTokensLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

FILE = Path(__file__).resolve().parents[1] / "fixtures" / "sampling" / "transformers.json"
VOCAB, END = 40, 3
CASES = [
    {"temperature": 0.7}, {"temperature": 1.0, "top_k": 5}, {"temperature": 1.3, "top_p": 0.8},
    {"temperature": 1.0, "min_p": 0.1}, {"temperature": 0.9, "repetition_penalty": 1.3},
    {"temperature": 1.1, "repetition_penalty": 0.8, "top_k": 12, "top_p": 0.9, "min_p": 0.05},
    {"temperature": 1.0, "logit_bias": {"2": 3.5, "7": -2.0}, "repetition_penalty": 1.2},
    {"temperature": 1.0, "banned_tokens": [0, 5, 9], "top_k": 6},
    {"temperature": 0.8, "allowed_tokens": [1, 3, 8, 20, 31], "top_p": 0.7},
    {"temperature": 1.0, "min_tokens": 6, "top_p": 0.95},
    {"temperature": 0.6, "min_tokens": 2, "banned_tokens": [11], "logit_bias": {"3": 4.0},
     "repetition_penalty": 1.5, "top_k": 20, "top_p": 0.85, "min_p": 0.02},
]  # fmt: skip


def processors(case: dict, prompt: int) -> LogitsProcessorList:
    """Those of a case, in the order of `GenerationMixin._get_logits_processor`."""
    found = LogitsProcessorList()
    if bias := case.get("logit_bias"):
        found.append(SequenceBiasLogitsProcessor([[[int(k)], v] for k, v in bias.items()]))
    if "repetition_penalty" in case:
        found.append(RepetitionPenaltyLogitsProcessor(case["repetition_penalty"]))
    if "min_tokens" in case:
        found.append(MinNewTokensLengthLogitsProcessor(prompt, case["min_tokens"], END))
    if "allowed_tokens" in case:
        found.append(PrefixConstrainedLogitsProcessor(lambda *_: case["allowed_tokens"], 1))
    if "banned_tokens" in case:
        found.append(SuppressTokensLogitsProcessor(case["banned_tokens"]))
    found.append(TemperatureLogitsWarper(case["temperature"]))
    if "top_k" in case:
        found.append(TopKLogitsWarper(case["top_k"]))
    if "top_p" in case:
        found.append(TopPLogitsWarper(case["top_p"]))
    if "min_p" in case:
        found.append(MinPLogitsWarper(case["min_p"]))
    return found


def main() -> None:
    """Write the cases."""
    rows, generator = [], torch.Generator().manual_seed(7)
    for case in CASES:
        for length in (0, 3, 9):
            prompt = torch.randint(VOCAB, (5,), generator=generator).tolist()
            answer = torch.randint(VOCAB, (length,), generator=generator).tolist()
            logits = (3 * torch.randn(VOCAB, generator=generator)).double()
            ids = torch.tensor([prompt + answer])
            scores = processors(case, len(prompt))(ids, logits[None].clone())
            kept = scores[0].log_softmax(-1).tolist()
            rows.append({
                "settings": case, "prompt": prompt, "answer": answer, "logits": logits.tolist(),
                "logprobs": [None if value == -torch.inf else value for value in kept],
            })  # fmt: skip
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n", "utf-8")


if __name__ == "__main__":
    main()
