"""What lm-eval's Hugging Face backend answers on a tiny model: likelihoods, whole texts, answers.

    make oracles                                  (or `PYTHON=… make -C tests/oracles …`)

Reads   tests/fixtures/lm_eval/model, tests/fixtures/tokenizer
Writes  tests/fixtures/lm_eval/scores.json: requests and the peer's answers to them

The model is made by groundup: `python tests/oracles/lm_eval_scores.py make` with the Python of the
package. Its context of 96 tokens makes some requests too long and some texts several windows.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
MODEL, SCORES = FIXTURES / "lm_eval" / "model", FIXTURES / "lm_eval" / "scores.json"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")

SHOTS = "".join(f"Question: What of the {w}?\nAnswer: the {w}\n\n" for w in ("fox", "dog"))
QUESTIONS = [f"{SHOTS}Question: {q}?\nAnswer:" for q in ("What is it", "And of the end", "ünïcode")]
CONTEXTS = [
    "The quick brown fox", "The quick brown fox ", "jumps over\n\n", "  ", "", "naïve façade 日本",
    "def return import self class for in if not None " * 20, *QUESTIONS,
]  # fmt: skip
OPTIONS = [" jumps", " jumps over the lazy dog", "over", " \n", " é 🙂", " the", " that"]
TEXTS = [
    "The", "The quick brown fox jumps over the lazy dog.\n",
    "shard token document answer question " * 12, "Ελληνικά кириллица 🙂 \n\n\n x", "a" * 300,
]  # fmt: skip
PROMPTS = ["The quick brown", "Answer:", "日本", QUESTIONS[0], "x" * 200]
UNTIL = [["\n\n"], [" ", "e"], ["never"]]
NEW = 12


def make() -> None:
    """Write the model with groundup."""
    import torch

    from groundup.model import AttentionConfig, FeedForwardConfig, ModelConfig, Transformer, save

    config = ModelConfig(
        vocab_size=400, width=24, layers=2, context_length=96,
        attention=AttentionConfig(heads=3, kv_heads=1, head_dim=8),
        feedforward=FeedForwardConfig(width=40),
    )  # fmt: skip
    model, generator = Transformer(config), torch.Generator().manual_seed(7)
    with torch.no_grad():  # a new model is nearly uniform: make it one with opinions
        for weight in model.parameters():
            if weight.ndim == 2:
                weight.copy_(torch.randn(weight.shape, generator=generator) * 0.3)
    save(model, MODEL, FIXTURES / "tokenizer")
    for name in TOKENIZER_FILES:  # they lie in the fixtures once
        (MODEL / name).unlink()


def answer() -> dict:
    """Ask lm-eval."""
    import torch
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        place = shutil.copytree(MODEL, Path(folder) / "model")
        for name in TOKENIZER_FILES:
            shutil.copy(FIXTURES / "tokenizer" / name, place)
        lm = HFLM(pretrained=str(place), dtype="float32", batch_size=4, device="cpu")

    def ask(kind: str, requests: list) -> list:
        asked = [Instance(kind, {}, tuple(each), place) for place, each in enumerate(requests)]
        return getattr(lm, kind)(asked, disable_tqdm=True)

    pairs = [[c, o] for c in CONTEXTS for o in OPTIONS if c.strip() or not c]  # it fails on blanks
    prompts = [[p, {"until": until, "max_gen_toks": NEW, "do_sample": False}]
               for p in PROMPTS for until in UNTIL]  # fmt: skip
    likelihoods = zip(pairs, ask("loglikelihood", pairs), strict=True)
    rolled = zip(TEXTS, ask("loglikelihood_rolling", [[text] for text in TEXTS]), strict=True)
    said = zip(prompts, ask("generate_until", prompts), strict=True)
    return {
        "pairs": [[*pair, *found] for pair, found in likelihoods],
        "texts": [[text, found] for text, found in rolled],
        "answers": [[prompt, how["until"], found] for (prompt, how), found in said],
        "new": NEW,
    }


if __name__ == "__main__":
    if sys.argv[1:] == ["make"]:
        make()
    else:
        SCORES.write_text(json.dumps(answer(), indent=1) + "\n")
