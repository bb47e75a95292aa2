"""ModernBERT's words: windows and bases as the peer has them, fused matrices, older files."""

import torch

from groundup.kernels import AttentionPattern
from groundup.model import OutputConfig, Transformer
from groundup.model.families.modernbert import MODERNBERT
from tests.model.families.bert_gpt import (
    modern,
    opened,
    rewritten,
    run,
)

MASKED = OutputConfig(transform="dense", dense_bias=False, bias=True)


def test_windows_reach_half_of_local_attention_to_each_side():
    for local, window in ((128, 65), (7, 4), (0, 1)):
        patterns = MODERNBERT.from_hf_config(
            MODERNBERT.to_hf_config(modern()) | {"local_attention": local}
        ).attention.patterns
        assert patterns == (AttentionPattern(), AttentionPattern("window", window))


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
