"""Keys of config.json: all that Transformers has are known, and any other is refused by name."""

import json
from pathlib import Path

import pytest

from groundup.core import ArtifactError, ConfigError
from groundup.model.families import FAMILIES
from groundup.model.families.keys import FIXED, IGNORED_KEYS, ConfigKeys, validate_keys, word_set
from groundup.model.families.registry import read_config

FOUND = json.loads((Path(__file__).parents[2] / "fixtures" / "configurations.json").read_text())
PEERS = FOUND["families"]
DECODERS = ("llama", "mistral", "mixtral", "qwen2", "qwen3", "gemma3_text", "gemma3", "olmo2",
            "gpt2", "openai-gpt", "olmo", "olmo3", "smollm3", "phi3", "phi", "gemma", "gemma2",
            "granite", "starcoder2", "stablelm", "gpt_neox", "qwen3_moe", "cohere", "nemotron",
            "glm4", "exaone4", "gptj", "falcon", "bloom", "opt", "granitemoe", "gpt_oss",
            "deepseek_v2", "deepseek_v3", "minicpm3", "llama4_text")  # fmt: skip
SECOND = {
    "num_sparse_encoder_layers": 6, "num_sparse_decoder_layers": 6, "encoder_sparse_step": 2,
    "decoder_sparse_step": 2,
}  # fmt: skip
"""A Switch without arguments has experts in every fourth layer, which we do not compute."""


def values_of(family: str) -> dict:
    """A config.json with every key of Transformers' class."""
    values = PEERS[family]["defaults"]
    own = {"switch_transformers": SECOND, "deepseek_v2": {"num_experts_per_tok": 6}}
    return values | own.get(family, {})  # DeepSeek V2's class chooses no experts


def opened(values: dict):
    """Our configuration of a config.json."""
    return read_config(values, "config.json")


def test_every_family_but_our_own_is_checked_against_transformers():
    assert PEERS.keys() == FAMILIES.keys() - {"groundup"}


@pytest.mark.parametrize("family", PEERS)
def test_every_key_of_transformers_is_known_and_its_default_opens(family):
    keys, peer = FAMILIES[family].keys, PEERS[family]
    assert peer["defaults"].keys() <= keys.known
    assert peer["aliases"].items() <= keys.aliases.items() or family == "gemma3"
    assert opened(values_of(family))


def test_every_key_of_generation_is_harmless():
    assert set(FOUND["generation"]) <= IGNORED_KEYS


@pytest.mark.parametrize("family", PEERS)
def test_a_key_left_out_means_transformers_default_or_is_refused(family):
    values = values_of(family)
    whole = opened(values)
    for key in values.keys() - {"model_type", "architectures"}:
        try:
            found = opened({name: value for name, value in values.items() if name != key})
        except ArtifactError as error:
            assert key in str(error) or "sparse_step=2" in str(error)
        else:
            assert found == whole, key


@pytest.mark.parametrize("family", FAMILIES)
def test_an_unknown_key_is_refused_with_its_value(family):
    values = values_of(family) if family in PEERS else FAMILIES[family].to_hf_config(opened(
        values_of("bert")))  # fmt: skip
    with pytest.raises(ArtifactError, match="scores_multiplier=0.5, which is unknown"):
        opened(values | {"scores_multiplier": 0.5})


@pytest.mark.parametrize("family", DECODERS)
def test_a_decoder_that_looks_both_ways_is_refused(family):
    for value in (False, None):
        with pytest.raises(ArtifactError, match=f"is_causal={value}; groundup supports"):
            opened(values_of(family) | {"is_causal": value})
    assert opened(values_of(family) | {"is_causal": True}) == opened(values_of(family))


@pytest.mark.parametrize("family", PEERS)
def test_parts_that_a_family_lacks_are_refused(family):
    for key, allowed in FIXED.items():
        wrong = {"0": [1]} if key in ("pruned_heads", "per_layer_config") else 8
        with pytest.raises(ArtifactError, match=f"{key}="):
            opened(values_of(family) | {key: wrong})
        if key not in FAMILIES[family].keys.used:
            assert opened(values_of(family) | {key: allowed[0]}) == opened(values_of(family))


def test_text_models_within_others_are_checked_too():
    values = values_of("gemma3")
    text = values["text_config"] | {"logit_scale": 2.0}
    with pytest.raises(ArtifactError, match="logit_scale=2.0.*gemma3_text"):
        opened(values | {"text_config": text})


@pytest.mark.parametrize("family, alias, key", [
    (family, alias, key) for family, peer in PEERS.items() for alias, key in peer["aliases"].items()
    if family != "gemma3"
])  # fmt: skip
def test_another_name_of_a_key_is_that_key(family, alias, key):
    values = values_of(family)
    number = values.pop(key)
    assert opened(values | {alias: number}) == opened(values_of(family))
    with pytest.raises(ArtifactError, match=f"{alias}=.* and {key}="):
        opened(values_of(family) | {alias: number + 1})


@pytest.mark.parametrize("kind", ["rope_scaling", "rope_parameters"])
def test_an_unknown_word_of_rotary_positions_is_refused(kind):
    rope = {"rope_type": "linear", "factor": 2.0, "rope_theta": 5.0, "stretch": 3}
    with pytest.raises(ArtifactError, match="rotary positions with stretch='3'"):
        opened(values_of("qwen3") | {kind: rope})
    with pytest.raises(
        ArtifactError, match="rope_parameters with factor=.*expected an object for each"
    ):
        opened(values_of("gemma3_text") | {"rope_parameters": rope})


def test_yes_and_no_are_no_numbers():
    keys = ConfigKeys(word_set("size"), {"is_square": (False, None)})
    assert validate_keys({"size": 2, "is_square": None}, keys, "box") == {
        "size": 2,
        "is_square": None,
    }
    with pytest.raises(ConfigError, match="is_square=0; groundup supports box only with"):
        validate_keys({"is_square": 0}, keys, "box")


GENERAL = {
    "_name_or_path": "x", "transformers_version": "4.28.1", "torch_dtype": "float16",
    "auto_map": {"AutoModel": "modeling.Model"}, "task_specific_params": {"a": {"max_length": 3}},
    "id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}, "use_cache": True,
    "gradient_checkpointing": False, "output_past": True, "pruned_heads": {}, "_num_labels": 3,
    "attn_implementation": "eager", "_attn_implementation_autoset": True, "max_length": 20,
    "eos_token_id": [1, 2], "bos_token_id": 1, "unsloth_version": "2025.1", "is_decoder": False,
    "quantization_config": None, "tokenizer_class": "PreTrainedTokenizerFast", "num_beams": 4,
}  # fmt: skip
PUBLISHED = [
    ("llama", {"pretraining_tp": 2, "attention_dropout": 0.0, "mlp_bias": False, "rope_scaling": {
        "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "rope_type": "llama3",
        "original_max_position_embeddings": 8192}}),  # Llama 3.1
    ("llama", {"is_llama_config": True, "rope_interleaved": False, "initializer_range": 0.04,
               "transformers.js_config": {"dtype": "q4"}}),  # SmolLM2
    ("llama", {"max_sequence_length": 2048, "pad_token_id": -1}),  # the first LLaMA
    ("llama", {"activation": "swiglu", "head_dim": 256}),  # Falcon 3
    ("mistral", {"sliding_window": None, "head_dim": 128}),  # Mistral 0.3, Nemo
    ("mixtral", {"output_router_logits": False, "router_aux_loss_coef": 0.02}),
    ("qwen2", {"use_mrope": False, "use_sliding_window": False, "sliding_window": 131072,
               "max_window_layers": 28}),  # Qwen 2.5, distilled DeepSeek R1
    ("qwen3", {"rope_scaling": None, "attention_bias": False, "max_window_layers": 36}),
    ("gemma3_text", {"cache_implementation": "hybrid", "attn_logit_softcapping": None,
                     "sliding_window_pattern": 6, "_sliding_window_pattern": 6}),  # 1B
    ("gemma3", {"boi_token_index": 255999, "eoi_token_index": 256000, "mm_tokens_per_image": 256,
                "image_token_index": 262144, "initializer_range": 0.02}),  # 4B
    ("olmo2", {"rope_scaling": None, "pad_token_id": 100277}),
    ("gemma", {"hidden_activation": None, "hidden_act": "gelu"}),  # 2B, 7B
    ("phi3", {"full_attn_mod": 1, "interpolate_factor": 1, "lm_head_bias": False, "mlp_bias": False,
              "attention_bias": False, "partial_rotary_factor": 0.75}),  # Phi 4 mini
    ("starcoder2", {"mlp_type": "default", "norm_type": "layer_norm", "layer_norm_epsilon": 1e-5,
                    "attention_softmax_in_fp32": True, "scale_attn_weights": True,
                    "scale_attention_softmax_in_fp32": True, "residual_dropout": 0.1}),
    ("gpt_neox", {"rotary_pct": 0.25, "rotary_emb_base": 10000, "rope_scaling": None}),  # Pythia
    ("exaone4", {"sliding_window_pattern": "LLLG", "sliding_window": 4096}),  # 32B
    ("smollm3", {"pretraining_tp": 2, "max_window_layers": 28}),
    ("bert", {"directionality": "bidi", "pooler_fc_size": 768, "pooler_num_attention_heads": 12,
              "pooler_num_fc_layers": 3, "pooler_size_per_head": 128, "eos_token_ids": 0,
              "pooler_type": "first_token_transform", "position_embedding_type": "absolute",
              "sbert_ce_default_activation_function": "torch.nn.Identity"}),  # Chinese, LEGAL-BERT
    ("roberta", {"language": "english", "name": "Roberta", "classifier_dropout": None}),
    ("xlm-roberta", {"position_embedding_type": "absolute", "output_past": True}),
    ("distilbert", {"tie_weights_": True, "sinusoidal_pos_embds": True, "qa_dropout": 0.1}),
    ("electra", {"embedding_size": 768, "summary_first_dropout": 0.1, "summary_type": "first"}),
    ("albert", {"down_scale_factor": 1, "gap_size": 0, "net_structure_type": 0,
                "num_memory_blocks": 0, "classifier_dropout_prob": 0.1}),  # base, of version 2
    ("mpnet", {"relative_attention_num_buckets": 32, "pad_token_id": 1}),
    ("deberta-v2", {"relative_attention": True, "position_buckets": 256, "share_att_key": True,
                    "norm_rel_ebd": "layer_norm", "pos_att_type": "p2c|c2p", "pooler_dropout": 0,
                    "max_relative_positions": -1, "position_biased_input": False,
                    "pooler_hidden_size": 1536, "attention_head_size": 64}),  # v3, mDeBERTa
    ("modernbert", {"causal_mask": False, "layer_norm_eps": 1e-5, "reference_compile": None,
                    "position_embedding_type": "absolute", "repad_logits_with_grad": False,
                    "global_attn_every_n_layers": 3, "local_rope_theta": 10000.0}),  # base, Ettin
    ("gpt2", {"n_ctx": 1024, "summary_type": "cls_index", "reorder_and_upcast_attn": True}),
    ("openai-gpt", {"n_ctx": 512, "n_special": 0, "predict_special_tokens": True}),
    ("t5", {"n_positions": 512, "classifier_dropout": 0.0, "xla_device": True}),
    ("bart", {"add_bias_logits": False, "add_final_layer_norm": False, "classif_dropout": 0.1,
              "extra_pos_embeddings": 2, "force_bos_token_to_be_generated": True, "prefix": " ",
              "normalize_before": False, "normalize_embedding": True, "num_hidden_layers": 12,
              "replacing_rate": 0, "static_position_embeddings": False,
              "student_decoder_layers": None, "student_encoder_layers": None}),  # DistilBART
    ("gptj", {"rotary": True, "scale_attn_weights": True, "summary_type": "cls_index",
              "n_inner": None}),
    ("falcon", {"apply_residual_connection_post_layernorm": False, "hidden_dropout": 0.0}),  # 7B
    ("falcon", {"ff_factor": 4, "rope_theta": 500042.0, "num_ln_in_parallel_attn": 1}),  # 11B
    ("bloom", {"attention_softmax_in_fp32": True, "bias_dropout_fusion": True, "seq_length": 2048,
               "masked_softmax_fusion": True, "n_embed": 64, "n_inner": None, "offset_alibi": 100,
               "skip_bias_add": True, "skip_bias_add_qkv": False, "unk_token_id": 0}),  # 560M
    ("opt", {"activation_dropout": 0.0, "layerdrop": 0.0, "prefix": "</s>",
             "_remove_final_layer_norm": False}),  # 125M
    ("opt", {"learned_embeddings": True, "scale_embeddings": False}),  # Galactica
    ("mt5", {"output_past": True, "tie_word_embeddings": False}),
    ("umt5", {"scalable_attention": True, "dense_act_fn": "gelu_new", "is_gated_act": True}),
    ("mbart", {"add_final_layer_norm": True, "normalize_before": True, "add_bias_logits": False,
               "scale_embedding": True, "static_position_embeddings": False}),  # CC25
    ("switch_transformers", {"feed_forward_proj": "relu", "is_gated_act": False,
                             "batch_prioritized_routing": False, "router_type": "tokens_masked"}),
]  # fmt: skip


@pytest.mark.parametrize("family, more", PUBLISHED)
def test_what_files_of_published_models_say_besides_is_known(family, more):
    assert opened(values_of(family) | GENERAL | more)
