"""The files of BERT's, GPT's and T5's kind: states and gradients are Transformers', both ways.

LLaMA's kind is in test_decoders.py; what only one family has is in a file of its own.
"""

import pytest

from groundup.core import ArtifactError, ConfigError
from groundup.kernels import AttentionPattern
from groundup.model import (
    AttentionConfig,
    EmbeddingConfig,
    FeedForwardConfig,
    NormConfig,
    OutputConfig,
    PositionConfig,
    preset,
)
from groundup.model.families import FAMILIES, choose_family, read_config
from tests.model.families import bert_gpt, encoder_decoders
from tests.model.families.bert_gpt import MASKED, SHAPES, WINDOWS, decoder, encoder, modern
from tests.model.families.encoder_decoders import OURS, names, shape, with_experts

ALIKE = [(family, name) for family, kinds in SHAPES.items() for name in kinds]
BART, T5 = OURS["bart"]["ours"], OURS["t5"]["ours"]
SWITCH = OURS["switch_transformers"]["ours"]
MODERN_MASKED = OutputConfig(transform="dense", dense_bias=False, bias=True)
GPT = decoder("pre")


def roberta(offset: int = 2, **parts):
    """A small RoBERTa."""
    return encoder(position=PositionConfig(kind="learned", offset=offset), **parts)


def attention(config, **parts):
    """A configuration with parts of its attention replaced."""
    return config.model_copy(update={"attention": config.attention.model_copy(update=parts)})


def feed(config, **parts):
    """A configuration with parts of its feed-forward replaced."""
    changed = config.feedforward.model_copy(update=parts)
    return config.model_copy(update={"feedforward": changed})


@pytest.mark.parametrize("family, name", ALIKE)
def test_states_and_logits_are_the_peers_and_what_we_write_is_what_it_opened(
    family, name, tmp_path
):
    bert_gpt.check_peer(family, name)
    bert_gpt.check_written(family, name, tmp_path)


@pytest.mark.parametrize("family, name", [(family, name) for family in OURS
                                          for name in names(family)])  # fmt: skip
def test_states_of_both_stacks_are_transformers(family, name):
    encoder_decoders.check_states(family, name)


@pytest.mark.parametrize("kind, family, name", [
    (bert_gpt, "bert", "three_heads"), (bert_gpt, "gpt2", "published"),
    (bert_gpt, "modernbert", "biased_free"), (bert_gpt, "xlm-roberta", "published"),
    (bert_gpt, "distilbert", "three_heads"), (bert_gpt, "electra", "narrow"),
    (bert_gpt, "albert", "two_groups"), (bert_gpt, "mpnet", "published"),
    (bert_gpt, "deberta-v2", "published"), (encoder_decoders, "bart", "scaled_free"),
    (encoder_decoders, "t5", "narrow_heads"),
    (encoder_decoders, "switch_transformers", "every_second"),
    (encoder_decoders, "mt5", "gated"), (encoder_decoders, "umt5", "a_bias_per_layer"),
    (encoder_decoders, "mbart", "pre_norms"),
])  # fmt: skip
def test_gradients_are_the_peers(kind, family, name):
    kind.check_gradients(family, name)


@pytest.mark.parametrize("family, name", [
    ("bart", "scaled_free"), ("t5", "gates_free"), ("switch_transformers", "all_free"),
    ("umt5", "a_bias_per_layer"), ("mbart", "pre_norms_free"),
])  # fmt: skip
def test_a_directory_that_we_save_opens_again(family, name, tmp_path):
    encoder_decoders.check_saved(family, name, tmp_path)


def masked(config, **parts):
    """A configuration with a masked-LM head."""
    return config.model_copy(update={"output": MASKED, **parts})


def narrow(types, width):
    """A small encoder with embeddings of another width."""
    return encoder(embedding=EmbeddingConfig(norm=True, types=types, width=width))


DISTIL = encoder(embedding=EmbeddingConfig(norm=True))
SHARED = narrow(2, 5).model_copy(update={"layers": 2, "repeats": 3})
MPNET = encoder(embedding=EmbeddingConfig(norm=True), position=PositionConfig(
    kind="buckets", absolute=True, offset=2))  # fmt: skip
DEBERTA = encoder(
    position=PositionConfig(kind="disentangled", buckets=6, max_distance=12),
    embedding=EmbeddingConfig(norm=True), norm=NormConfig(kind="layer", eps=1e-7, place="post"),
)  # fmt: skip
RELU = OutputConfig(transform="dense", activation="relu", bias=True)
FREE = {"tied_embeddings": False}
THERE_AND_BACK = {
    "bert": [
        encoder(), encoder(output=MASKED), encoder(output=MASKED, **FREE),
        feed(encoder(output=RELU), activation="relu"),
    ],
    "roberta": [roberta(), roberta(1, output=MASKED), roberta(6, output=MASKED, **FREE)],
    "modernbert": [
        modern(), modern(output=MODERN_MASKED), modern(output=MODERN_MASKED, **FREE),
        attention(modern(layers=3), patterns=(WINDOWS[1], WINDOWS[0], WINDOWS[0])),
        attention(modern(position=PositionConfig(base=500.0)), patterns=(AttentionPattern(),)),
    ],
    "distilbert": [DISTIL, masked(DISTIL), masked(DISTIL, **FREE)],
    "electra": [narrow(2, 5), masked(narrow(3, 5)), masked(narrow(2, 11), **FREE)],
    "albert": [SHARED, masked(SHARED), masked(SHARED, **FREE), narrow(2, 8)],
    "mpnet": [MPNET, masked(MPNET), masked(MPNET, **FREE)],
    "deberta-v2": [
        DEBERTA, masked(DEBERTA), masked(DEBERTA, **FREE),
        encoder(position=DEBERTA.position.model_copy(update={"absolute": True})),
        encoder(position=PositionConfig(kind="none")),
    ],
    "gpt2": [
        GPT, decoder("pre", **FREE), attention(GPT, scale=1.0), feed(GPT, width=5),
        feed(GPT, activation="relu"),
    ],
    "openai-gpt": [decoder("post"), decoder("post", **FREE)],
    "bart": [*OURS["bart"].values(), preset("bart-large").config],
    "t5": [*OURS["t5"].values(), preset("t5-base").config],
    "umt5": [*OURS["umt5"].values(), preset("umt5-small").config],
    "mbart": [*OURS["mbart"].values(), preset("mbart-large").config],
    "switch_transformers": [
        SWITCH, with_experts(5, 4, every=1), with_experts(2, 12), preset("switch-base-8").config,
        preset("switch-c").config,
    ],
}  # fmt: skip


@pytest.mark.parametrize("family", THERE_AND_BACK)
def test_configurations_go_there_and_back(family):
    for config in THERE_AND_BACK[family]:
        written = FAMILIES[family].to_hf_config(config)
        assert FAMILIES[family].from_hf_config(written) == config
        assert choose_family(config) is FAMILIES[family]
    assert family != "openai-gpt" or written["afn"] == "gelu"  # which is the approximation


REFUSED = {
    "bert": (encoder(output=MASKED), {
        "position_embedding_type": "relative_key", "is_decoder": True, "add_cross_attention": True,
        "hidden_act": "mish", "hidden_size": "8", "num_hidden_layers": 2**30, "vocab_size": None,
        "num_attention_heads": 0, "type_vocab_size": -1, "layer_norm_eps": "small",
        "tie_word_embeddings": 3,
    }),
    "roberta": (roberta(), {"pad_token_id": 2.5, "max_position_embeddings": "long"}),
    "xlm-roberta": (roberta(), {"pad_token_id": -1, "position_embedding_type": "relative_key"}),
    "distilbert": (DISTIL, {
        "dim": None, "n_heads": 0, "n_layers": 2**30, "hidden_dim": "10", "activation": "mish",
    }),
    "electra": (narrow(2, 5), {"embedding_size": 0, "hidden_act": "mish", "is_decoder": True}),
    "albert": (SHARED, {"inner_group_num": 2, "num_hidden_groups": 4, "embedding_size": "5"}),
    "mpnet": (MPNET, {"relative_attention_num_buckets": 64}),
    "deberta-v2": (DEBERTA, {
        "conv_kernel_size": 3, "legacy": False, "pooler_hidden_act": "tanh",
        "position_buckets": -1, "share_att_key": False, "norm_rel_ebd": "none",
        "pos_att_type": ["c2p"], "relative_attention": 1, "attention_head_size": 3,
        "embedding_size": 5, "pooler_hidden_size": 5, "z_steps": 2, "max_relative_positions": -3,
        "position_biased_input": "no",
    }),
    "modernbert": (modern(), {
        "rope_parameters": 3, "local_attention": -2, "layer_types": ["linear_attention"] * 2,
        "hidden_activation": "mish", "norm_bias": "no",
    }),
    "gpt2": (GPT, {
        "scale_attn_by_inverse_layer_idx": True, "add_cross_attention": True,
        "activation_function": "mish", "scale_attn_weights": 2, "n_inner": 0, "n_embd": None,
        "n_layer": 2**30,
    }),
    "openai-gpt": (decoder("post"), {"n_positions": -1, "layer_norm_epsilon": 0}),
    "bart": (BART, {
        "normalize_before": True, "static_position_embeddings": True, "d_model": None,
        "activation_function": "mish", "encoder_layers": 2.0, "encoder_attention_heads": 0,
        "scale_embedding": 1,
    }),
    "mbart": (OURS["mbart"]["ours"], {
        "normalize_before": False, "add_final_layer_norm": False, "is_encoder_decoder": False,
        "encoder_ffn_dim": "8",
    }),
    "umt5": (OURS["umt5"]["ours"], {"feed_forward_proj": "gated-tanh", "is_decoder": True}),
    "mt5": (preset("mt5-small").config, {"scale_decoder_outputs": True, "d_kv": None}),
    "t5": (shape(), {
        "is_encoder_decoder": False, "is_decoder": True, "feed_forward_proj": "tanh", "d_kv": None,
        "d_model": True, "num_layers": 3.0, "n_positions": 0, "tie_word_embeddings": "no",
        "layer_norm_epsilon": "x",
    }),
    "switch_transformers": (SWITCH, {
        "router_bias": True, "router_dtype": "bfloat16", "encoder_sparse_step": 9,
        "expert_capacity": 0, "dense_act_fn": "gated-gelu", "num_experts": None,
        "capacity_factor": -1, "num_sparse_encoder_layers": True,
    }),
}  # fmt: skip
"""Of each family a configuration, and values that cannot be or are not computed."""


@pytest.mark.parametrize("family, key", [(f, key) for f, (_, wrong) in REFUSED.items()
                                         for key in wrong])  # fmt: skip
def test_what_cannot_be_or_is_not_computed_names_the_key(family, key):
    config, wrong = REFUSED[family]
    values = FAMILIES[family].to_hf_config(config) | {key: wrong[key]}
    message = f"no {key}, which" if wrong[key] is None else f"{key}={wrong[key]!r}"
    with pytest.raises(ArtifactError) as told:
        read_config(values, "config.json")
    assert message in str(told.value)


@pytest.mark.parametrize("family, changes, message", [
    ("bert", {"num_attention_heads": 3}, "width 8, which 3 heads do not"),
    ("roberta", {"pad_token_id": None}, "pad_token_id=None; roberta needs"),
    ("roberta", {"pad_token_id": 13}, "max_position_embeddings=14.*leaves no position"),
    ("xlm-roberta", {"pad_token_id": None}, "pad_token_id=None; xlm-roberta needs"),
    ("albert", {"num_hidden_groups": 5}, "num_hidden_groups=5, which does not divide"),
    ("deberta-v2", {"relative_attention": False}, "relative_attention=False, pos_att_type=.*=\\[]"),
    ("deberta-v2", {"max_relative_positions": 4}, "max_distance=4 must exceed 4"),
    ("modernbert", {"layer_types": ["full_attention"]}, "layer_types=.*expected 2"),
    ("modernbert", {"hidden_size": 9}, "width 9, which 2 heads do not"),
    ("modernbert", {"rope_parameters": {"sliding_attention": {
        "rope_type": "linear", "factor": 2.0, "rope_theta": 70.0}}},
     "rope_type 'linear' in layers with a window"),
    ("gpt2", {"n_head": 3}, "width 8, which 3 heads do not"),
    ("gpt2", {"n_layer": "2"}, "n_layer='2'; expected an integer"),
    ("openai-gpt", {"afn": "gelu_new"}, "afn='gelu_new'; openai-gpt supports gelu, relu, silu"),
    ("bart", {"decoder_ffn_dim": 9}, "encoder_ffn_dim=12 and decoder_ffn_dim=9"),
    ("bart", {"encoder_attention_heads": 3, "decoder_attention_heads": 3}, "which 3 heads do"),
    ("bart", {"d_model": "8"}, "d_model='8'; expected an integer"),
    ("t5", {"d_model": "8"}, "d_model='8'; expected an integer"),
    ("t5", {"feed_forward_proj": 3}, "feed_forward_proj=3"),
    ("switch_transformers", {"num_layers": 12, "num_sparse_encoder_layers": 3},
     "experts in layers 1, 5, 9 and"),
    ("switch_transformers", {"num_layers": 4, "num_sparse_encoder_layers": 4},
     "the same in both stacks"),
    ("switch_transformers", {"num_experts": "4"}, "num_experts='4'; expected an integer"),
])  # fmt: skip
def test_values_that_do_not_fit_together_are_refused(family, changes, message):
    with pytest.raises((ArtifactError, ConfigError), match=message):
        FAMILIES[family].from_hf_config(FAMILIES[family].to_hf_config(REFUSED[family][0]) | changes)


ONE_KV = AttentionConfig(heads=2, kv_heads=1, head_dim=4, qk_norm="none", bias="all")
ANOTHER_EPS = NormConfig(kind="layer", eps=1e-3, place="post")


@pytest.mark.parametrize("family, config, message", [
    ("bert", encoder(embedding=EmbeddingConfig(norm=True)), "EmbeddingConfig.types=0 .* has 1"),
    ("bert", encoder(output=OutputConfig(transform="dense")), "OutputConfig.bias=False"),
    ("bert", encoder(attention=ONE_KV), "kv_heads=1"),
    ("roberta", encoder(), "cannot be written as roberta"),
    ("modernbert", modern(position=PositionConfig(kind="alibi")), "PositionConfig.kind='alibi'"),
    ("modernbert", attention(modern(), patterns=(AttentionPattern("block", 4),)),
     "cannot be written as modernbert"),
    ("gpt2", decoder("post"), "NormConfig.place='post' cannot be written as gpt2"),
    ("gpt2", attention(GPT, patterns=(AttentionPattern(), AttentionPattern("window", 4))),
     "AttentionConfig.patterns"),
    ("openai-gpt", feed(decoder("post"), activation="gelu"),
     "FeedForwardConfig.activation='gelu' cannot .* 'gelu_tanh'"),
    ("openai-gpt", feed(decoder("post"), width=30), "FeedForwardConfig.width=30 cannot"),
    ("bart", shape(), "cannot be written as bart"),
    ("bart", BART.model_copy(update={"output": OutputConfig()}), "OutputConfig.bias=False"),
    ("bart", BART.model_copy(update={"norm": ANOTHER_EPS}), "NormConfig.eps=0.001"),
    ("t5", shape(output=OutputConfig(scale=0.5)), "OutputConfig.scale=0.5"),
    ("t5", shape(feedforward=FeedForwardConfig(width=12, activation="gelu")), "activation='gelu'"),
    ("t5", shape(output=OutputConfig()), "cannot be written as t5"),
    ("switch_transformers", shape(), "FeedForwardConfig.experts=None"),
    ("switch_transformers", with_experts(6, 6, every=3), "every=3 of 6 layers"),
    ("switch_transformers", with_experts(2, 2, chosen=2), "ExpertsConfig.chosen=2"),
    ("switch_transformers", with_experts(2, 2, normalised=True), "ExpertsConfig.normalised=True"),
])  # fmt: skip
def test_what_a_family_cannot_be_is_not_written(family, config, message):
    with pytest.raises(ConfigError, match=message):
        FAMILIES[family].to_hf_config(config)
