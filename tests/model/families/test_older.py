"""Decoders from before LLaMA, mT5, UMT5, mBART: what their files may not say, and how they lie."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from groundup.core import ArtifactError, ConfigError
from groundup.model import Cache, load, preset
from groundup.model.families import FAMILIES, read_config
from tests.model.families.encoder_decoders import FIXTURES

NEW = {"new_decoder_architecture": True}
REFUSED = [
    ("gptj/part", {"rotary_dim": None}, "no rotary_dim, which gptj"),
    ("gptj/part", {"rotary_dim": 3}, "3 features; they must be even"),
    ("gptj/part", {"rotary_dim": 10}, "rotated"),
    ("gptj/part", {"rotary": False}, "rotary=False"),
    ("gptj/part", {"n_head": 3}, "which 3 heads do not divide"),
    ("falcon/groups", {"parallel_attn": False}, "new blocks are parallel"),
    ("falcon/groups", {"num_ln_in_parallel_attn": 3}, "num_ln_in_parallel_attn=3"),
    ("falcon/one_key_head", {"num_ln_in_parallel_attn": 2}, "only they may have two norms"),
    ("falcon/alibi", {"num_kv_heads": 1}, "num_kv_heads=1 of 5 heads; groups need new"),
    ("falcon/groups", {"num_kv_heads": 3}, "kv_heads=3"),
    ("falcon/groups", {"alibi": True}, "only rotary positions"),  # its linear scaling
    ("falcon/groups", {"apply_residual_connection_post_layernorm": True}, "apply_residual_conn"),
    ("bloom/power_of_two", {"apply_residual_connection_post_layernorm": True}, "apply_residual_"),
    ("bloom/power_of_two", {"slow_but_exact": True}, "slow_but_exact=True"),
    ("bloom/power_of_two", {"n_embed": 24}, "n_embed=24 and hidden_size=16, two names"),
    ("bloom/power_of_two", {"rope_theta": 500.0}, "rope_theta=500.0, which is unknown in bloom"),
    ("opt/before", {"word_embed_proj_dim": 4}, "word_embed_proj_dim=4"),
    ("smollm3/windows_yarn", {"use_sliding_window": False}, "use_sliding_window=false and"),
    ("opt/before", {"_remove_final_layer_norm": True}, "_remove_final_layer_norm=True"),
    ("opt/before", {"do_layer_norm_before": 1}, "do_layer_norm_before=1"),
    ("opt/before", {"ffn_dim": 0}, "ffn_dim=0; expected an integer"),
]  # fmt: skip


@pytest.mark.parametrize("name, changes, message", REFUSED)
def test_what_transformers_does_not_compute_or_we_do_not_is_refused(name, changes, message):
    values = json.loads((FIXTURES / "decoders" / name / "config.json").read_text())
    assert read_config(values, "config.json")
    with pytest.raises(ArtifactError, match=message):
        read_config(values | changes, "config.json")


@pytest.mark.parametrize("name, prefix", [
    ("bloom/power_of_two", "transformer."), ("falcon/groups", "transformer."),
    ("opt/before", "model."), ("opt/after", "model."),
])  # fmt: skip
def test_published_files_may_omit_the_prefix(name, prefix, tmp_path):
    source = FIXTURES / "decoders" / name
    (tmp_path / "config.json").write_text((source / "config.json").read_text())
    state = load_file(source / "model.safetensors")
    assert all(key.startswith((prefix, "lm_head")) for key in state)
    plain = {key.removeprefix(prefix): tensor for key, tensor in state.items()}
    save_file(plain, tmp_path / "model.safetensors")
    model, again = load(source), load(tmp_path)
    assert all(torch.equal(again.state_dict()[key], t) for key, t in model.state_dict().items())


def test_a_misshapen_fused_matrix_is_named(tmp_path):
    source = FIXTURES / "decoders" / "falcon" / "groups"
    (tmp_path / "config.json").write_text((source / "config.json").read_text())
    state = load_file(source / "model.safetensors")
    name = "transformer.h.0.self_attention.query_key_value.weight"
    save_file(state | {name: state[name][:-1].clone()}, tmp_path / "model.safetensors")
    with pytest.raises(ArtifactError, match="misshapen layers.0.attention"):
        load(tmp_path)


@torch.no_grad()
@pytest.mark.parametrize("name", ["falcon/alibi", "falcon/alibi_groups", "bloom/five_heads_free",
                                  "gptj/part", "opt/after"])  # fmt: skip
def test_cached_decoding_after_padding_equals_the_pass_without(name):
    model = load(FIXTURES / "decoders" / name, torch.float64)
    ids, width = torch.randint(17, (1, 20), generator=torch.Generator().manual_seed(0)), 3
    whole = model.logits(ids)
    cache = Cache(model.config, 1, 20 + width, torch.float64)
    padded = torch.nn.functional.pad(ids, (width, 0))
    documents = torch.nn.functional.pad(torch.zeros_like(ids), (width, 0), value=-1)
    for t in range(20 + width):
        now = slice(t, t + 1)
        found = model.logits(padded[:, now], cache=cache, documents=documents[:, now])
        if t >= width:
            torch.testing.assert_close(found[:, 0], whole[:, t - width], atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("family, name, message", [
    ("falcon", "bloom-tiny", "PositionConfig.rounded=False cannot"),
    ("bloom", "falcon-rw-1b", "activation=.gelu. cannot be written as bloom"),
    ("t5", "umt5-tiny", "PositionConfig.shared=False cannot be written as t5"),
    ("bart", "mbart-large", "NormConfig.place='pre' cannot be written as bart"),
    ("opt", "gpt-2-tiny", "PositionConfig.offset=0 cannot be written as opt"),
])  # fmt: skip
def test_what_a_family_cannot_be_is_not_written(family, name, message):
    with pytest.raises((ConfigError, ArtifactError), match=message):
        FAMILIES[family].to_hf_config(preset(name).config)


def test_an_mt5_is_untied_whatever_its_file_says():
    values = FAMILIES["mt5"].to_hf_config(preset("mt5-small").config)
    assert "scale_decoder_outputs" not in values
    for tied in (True, False):
        config = read_config(values | {"tie_word_embeddings": tied}, "config.json")
        assert config == preset("mt5-small").config
