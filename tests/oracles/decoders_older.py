"""Decoders from before LLaMA, as Transformers computes them: odd shapes of each.

Run by `make oracles`. Writes tests/fixtures/decoders/<family>/<name>/ as decoders_llama.py does,
and `reopened_older.json`.
"""

import torch

from tests.oracles.decoders_llama import CONTEXT, LINEAR, VOCAB, rope, write_anew

PRESETS = ("GPT-J", "Falcon", "BLOOM", "OPT")
GENERAL = {"vocab_size": VOCAB, "eos_token_id": None, "bos_token_id": None, "pad_token_id": None}


def size(width: int, heads: int, layers: int = 2, **more: object) -> dict:
    """The keys that Falcon and OPT share."""
    return GENERAL | {
        "hidden_size": width, "num_attention_heads": heads, "num_hidden_layers": layers,
        "max_position_embeddings": CONTEXT, "initializer_range": 0.3, "init_std": 0.3, **more,
    }  # fmt: skip


def gptj(width: int, heads: int, **more: object) -> dict:
    """GPT-J's keys."""
    shape = {"n_embd": width, "n_head": heads, "n_layer": 2, "n_positions": CONTEXT}
    return GENERAL | shape | {"initializer_range": 0.3, **more}


def bloom(width: int, heads: int, **more: object) -> dict:
    """BLOOM's keys."""
    shape = {"hidden_size": width, "n_head": heads, "n_layer": 2, "seq_length": CONTEXT}
    return GENERAL | shape | {"initializer_range": 0.3, **more}


FREE = {"tie_word_embeddings": False}
NEW, OLD = {"new_decoder_architecture": True}, {"multi_query": False}
ALIBI = {"alibi": True, "parallel_attn": False, "bias": True}
SHAPES: dict[str, dict[str, dict]] = {
    "gptj": {
        "part": gptj(16, 2, rotary_dim=4),
        "whole_tied": gptj(12, 3, rotary_dim=4, n_inner=10, tie_word_embeddings=True,
                           activation_function="relu", layer_norm_epsilon=1e-3),
    },
    "falcon": {
        "groups": size(16, 4, num_kv_heads=2, rope_parameters=LINEAR, **NEW),
        "groups_one_norm": size(16, 4, num_kv_heads=2, num_ln_in_parallel_attn=1, bias=True,
                                ffn_hidden_size=10, rope_parameters=rope(), **NEW, **FREE),
        "one_key_head": size(18, 3, rope_parameters=rope(), activation="gelu_new"),
        "serial": size(18, 3, rope_parameters=rope(), parallel_attn=False, bias=True),
        "alibi": size(15, 5, **ALIBI, **OLD),
        "alibi_groups": size(24, 6, num_kv_heads=3, alibi=True, **NEW),
    },
    "bloom": {
        "power_of_two": bloom(16, 4),
        "five_heads_free": bloom(15, 5, layer_norm_epsilon=1e-3, **FREE),
    },
    "opt": {
        "before": size(12, 3, ffn_dim=10),
        "after": size(10, 2, ffn_dim=12, do_layer_norm_before=False, activation_function="gelu"),
        "plain": size(9, 3, ffn_dim=8, enable_bias=False, layer_norm_elementwise_affine=False,
                      **FREE),
    },
}  # fmt: skip


def main() -> None:
    """Write every fixture anew."""
    torch.manual_seed(2)
    write_anew(SHAPES, PRESETS, "reopened_older.json")


if __name__ == "__main__":
    main()
