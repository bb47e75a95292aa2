"""ModernBERT's words: windows and bases as the peer has them, fused matrices, older files."""

import pytest
import torch

from groundup.core import ArtifactError, ConfigError
from groundup.kernels import AttentionPattern
from groundup.model import OutputConfig, PositionConfig, Transformer
from groundup.model.families.modernbert import MODERNBERT
from tests.model.families.bert_gpt import (
    SHAPES,
    WINDOWS,
    check_gradients,
    check_peer,
    check_written,
    modern,
    opened,
    rewritten,
    run,
)

MASKED = OutputConfig(transform="dense", dense_bias=False, bias=True)


@pytest.mark.parametrize("name", SHAPES["modernbert"])
def test_states_and_logits_are_the_peers_and_what_we_write_is_what_it_opened(name, tmp_path):
    check_peer("modernbert", name)
    check_written("modernbert", name, tmp_path)


def test_gradients_are_the_peers():
    check_gradients("modernbert", "biased_free")


def test_windows_reach_half_of_local_attention_to_each_side():
    for local, window in ((128, 65), (7, 4), (0, 1)):
        patterns = MODERNBERT.from_hf_config(
            MODERNBERT.to_hf_config(modern()) | {"local_attention": local}
        ).attention.patterns
        assert patterns == (AttentionPattern(), AttentionPattern("window", window))


@pytest.mark.parametrize("config", [
    modern(), modern(output=MASKED), modern(output=MASKED, tied_embeddings=False),
    modern(layers=3, attention=modern().attention.model_copy(
        update={"patterns": (WINDOWS[1], WINDOWS[0], WINDOWS[0])})),
    modern(attention=modern().attention.model_copy(update={"patterns": (AttentionPattern(),)}),
           position=PositionConfig(base=500.0)),
])  # fmt: skip
def test_configurations_go_there_and_back(config):
    assert MODERNBERT.from_hf_config(MODERNBERT.to_hf_config(config)) == config


def test_only_layers_without_a_window_are_scaled_at_one_base_for_both():
    scaled = {"rope_type": "linear", "factor": 2.0, "rope_theta": 70.0}
    plain = {"rope_type": "default", "rope_theta": 70.0}
    ropes = {"full_attention": scaled, "sliding_attention": plain}
    found = MODERNBERT.from_hf_config(
        MODERNBERT.to_hf_config(modern()) | {"rope_parameters": ropes}
    ).position
    assert (found.base, found.window_base, found.scaling.kind) == (70.0, 70.0, "linear")
    ropes["full_attention"] = plain
    found = MODERNBERT.from_hf_config(
        MODERNBERT.to_hf_config(modern()) | {"rope_parameters": ropes}
    ).position
    assert (found.base, found.window_base, found.scaling.kind) == (70.0, None, "none")


def test_older_files_say_cycles_and_bases(tmp_path):
    model, expected = opened("modernbert", "published")
    again = rewritten(
        "modernbert", "published", tmp_path, dict, layer_types=..., rope_parameters=...,
        global_attn_every_n_layers=3, global_rope_theta=500.0, local_rope_theta=70.0,
    )  # fmt: skip
    assert again.config == model.config
    assert torch.equal(run(again, expected), run(model, expected))
    assert MODERNBERT.to_hf_config(model.config)["global_attn_every_n_layers"] == 3
    assert "global_attn_every_n_layers" not in MODERNBERT.to_hf_config(
        opened("modernbert", "biased_free")[0].config
    )


def test_an_encoder_alone_opens_without_prefix_or_head(tmp_path):
    def bare(state):
        return {n.removeprefix("model."): t for n, t in state.items() if n.startswith("model.")}

    model, expected = opened("modernbert", "published")
    for edit in (bare, dict):
        again = rewritten("modernbert", "published", tmp_path, edit,
                          architectures=["ModernBertModel"])  # fmt: skip
        assert again.config.output == OutputConfig(logits=False)
        assert torch.equal(run(again, expected), run(model, expected))


def test_queries_keys_and_values_are_one_matrix_and_gates_another():
    written = MODERNBERT.to_hf_state_dict(Transformer(modern(), seed=0).state_dict(), modern())
    assert written["layers.1.attn.Wqkv.weight"].shape == (24, 8)
    assert written["layers.1.mlp.Wi.weight"].shape == (20, 8)
    assert "layers.0.attn_norm.weight" not in written


STRETCHED = {"sliding_attention": {"rope_type": "linear", "factor": 2.0, "rope_theta": 70.0}}


@pytest.mark.parametrize("changes, message", [
    ({"rope_parameters": STRETCHED}, "rope_type 'linear' in layers with a window"),
    ({"rope_parameters": 3}, "rope_parameters=3; expected an object"),
    ({"local_attention": -2}, "local_attention=-2"),
    ({"layer_types": ["full_attention"]}, "layer_types=.*expected 2"),
    ({"layer_types": ["linear_attention"] * 2}, "layer_types="),
    ({"hidden_activation": "mish"}, "hidden_activation='mish'"),
    ({"norm_bias": "no"}, "norm_bias='no'"),
    ({"hidden_size": 9}, "width 9, which 2 heads do not"),
])  # fmt: skip
def test_what_cannot_be_or_is_not_computed_names_the_key(changes, message):
    with pytest.raises(ArtifactError, match=message):
        MODERNBERT.from_hf_config(MODERNBERT.to_hf_config(modern()) | changes)


def test_what_a_modernbert_cannot_be_is_not_written():
    with pytest.raises(ConfigError, match="PositionConfig.kind='alibi'"):
        MODERNBERT.to_hf_config(modern(position=PositionConfig(kind="alibi")))
    blocks = modern().attention.model_copy(update={"patterns": (AttentionPattern("block", 4),)})
    with pytest.raises(ConfigError, match="cannot be written as modernbert"):
        MODERNBERT.to_hf_config(modern(attention=blocks))
