"""Families with experts, latent attention or sinks: what their files hold, and what is refused."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

from groundup.adapt import LoraConfig, attach_adapter
from groundup.compress import quantize_weights
from groundup.core import ArtifactError, ConfigError
from groundup.model import (
    Cache,
    NativeDecoder,
    Transformer,
    cache_bytes_per_token,
    describe_config,
    load,
    preset,
    save,
    supports,
    unsupported_reason,
)
from groundup.model.families import FAMILIES, read_config
from groundup.model.families.registry import choose_family
from groundup.model.weights.packed import is_packed
from tests.model.shapes import DECODERS as SHAPES
from tests.model.shapes import VOCAB, tiny_model

FIXTURES = Path(__file__).parents[2] / "fixtures"
DECODERS, MXFP4 = FIXTURES / "decoders", FIXTURES / "mxfp4"
TINY = ("granite-3-moe", "gpt-oss", "deepseek-v2", "deepseek-v3", "llama-4")


def test_experts_of_four_bits_are_the_numbers_that_they_stand_for(tmp_path):
    model, expected = load(MXFP4, torch.float32), load_file(MXFP4 / "expected.safetensors")
    is_real = expected["mask"] == 1
    logits = model.logits(expected["ids"], documents=expected["mask"] - 1)
    assert_close(logits[is_real], expected["logits"][is_real], atol=1e-5, rtol=1e-5)
    save(model, tmp_path)
    assert "quantization_config" not in json.loads((tmp_path / "config.json").read_text())
    again = load(tmp_path)
    assert all(torch.equal(again.state_dict()[n], t) for n, t in model.state_dict().items())


def test_blocks_of_another_size_are_refused(tmp_path):
    values = json.loads((MXFP4 / "config.json").read_text())
    assert not is_packed(values)
    values["quantization_config"] |= {"block_size": 64}
    with pytest.raises(ArtifactError, match="block_size=64, which is unknown in MXFP4's blocks of"):
        is_packed(values)


def changed(source, target, change):
    """A copy of a directory whose tensors are those that `change` returns."""
    shutil.copytree(source, target)
    state = change(load_file(target / "model.safetensors"))
    save_file(state, target / "model.safetensors", metadata={"format": "pt"})
    return target


GATES = "model.layers.1.mlp.experts.gate_up_proj"


@pytest.mark.parametrize("change, message", [
    (lambda s: s | {GATES + "_blocks": s[GATES + "_blocks"].reshape(2, 64, 2, 8),
                    GATES + "_scales": s[GATES + "_scales"].repeat(1, 1, 2)},
     f"{GATES}: .*16 numbers each.*a uint8 scale for every 32"),
    (lambda s: s | {GATES + "_scales": s[GATES + "_scales"].repeat(1, 1, 2)}, f"{GATES}: "),
    (lambda s: s | {GATES + "_scales": s[GATES + "_scales"].int()}, f"{GATES}: "),
    (lambda s: {n: t for n, t in s.items() if n != GATES + "_scales"}, f"{GATES} has blocks alone"),
    (lambda s: {n: t for n, t in s.items() if GATES + "_" not in n or n.endswith("bias")},
     "lacks layers.1.experts.gate_proj"),
])  # fmt: skip
def test_other_blocks_of_bits_are_refused_by_name(change, message, tmp_path):
    with pytest.raises(ArtifactError, match=message) as caught:
        load(changed(MXFP4, tmp_path / "m", change))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name, lost, message", [
    ("deepseek_v3/groups_yarn", "layers.1.mlp.experts.7.up_proj", "layers.1.experts.up_proj lack"),
    ("deepseek_v2/groups_yarn", "layers.2.mlp.experts.0.", "layers.2.experts.down_proj lack"),
    ("deepseek_v3/groups_yarn", "e_score_correction_bias", "lacks layers.1.experts.correction"),
    ("gpt_oss/unbiased", "layers.0.mlp.experts.down_proj_bias", "lacks layers.0.experts.down_bias"),
    ("gpt_oss/unbiased", "layers.1.self_attn.sinks", "lacks layers.1.attention.sinks"),
    ("granitemoe/biased_yarn", "layers.0.block_sparse_moe.output_linear", "experts.down_proj"),
    ("llama4_text/plain", "layers.1.feed_forward.shared_expert.up", "experts.shared.up_proj"),
    ("minicpm3/yarn", "layers.1.self_attn.kv_a_layernorm", "lacks layers.1.attention.kv_a_norm"),
])  # fmt: skip
def test_tensors_that_are_missing_are_named(name, lost, message, tmp_path):
    def without(state):
        kept = {n: t for n, t in state.items() if lost not in n}
        assert len(kept) < len(state)
        return kept

    with pytest.raises(ArtifactError, match=message):
        load(changed(DECODERS / name, tmp_path / "m", without))


@pytest.mark.parametrize("name, changes, message", [
    ("deepseek_v3/groups_yarn", {"num_key_value_heads": 1}, "kv_heads=1 of 2"),
    ("deepseek_v3/groups_yarn", {"head_dim": 6}, "head_dim=6"),
    ("deepseek_v3/groups_yarn", {"topk_method": "greedy"}, "topk_method='greedy'"),
    ("deepseek_v3/groups_yarn", {"n_group": 3}, "groups=3 must divide count=8"),
    ("deepseek_v3/groups_yarn", {"topk_group": 1}, "chosen_groups=1 of 2 experts"),
    ("deepseek_v3/groups_yarn", {"scoring_func": "softmax"}, "scoring_func='softmax'"),
    ("deepseek_v2/groups_yarn", {"norm_topk_prob": True}, "norm_topk_prob=True"),
    ("deepseek_v2/groups_yarn", {"moe_layer_freq": 2}, "moe_layer_freq=2"),
    ("deepseek_v2/groups_yarn", {"first_k_dense_replace": 3}, "dense_layers=3"),
    ("deepseek_v2/groups_yarn", {"qk_rope_head_dim": 3}, "head_dim=4"),
    ("gpt_oss/unbiased", {"hidden_act": "gelu"}, "hidden_act='gelu'"),
    ("gpt_oss/unbiased", {"quantization_config": {"quant_method": "fp8"}}, "weights .fp8"),
    ("llama4_text/plain", {"moe_layers": [0]}, "moe_layers="),
    ("llama4_text/plain", {"num_experts_per_tok": 2}, "weighs_input=true needs chosen=1"),
    ("llama4_text/plain", {"no_rope_layers": [2, 1]}, "no_rope_layers="),
    ("llama4_text/plain", {"layer_types": ["sliding_attention"] * 2}, "layer_types="),
    ("minicpm3/yarn", {"rope_interleave": True}, "rope_interleave=True, which is unknown"),
])  # fmt: skip
def test_values_that_no_model_here_has_are_refused(name, changes, message, tmp_path):
    shutil.copytree(DECODERS / name, tmp_path / "m")
    file = tmp_path / "m" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    with pytest.raises(ArtifactError, match=message):
        load(tmp_path / "m")


def test_gpt_oss_has_yarn_where_nothing_is_said_of_positions_alone():
    values = json.loads((DECODERS / "gpt_oss" / "unbiased" / "config.json").read_text())
    for said, kind in ((None, "yarn"), ({}, "none"), ({"rope_type": "default"}, "none")):
        read = read_config(values | {"rope_parameters": said, "rope_scaling": None}, "it")
        assert read.position.scaling.kind == kind


def test_the_layer_after_the_last_is_dropped_and_one_more_is_not(tmp_path):
    source = DECODERS / "deepseek_v3" / "groups_yarn"
    number = load(source).config.layers

    def with_layer(place):
        name = f"model.layers.{place}.eh_proj.weight"
        return lambda state: state | {name: torch.ones(2, 2)}

    load(changed(source, tmp_path / "one", with_layer(number)))
    with pytest.raises(ArtifactError, match=f"layers.{number + 1}.eh_proj"):
        load(changed(source, tmp_path / "two", with_layer(number + 1)))


def test_a_correction_stays_exact_when_weights_are_rounded():
    model = Transformer(preset("deepseek-v3-tiny").config)
    experts = model.layers[1].experts
    experts.correction += 1 / 3
    exact = experts.correction.clone()
    assert torch.equal(model.bfloat16().layers[1].experts.correction, exact)
    assert model.head.dtype == torch.bfloat16


@pytest.mark.parametrize("name, reasons", [
    ("granite-3-moe", ["experts"]), ("gpt-oss", ["attention sinks", "experts"]),
    ("deepseek-v3", ["latent attention", "experts"]), ("minicpm-3", ["latent attention"]),
    ("llama-4", ["norms after rotation", "growing temperatures", "patterns block", "experts"]),
])  # fmt: skip
def test_the_native_stack_says_why_it_cannot_run_them(name, reasons):
    model = Transformer(preset(f"{name}-tiny").config)
    assert not supports(model) and unsupported_reason(model) == ", ".join(reasons)
    with pytest.raises(ConfigError, match=f"cannot run this model: {', '.join(reasons)}.$"):
        NativeDecoder(model, 4)


def test_a_latent_cache_holds_what_its_description_says():
    config = preset("deepseek-v3").config
    assert cache_bytes_per_token(config, torch.bfloat16) == 61 * 576 * 2
    text = str(describe_config(config))
    assert "keys and values from 512 cached features" in text
    assert "8 of 256 experts and a shared one from layer 3 on" in text
    tiny = preset("deepseek-v3-tiny").config
    cache = Cache(tiny, 2, 10, torch.bfloat16)
    assert cache.bytes == 20 * cache_bytes_per_token(tiny, torch.bfloat16)


@pytest.mark.parametrize("name", TINY)
def test_their_own_family_is_the_only_one_that_writes_them(name):
    config = preset(f"{name}-tiny").config
    family = choose_family(config)
    for other in FAMILIES.values():
        if other.name not in (family.name, "groundup"):
            with pytest.raises((ConfigError, ArtifactError)):
                other.to_hf_config(config)
    dense = config.model_copy(
        update={"feedforward": config.feedforward.model_copy(update={"experts": None})}
    )
    with pytest.raises(ConfigError, match="experts=None cannot be written"):
        family.to_hf_config(dense)
    assert read_config(family.to_hf_config(config), "x") == config


def with_lora(model):
    attach_adapter(model, LoraConfig(rank=3, targets=("kv_b_proj", "q_a_proj")))
    for name, parameter in model.named_parameters():
        if name.endswith(".B") or ".B." in name:
            parameter.data.normal_()


@torch.no_grad()
@pytest.mark.parametrize("change", [with_lora, lambda model: quantize_weights(model, 8)])
def test_a_projection_that_is_not_plain_is_used_in_cached_steps_too(change):
    model = tiny_model(SHAPES["deepseek v3"])
    ids, plain = torch.randint(VOCAB, (2, 9)), model.logits(torch.ones(1, 3).long())
    change(model)
    assert not torch.allclose(model.logits(torch.ones(1, 3).long()), plain)
    cache = Cache(model.config, 2, 9, torch.float64)
    steps = [model.logits(ids[:, i : i + 1], cache=cache) for i in range(9)]
    assert_close(torch.cat(steps, 1), model.logits(ids), atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("name", ["deepseek-v3-tiny", "gpt-oss-tiny", "llama-4-tiny"])
def test_a_step_of_training_lowers_the_loss_of_a_batch(name):
    config = preset(name).config.model_copy(update={"vocab_size": 64})
    model, ids = Transformer(config, seed=1).train(), torch.arange(40)[None] % 7
    optimizer, losses = torch.optim.AdamW(model.parameters(), lr=1e-3), []
    for _ in range(4):
        loss = torch.nn.functional.cross_entropy(model.logits(ids)[0, :-1], ids[0, 1:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] - 0.1
