"""Odd words of config.json as Transformers obeys them: two ways to say one thing, and which wins.

Run by `make oracles`. Writes tests/fixtures/odd/<name>/ with a small random model whose config.json
is as given here, not as Transformers would write it, and `expected.safetensors`: ids and logits.
"""

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
)

ROOT = Path(__file__).resolve().parents[1] / "fixtures" / "odd"
VOCAB, LENGTH = 13, 14
FULL, NEAR = "full_attention", "sliding_attention"
SIZES = {"vocab_size": VOCAB, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2,
         "intermediate_size": 6, "max_position_embeddings": 16, "bos_token_id": None,
         "eos_token_id": None, "pad_token_id": None}  # fmt: skip
LLAMA = SIZES | {"model_type": "llama"}
GEMMA = SIZES | {"model_type": "gemma3_text", "head_dim": 4, "query_pre_attn_scalar": 4,
                 "num_key_value_heads": 1, "sliding_window": 3,
                 "layer_types": [NEAR, FULL]}  # fmt: skip
MODERN = SIZES | {"model_type": "modernbert", "pad_token_id": 0, "local_attention": 6,
                  "layer_types": [FULL, NEAR], "architectures": ["ModernBertForMaskedLM"],
                  "cls_token_id": None, "sep_token_id": None}  # fmt: skip
T5 = {"vocab_size": VOCAB, "d_model": 6, "d_kv": 4, "d_ff": 8, "num_layers": 1, "num_heads": 2,
      "n_positions": 32, "decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 1,
      "relative_attention_num_buckets": 8, "model_type": "t5",
      "relative_attention_max_distance": 12}  # fmt: skip
LINEAR = {"rope_type": "linear", "factor": 3.0, "rope_theta": 50.0}
SHORT = {"rope_type": "default", "rope_theta": 50.0}
FALLING = {"rope_type": "yarn", "factor": 4.0, "rope_theta": 10.0, "beta_fast": 6.0,
           "beta_slow": 4.0, "original_max_position_embeddings": 8}  # fmt: skip
DYNAMIC = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 50.0}
SHORTER = {"max_position_embeddings": 8}
CONFIGURATIONS = {
    "windows_of_the_same_base_are_not_stretched": MODERN | {
        "rope_parameters": {FULL: LINEAR, NEAR: SHORT}},
    "sliding_window_sets_local_attention": MODERN | {"sliding_window": 1},
    "old_scaling_keeps_the_nested_base": GEMMA | {
        "rope_parameters": {FULL: {"rope_theta": 500.0}, NEAR: SHORT},
        "rope_scaling": {"rope_type": "linear", "factor": 2.0}},
    "an_old_type_is_no_rope_type": GEMMA | {"rope_scaling": {"type": "linear", "factor": 2.0}},
    "a_ramp_that_ends_before_it_begins": LLAMA | {"hidden_size": 16, "rope_parameters": FALLING},
    "dense_act_fn_wins": T5 | {"feed_forward_proj": "relu", "dense_act_fn": "silu"},
    "is_gated_act_wins": T5 | {"feed_forward_proj": "gelu", "is_gated_act": True},
    "another_name_of_layers": {
        "model_type": "gpt2", "vocab_size": VOCAB, "n_embd": 8, "n_head": 2, "n_positions": 16,
        "num_hidden_layers": 1, "bos_token_id": None, "eos_token_id": None},
    "an_expert_serves_three_tokens": T5 | {
        "model_type": "switch_transformers", "num_experts": 2, "expert_capacity": 3,
        "num_sparse_encoder_layers": 1, "num_sparse_decoder_layers": 1, "num_decoder_layers": 1},
    "a_dynamic_base_below_its_length": LLAMA | {"rope_parameters": DYNAMIC},
    "a_dynamic_base_at_its_length": LLAMA | {
        "rope_parameters": DYNAMIC, "max_position_embeddings": LENGTH},
    "a_dynamic_base_beyond_its_length": LLAMA | SHORTER | {"rope_parameters": DYNAMIC},
    "an_old_dynamic_scaling": LLAMA | SHORTER | {
        "rope_theta": 50.0, "rope_scaling": {"type": "dynamic", "factor": 3.5}},
    "a_dynamic_base_of_a_layer_type": GEMMA | SHORTER | {
        "rope_parameters": {FULL: DYNAMIC, NEAR: SHORT}},
    "a_dynamic_base_of_an_encoder": MODERN | SHORTER | {
        "rope_parameters": {FULL: DYNAMIC, NEAR: SHORT}},
}  # fmt: skip
CLASSES = {"modernbert": AutoModelForMaskedLM, "t5": AutoModelForSeq2SeqLM,
           "switch_transformers": AutoModelForSeq2SeqLM}  # fmt: skip


def write(path: Path, values: dict) -> None:
    """Write a model of a configuration and what it says of random ids."""
    path.mkdir(parents=True)
    (path / "config.json").write_text(json.dumps(values))
    auto = CLASSES.get(values["model_type"], AutoModelForCausalLM)
    model = auto.from_config(AutoConfig.from_pretrained(path))
    for name, parameter in model.named_parameters():
        start = 1.0 if "norm" in name and name.endswith("weight") else 0.0
        parameter.data = start + 0.5 * torch.randn_like(parameter)
    model.save_pretrained(path)
    (path / "generation_config.json").unlink(missing_ok=True)
    (path / "config.json").write_text(json.dumps(values, indent=1) + "\n")
    ids = torch.randint(2, VOCAB, (2, LENGTH))
    inputs = {"input_ids": ids}
    if auto is AutoModelForSeq2SeqLM:
        inputs["decoder_input_ids"] = torch.randint(2, VOCAB, (2, LENGTH - 4))
    logits = auto.from_pretrained(path, dtype=torch.float32).eval()(**inputs).logits
    save_file(inputs | {"logits": logits.detach().clone()}, path / "expected.safetensors")


def main() -> None:
    """Write every fixture anew."""
    torch.manual_seed(0)
    shutil.rmtree(ROOT, ignore_errors=True)
    for name, values in CONFIGURATIONS.items():
        write(ROOT / name, values)


if __name__ == "__main__":
    main()
