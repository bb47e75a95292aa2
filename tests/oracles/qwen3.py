"""Qwen3 as Transformers computes it: three small models of odd shapes, and two that we wrote.

Run by `make oracles`. Writes tests/fixtures/qwen3/<name>/ with a model directory each and
`expected.safetensors`: ids, logits, and the ids of greedy decoding.
"""

import shutil
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, Qwen3Config, Qwen3ForCausalLM

from groundup.compress import quantize_weights
from groundup.model import AttentionConfig, FeedForwardConfig, ModelConfig, Transformer, save

ROOT = Path(__file__).resolve().parents[1] / "fixtures" / "qwen3"

SHAPES = {
    # name: width, heads, kv_heads, head_dim, inner, layers, base, eps, tied
    "one_kv_head": (20, 5, 1, 8, 28, 2, 10_000.0, 1e-6, True),
    "wide_heads_untied": (24, 4, 2, 14, 36, 3, 1_000_000.0, 1e-5, False),
    "no_groups": (36, 3, 3, 4, 20, 1, 500.0, 1e-6, True),
}


def peer(shape: tuple) -> Qwen3ForCausalLM:
    """A random model whose norms are not ones."""
    width, heads, kv_heads, head_dim, inner, layers, base, eps, tied = shape
    config = Qwen3Config(
        vocab_size=83, hidden_size=width, num_attention_heads=heads, num_key_value_heads=kv_heads,
        head_dim=head_dim, intermediate_size=inner, num_hidden_layers=layers, rms_norm_eps=eps,
        rope_parameters={"rope_type": "default", "rope_theta": base}, tie_word_embeddings=tied,
        max_position_embeddings=64, initializer_range=0.2, eos_token_id=None,
    )  # fmt: skip
    model = Qwen3ForCausalLM(config).eval()
    for parameter in model.parameters():
        if parameter.ndim == 1:
            parameter.data += 0.3 * torch.randn_like(parameter)
    return model


def ours(bits: Literal[8, 4] | None) -> Transformer:
    """A random model of this repository; 18 features leave the last word of a row half empty."""
    config = ModelConfig(
        vocab_size=83, width=18, layers=2, context_length=64,
        attention=AttentionConfig(heads=4, kv_heads=2, head_dim=6),
        feedforward=FeedForwardConfig(width=30),
    )  # fmt: skip
    model = Transformer(config, seed=3).eval()
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    if bits is not None:
        quantize_weights(model, bits, group=6 if bits == 4 else None)
    return model


@torch.no_grad()
def expect(directory: Path) -> None:
    """Open the directory with Transformers and write down what it computes."""
    model = AutoModelForCausalLM.from_pretrained(directory).eval()
    ids = torch.randint(83, (2, 17))
    greedy = model.generate(
        ids[:, :5], attention_mask=torch.ones(2, 5), do_sample=False, max_new_tokens=12,
        eos_token_id=None, pad_token_id=0,
    )  # fmt: skip
    found = {"ids": ids, "logits": model(ids).logits.contiguous(), "greedy": greedy}
    save_file(found, directory / "expected.safetensors")


def main() -> None:
    """Write every fixture anew."""
    torch.manual_seed(0)
    shutil.rmtree(ROOT, ignore_errors=True)
    for name, shape in SHAPES.items():
        shard = "20KB" if name == "wide_heads_untied" else "1GB"
        peer(shape).save_pretrained(ROOT / name, max_shard_size=shard)
        expect(ROOT / name)
    for name, bits in (("ours", None), ("ours_int8", 8), ("ours_int4", 4)):
        save(ours(bits), ROOT / name)
        expect(ROOT / name)


if __name__ == "__main__":
    main()
