"""Decoders with experts, latent attention or sinks, as Transformers computes them.

Run by `make oracles`. Writes tests/fixtures/decoders/<family>/<name>/ as decoders_llama.py does,
`reopened_mixtures.json`, and tests/fixtures/mxfp4 with experts of 4 bits and their logits.
"""

import json
import shutil
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

from tests.oracles.decoders_llama import (
    FAR_TYPE,
    LINEAR,
    LLAMA3,
    NEAR,
    ROOT,
    YARN,
    batch,
    opened,
    peer,
    rope,
    size,
    write_anew,
)
from tests.oracles.decoders_more import LONG

PRESETS = ("Granite 3 MoE", "GPT-OSS", "DeepSeek V2", "DeepSeek V3", "MiniCPM 3", "Llama 4")
CHUNKED = "chunked_attention"
MSCALE = YARN | {"mscale": 0.7, "mscale_all_dim": 0.5}


def latent(width: int, heads: int, inner: int, layers: int = 2, **more: Any) -> dict:
    """The keys of latent attention: 6 + 4 features of queries and keys, 5 of values."""
    sizes = {"kv_lora_rank": 6, "q_lora_rank": 9, "qk_nope_head_dim": 6, "qk_rope_head_dim": 4,
             "v_head_dim": 5}  # fmt: skip
    return size(width, heads, heads, inner, layers, **(sizes | more))


def routed(count: int, chosen: int, width: int, **more: Any) -> dict:
    """DeepSeek's keys of experts."""
    return {"n_routed_experts": count, "num_experts_per_tok": chosen, "n_shared_experts": 1,
            "moe_intermediate_size": width, **more}  # fmt: skip


SHAPES: dict[str, dict[str, dict]] = {
    "granitemoe": {
        "two_of_four": size(12, 6, 2, 5, num_local_experts=4, num_experts_per_tok=2,
                            embedding_multiplier=3.0, residual_multiplier=0.3,
                            attention_multiplier=0.2, logits_scaling=6.0, rope_parameters=rope()),
        "biased_yarn": size(8, 2, 1, 6, num_local_experts=3, num_experts_per_tok=1,
                            attention_bias=True, tie_word_embeddings=True, rope_parameters=YARN),
    },
    "gpt_oss": {
        "windows_yarn": size(10, 5, 1, 6, 3, head_dim=4, num_local_experts=4, sliding_window=4,
                             num_experts_per_tok=2, rope_parameters=YARN | {"truncate": False},
                             swiglu_limit=0.4),
        "unbiased": size(8, 2, 2, 5, head_dim=6, num_local_experts=3, sliding_window=5,
                         num_experts_per_tok=1, layer_types=[FAR_TYPE, NEAR], swiglu_alpha=1.2,
                         attention_bias=False, rope_parameters=rope(), swiglu_limit=1.0,
                         tie_word_embeddings=True),
    },
    "deepseek_v2": {
        "groups_yarn": latent(8, 2, 10, 3, **routed(6, 2, 5), first_k_dense_replace=1,
                              topk_method="group_limited_greedy", n_group=3, topk_group=2,
                              routed_scaling_factor=1.7, rope_parameters=MSCALE),
        "greedy_direct": latent(9, 3, 8, **routed(3, 2, 4, n_shared_experts=2), q_lora_rank=None,
                                attention_bias=True, rope_parameters=rope()),
    },
    "deepseek_v3": {
        "groups_yarn": latent(10, 2, 12, 3, **routed(8, 3, 5), first_k_dense_replace=1, n_group=4,
                              topk_group=2, num_mtp_layers=0, rope_parameters=MSCALE),
        "halves_biased": latent(8, 2, 6, **routed(4, 2, 6, n_shared_experts=2), q_lora_rank=None,
                                first_k_dense_replace=0, n_group=1, topk_group=1,
                                norm_topk_prob=False, routed_scaling_factor=1.3,
                                rope_interleave=False, attention_bias=True, num_mtp_layers=0,
                                rope_parameters=LINEAR | {"mscale_all_dim": 2.0}),
    },
    "minicpm3": {
        "yarn": latent(8, 2, 10, scale_depth=1.1, dim_model_base=3, scale_emb=3.5,
                       rope_parameters=MSCALE, tie_word_embeddings=True),
        "biased_long": latent(12, 3, 8, v_head_dim=None, q_lora_rank=None, scale_depth=None,
                              qk_rope_head_dim=6, dim_model_base=None, scale_emb=1,
                              attention_bias=True, mlp_bias=True,
                              original_max_position_embeddings=16, rope_parameters={
                                  key: value for key, value in LONG.items()
                                  if key != "partial_rotary_factor"}),
    },
    "llama4_text": {
        "chunks_llama3": size(12, 6, 2, 5, 4, head_dim=4, intermediate_size_mlp=7,
                              num_local_experts=3, interleave_moe_layer_step=2,
                              attention_chunk_size=5, floor_scale=4, attn_scale=0.7,
                              rope_parameters=LLAMA3 | {"high_freq_factor": 1.0}),
        "plain": size(8, 2, 1, 6, 2, head_dim=6, intermediate_size_mlp=6, num_local_experts=2,
                      use_qk_norm=False, attn_temperature_tuning=False, attention_bias=True,
                      no_rope_layers=[0, 1], layer_types=[CHUNKED, FAR_TYPE],
                      attention_chunk_size=4, rope_parameters=YARN),
    },
}  # fmt: skip


def write_mxfp4() -> None:
    """A GPT-OSS whose experts have 4 bits, and its logits with the numbers that they stand for."""
    shape = size(32, 2, 1, 32, head_dim=8, num_local_experts=2, sliding_window=4,
                 num_experts_per_tok=1, rope_parameters=YARN)  # fmt: skip
    model, path = peer("gpt_oss", shape), ROOT.parent / "mxfp4"
    shutil.rmtree(path, ignore_errors=True)
    packed = {}
    for name, tensor in list(model.state_dict().items()):
        if name.endswith(("experts.gate_up_proj", "experts.down_proj")):
            outputs = tensor.shape[2]
            packed[name + "_blocks"] = torch.randint(256, (2, outputs, 1, 16), dtype=torch.uint8)
            packed[name + "_scales"] = torch.randint(122, 127, (2, outputs, 1), dtype=torch.uint8)
            both = packed[name + "_blocks"], packed[name + "_scales"]
            tensor.copy_(convert_moe_packed_tensors(*both))
    model.save_pretrained(path)
    (path / "generation_config.json").unlink(missing_ok=True)
    ids, mask = batch()
    logits = opened(path)(ids, attention_mask=mask).logits.detach()
    save_file({"ids": ids, "mask": mask, "logits": logits}, path / "expected.safetensors")
    state = {name: tensor for name, tensor in load_file(path / "model.safetensors").items()
             if name + "_blocks" not in packed}  # fmt: skip
    save_file(state | packed, path / "model.safetensors", metadata={"format": "pt"})
    values = json.loads((path / "config.json").read_text())
    values["quantization_config"] = {
        "quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn", "lm_head"],
    }  # fmt: skip
    (path / "config.json").write_text(json.dumps(values, indent=1) + "\n")


def main() -> None:
    """Write every fixture anew."""
    torch.manual_seed(2)
    write_anew(SHAPES, PRESETS, "reopened_mixtures.json")
    write_mxfp4()


if __name__ == "__main__":
    main()
