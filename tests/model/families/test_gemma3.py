"""Gemma 3's words: what its files leave out, two bases, norms around zero, no pictures."""

import pytest
import torch

from groundup.core import ArtifactError, ConfigError
from groundup.kernels import AttentionPattern
from groundup.model import NormConfig, preset
from groundup.model.families import read_config
from groundup.model.families.decoders.gemma import GEMMA3_TEXT
from tests.model.shapes import tiny_model

TINY = preset("gemma-3-tiny").config
SMALL = {
    "model_type": "gemma3_text", "attention_bias": False, "attn_logit_softcapping": None,
    "final_logit_softcapping": None, "head_dim": 256, "hidden_activation": "gelu_pytorch_tanh",
    "hidden_size": 1152, "intermediate_size": 6912, "max_position_embeddings": 32768,
    "num_attention_heads": 4, "num_hidden_layers": 26, "num_key_value_heads": 1,
    "query_pre_attn_scalar": 256, "rms_norm_eps": 1e-06, "rope_local_base_freq": 10000,
    "rope_scaling": None, "rope_theta": 1000000, "sliding_window": 512,
    "sliding_window_pattern": 6, "vocab_size": 262144, "torch_dtype": "bfloat16",
}  # fmt: skip
SEEING = {
    "model_type": "gemma3", "vision_config": {"hidden_size": 1152},
    "text_config": {
        "hidden_size": 5376, "intermediate_size": 21504, "model_type": "gemma3_text",
        "num_attention_heads": 32, "num_hidden_layers": 62, "num_key_value_heads": 16,
        "head_dim": 128, "query_pre_attn_scalar": 168, "sliding_window": 1024,
        "rope_scaling": {"factor": 8.0, "rope_type": "linear"}, "vocab_size": 262144,
    },
}  # fmt: skip


def test_published_files_open():
    assert GEMMA3_TEXT.from_hf_config(SMALL) == preset("gemma-3-1b").config
    assert GEMMA3_TEXT.from_hf_config(SEEING) == preset("gemma-3-27b").config
    left_out = {"hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 34}
    config = GEMMA3_TEXT.from_hf_config({"model_type": "gemma3", "text_config": left_out})
    assert (config.vocab_size, config.attention.heads, config.attention.head_dim) == (
        262_208, 8, 256,
    )  # fmt: skip


def test_layers_are_listed_or_counted():
    listed = SMALL | {"layer_types": ["full_attention", "sliding_attention"] * 13}
    assert GEMMA3_TEXT.from_hf_config(listed).attention.patterns == (
        AttentionPattern(),
        AttentionPattern("window", 512),
    )
    assert GEMMA3_TEXT.from_hf_config(SMALL | {"sliding_window_pattern": 1}).attention.patterns == (
        AttentionPattern(),
    )


def test_positions_of_files_old_and_new_are_the_same():
    written = GEMMA3_TEXT.to_hf_config(preset("gemma-3-4b").config)
    new = {k: v for k, v in written.items() if not k.startswith("rope") or k == "rope_parameters"}
    old = {k: v for k, v in written.items() if k != "rope_parameters"}
    assert (
        GEMMA3_TEXT.from_hf_config(new)
        == GEMMA3_TEXT.from_hf_config(old)
        == preset("gemma-3-4b").config
    )


def test_a_scale_that_is_no_whole_number_cannot_be_written():
    part = TINY.attention.model_copy(update={"scale": 0.3})
    with pytest.raises(ConfigError, match=r"scale=0\.3"):
        GEMMA3_TEXT.to_hf_config(TINY.model_copy(update={"attention": part}))


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"norm": NormConfig(place="sandwich")}, "zero_centred=False"),
        ({"position": TINY.position.model_copy(update={"window_base": None})}, "window_base=None"),
        ({"embedding": TINY.embedding.model_copy(update={"scale": 1.0})}, "scale=1.0"),
    ],
)
def test_what_a_gemma_cannot_be_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        GEMMA3_TEXT.to_hf_config(TINY.model_copy(update=changes))


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"attn_logit_softcapping": 50.0}, "attn_logit_softcapping=50.0"),
        ({"use_bidirectional_attention": True}, "use_bidirectional_attention=True"),
        ({"hidden_activation": "relu"}, "hidden_activation='relu'"),
        ({"query_pre_attn_scalar": 0}, "query_pre_attn_scalar=0"),
        ({"sliding_window": None}, "no sliding_window"),
        ({"sliding_window_pattern": "6"}, "sliding_window_pattern='6'"),
        ({"final_logit_softcapping": -1}, "final_logit_softcapping=-1"),
        ({"rope_parameters": []}, None),
        ({"rope_parameters": 5}, "rope_parameters=5"),
        ({"rope_parameters": {"sliding_attention": {"rope_type": "linear", "factor": 2.0}}},
         "rope_type 'linear' in layers with a window"),
        ({"model_type": "gemma3"}, "text_config=None"),
        ({"model_type": "gemma3", "text_config": SMALL | {"final_logit_softcapping": 3.0}},
         "final_logit_softcapping=3.0"),
    ],
)  # fmt: skip
def test_what_we_do_not_compute_is_refused(changes, message):
    if message is None:
        assert GEMMA3_TEXT.from_hf_config(SMALL | changes) == GEMMA3_TEXT.from_hf_config(SMALL)
        return
    with pytest.raises(ArtifactError, match=message):
        read_config(changes if "model_type" in changes else SMALL | changes, "config.json")


@pytest.mark.parametrize("begin", ["language_model.model.", "model.language_model."])
def test_the_text_part_of_a_model_with_pictures_is_taken(begin):
    free = TINY.model_copy(update={"tied_embeddings": False})
    state = tiny_model(free).state_dict()
    head = "language_model.lm_head." if begin.startswith("l") else "lm_head."
    theirs_inside = {
        name.replace("model.", begin, 1).replace("lm_head.", head): tensor
        for name, tensor in GEMMA3_TEXT.to_hf_state_dict(dict(state), free).items()
    }
    outside = begin.removesuffix("language_model.") if begin.startswith("m") else ""
    for name in ("vision_tower.embeddings.weight", "multi_modal_projector.norm.weight"):
        theirs_inside[outside + name] = torch.ones(1)
    again = GEMMA3_TEXT.from_hf_state_dict(theirs_inside, free)
    assert again.keys() == state.keys()
