"""GPT-1 and GPT-2: the peers' states and logits, there and back."""

import json

import pytest
import torch

from groundup.compress import quantize_to_int8
from groundup.core import ArtifactError, ConfigError
from groundup.kernels import AttentionPattern
from groundup.model import Cache, FeedForwardConfig, Transformer, load, save
from groundup.model.families.gpt import GPT1, GPT2
from tests.model.families.bert_gpt import (
    SHAPES,
    check_gradients,
    check_peer,
    check_written,
    decoder,
    opened,
    rewritten,
    run,
)


@pytest.mark.parametrize("name", SHAPES["gpt2"])
def test_states_and_logits_are_the_peers_and_what_we_write_is_what_it_opened(name, tmp_path):
    check_peer("gpt2", name)
    check_written("gpt2", name, tmp_path)


def test_gradients_are_the_peers():
    check_gradients("gpt2", "published")


def test_a_cache_continues_where_the_last_call_ended():
    model, expected = opened("gpt2", "published")
    cache, ids = Cache(model.config, 1, 18), expected["long_ids"]
    parts = [model.logits(ids[:, i : i + 6], cache=cache) for i in (0, 6, 12)]
    torch.testing.assert_close(torch.cat(parts, 1), expected["long_logits"], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("config", [
    decoder("pre"), decoder("pre", tied_embeddings=False),
    decoder("pre", attention=decoder("pre").attention.model_copy(update={"scale": 1.0})),
    decoder("pre", feedforward=FeedForwardConfig(width=5, activation="relu", gated=False,
                                                 bias=True)),
])  # fmt: skip
def test_configurations_go_there_and_back(config):
    assert GPT2.from_hf_config(GPT2.to_hf_config(config)) == config


def test_the_published_file_has_no_prefix_and_holds_the_mask(tmp_path):
    def published(state):
        plain = {name.removeprefix("transformer."): tensor for name, tensor in state.items()}
        masks = {f"h.{i}.attn.bias": torch.ones(1, 1, 18, 18).tril() for i in range(2)}
        return plain | masks | {"h.0.attn.masked_bias": torch.tensor(-1e4)}

    model, expected = opened("gpt2", "published")
    again = rewritten("gpt2", "published", tmp_path, published, n_inner=..., n_ctx=18,
                      activation_function=...)  # fmt: skip
    assert again.config == model.config
    assert torch.equal(run(again, expected), run(model, expected))


def test_matrices_lie_turned_and_joined():
    written = GPT2.to_hf_state_dict(
        Transformer(decoder("pre"), seed=0).state_dict(), decoder("pre")
    )
    assert written["transformer.h.0.attn.c_attn.weight"].shape == (8, 24)
    assert written["transformer.h.0.attn.c_attn.bias"].shape == (24,)
    assert written["transformer.h.1.mlp.c_fc.weight"].shape == (8, 32)
    assert not any(name.startswith("lm_head") for name in written)


def test_eight_bits_do_not_fit_joined_matrices_and_are_saved_as_our_own(tmp_path):
    model = Transformer(decoder("pre"), seed=0).eval()
    assert quantize_to_int8(model) is not None
    save(model, tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "groundup"
    ids = torch.arange(9)[None]
    assert torch.equal(load(tmp_path).logits(ids), model.logits(ids))


@pytest.mark.parametrize("edit, message", [
    (lambda s: s | {"h.0.attn.c_attn.weight": torch.ones(5, 5)}, "misshapen layers.0.attention"),
    (lambda s: s | {"h.0.attn.c_attn.weight": torch.tensor(1.0)}, "lacks layers.0.attention"),
    (lambda s: s | {"h.0.crossattention.c_attn.weight": torch.ones(1)}, "unexpected h.0.cross"),
])  # fmt: skip
def test_tensors_that_do_not_fit_are_named(tmp_path, edit, message):
    def plain(state):
        return edit({name.removeprefix("transformer."): t for name, t in state.items()})

    with pytest.raises(ArtifactError, match=message):
        rewritten("gpt2", "published", tmp_path, plain)


@pytest.mark.parametrize("changes, message", [
    ({"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx=True"),
    ({"add_cross_attention": True}, "add_cross_attention=True"),
    ({"activation_function": "mish"}, "activation_function='mish'"),
    ({"scale_attn_weights": 2}, "scale_attn_weights=2"),
    ({"n_inner": 0}, "n_inner=0"),
    ({"n_head": 3}, "width 8, which 3 heads do not"),
    ({"n_embd": None}, "no n_embd, which gpt2 requires"),
    ({"n_layer": 2**30}, "n_layer=1073741824"),
    ({"n_layer": "2"}, "n_layer='2'"),
])  # fmt: skip
def test_what_cannot_be_or_is_not_computed_names_the_key(changes, message):
    with pytest.raises(ArtifactError, match=message):
        GPT2.from_hf_config(GPT2.to_hf_config(decoder("pre")) | changes)


def test_what_a_gpt2_cannot_be_is_not_written():
    with pytest.raises(ConfigError, match="NormConfig.place='post' cannot be written as gpt2"):
        GPT2.to_hf_config(decoder("post"))
    band = (AttentionPattern(), AttentionPattern("window", 4))
    banded = decoder("pre").attention.model_copy(update={"patterns": band})
    with pytest.raises(ConfigError, match="AttentionConfig.patterns"):
        GPT2.to_hf_config(decoder("pre", attention=banded))


@pytest.mark.parametrize("name", SHAPES["openai-gpt"])
def test_states_and_logits_are_the_peers_and_what_we_write_is_what_it_opened_of_gpt1(
    name, tmp_path
):
    check_peer("openai-gpt", name)
    check_written("openai-gpt", name, tmp_path)


def test_the_published_file_has_no_prefix_and_holds_the_mask_of_gpt1(tmp_path):
    def published(state):
        plain = {name.removeprefix("transformer."): tensor for name, tensor in state.items()}
        masks = {f"h.{i}.attn.bias": torch.ones(1, 1, 18, 18).tril() for i in range(2)}
        return plain | masks | {"position_ids": torch.arange(18)}

    model, expected = opened("openai-gpt", "published")
    again = rewritten("openai-gpt", "published", tmp_path, published)
    assert torch.equal(run(again, expected), run(model, expected))


def test_configurations_go_there_and_back_and_gelu_is_the_approximation():
    for config in (decoder("post"), decoder("post", tied_embeddings=False)):
        assert GPT1.to_hf_config(config)["afn"] == "gelu"
        assert GPT1.from_hf_config(GPT1.to_hf_config(config)) == config


def test_what_a_gpt1_cannot_be_is_not_written():
    for part, message in (
        ({"activation": "gelu"}, "FeedForwardConfig.activation='gelu' cannot .* 'gelu_tanh'"),
        ({"width": 30}, "FeedForwardConfig.width=30 cannot"),
    ):
        feed = decoder("post").feedforward.model_copy(update=part)
        assert isinstance(feed, FeedForwardConfig)
        with pytest.raises(ConfigError, match=message):
            GPT1.to_hf_config(decoder("post", feedforward=feed))


@pytest.mark.parametrize("changes, message", [
    ({"afn": "gelu_new"}, "afn='gelu_new'; openai-gpt supports gelu, relu, silu, swish"),
    ({"n_positions": -1}, "n_positions=-1"),
    ({"layer_norm_epsilon": 0}, "layer_norm_epsilon=0"),
])  # fmt: skip
def test_what_cannot_be_or_is_not_computed_names_the_key_of_gpt1(changes, message):
    with pytest.raises(ArtifactError, match=message):
        GPT1.from_hf_config(GPT1.to_hf_config(decoder("post")) | changes)
