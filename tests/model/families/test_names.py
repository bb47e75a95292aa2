"""Names go there and back, values are checked, fused tensors are split."""

import math

import pytest
import torch

from groundup.core import ArtifactError, ConfigError
from groundup.model import ModelConfig, NormConfig, RopeScaling
from groundup.model.families.names import (
    QKV,
    _get_required,
    fuse_parts,
    get_activation,
    get_bool,
    get_float,
    get_int,
    map_tensors,
    parse_rope,
    rename_tensors,
    require_defaults,
    require_supported,
    split_fused,
    to_rope_parameters,
    transpose_matrix,
)

PAIRS = (("h.{}.attn.", "layers.{}.attention."), ("wte.", "embed_tokens."))


def test_names_go_there_and_back_and_unknown_ones_stay():
    names = ["layers.12.attention.q_proj.weight", "embed_tokens.weight", "x.layers.1.attention.b"]
    ours = {name: torch.tensor(i) for i, name in enumerate(names)}
    theirs = rename_tensors(ours, PAIRS, to_hf=True)
    assert list(theirs) == ["h.12.attn.q_proj.weight", "wte.weight", "x.layers.1.attention.b"]
    assert rename_tensors(theirs, PAIRS) == ours


def test_editing_touches_what_matches_alone():
    state = {"a.norm.weight": torch.zeros(2), "a.weight": torch.zeros(2)}
    found = map_tensors(state, r"norm\.weight", lambda t: t + 1)
    assert found["a.norm.weight"].tolist() == [1, 1]
    assert found["a.weight"].tolist() == [0, 0]


SCALINGS = [
    RopeScaling(),
    RopeScaling(kind="linear", factor=8.0),
    RopeScaling(kind="llama3", factor=8.0, original_length=8192, low=1.0, high=4.0),
    RopeScaling(kind="yarn", factor=4.0, original_length=32768, low=1.0, high=32.0),
    RopeScaling(
        kind="yarn", factor=4.0, original_length=64, high=16.0, attention=1.5, truncate=False
    ),
]


@pytest.mark.parametrize("scaling", SCALINGS, ids=lambda s: s.kind)
def test_scalings_go_there_and_back(scaling):
    values = {"rope_parameters": to_rope_parameters(1e6, scaling, "llama")}
    assert parse_rope(values) == (1e6, scaling)


def test_older_files_say_it_differently():
    assert parse_rope({"rope_theta": 5e5, "rope_scaling": {"type": "linear", "factor": 2.0}}) == (
        5e5, RopeScaling(kind="linear", factor=2.0)
    )  # fmt: skip
    assert parse_rope({}) == (10_000.0, RopeScaling())


def test_the_length_before_a_scaling_is_the_contexts_unless_it_is_said():
    yarn = {"rope_type": "yarn", "factor": 4.0}
    values = {"rope_parameters": yarn, "max_position_embeddings": 256}
    assert parse_rope(values)[1].original_length == 256
    assert parse_rope(values | {"original_max_position_embeddings": 64})[1].original_length == 64
    with pytest.raises(ConfigError, match="original_length=0"):
        to_rope_parameters(1e4, RopeScaling(kind="yarn", factor=4.0), "llama")


def test_yarns_magnitude_may_be_a_ratio_and_its_factor_may_follow():
    yarn = {"rope_type": "yarn", "original_max_position_embeddings": 64, "mscale": 2.0}
    values = {"rope_scaling": yarn | {"mscale_all_dim": 1.0}, "max_position_embeddings": 256}
    scaling = parse_rope(values)[1]
    assert scaling.factor == 4.0
    assert scaling.attention == (0.2 * math.log(4) + 1) / (0.1 * math.log(4) + 1)
    for alone in (yarn, yarn | {"mscale_all_dim": 0}):  # 0 is none, as in Transformers
        assert (
            parse_rope({"rope_scaling": alone, "max_position_embeddings": 256})[1].attention is None
        )


@pytest.mark.parametrize("value", [0, -1, 1.0, "8", True, [8], 2**40])
def test_sizes_are_whole_numbers_within_reason(value):
    with pytest.raises(ArtifactError, match="width=.*integer from 1 to"):
        get_int({"width": value}, "width", "llama")
    assert get_int({"width": None}, "width", "llama", 3) == 3


@pytest.mark.parametrize("value", [0, -1.5, "1e-6", True, float("nan"), float("inf"), {}])
def test_measures_are_numbers_above_zero(value):
    with pytest.raises(ArtifactError, match="eps=.*a number above 0"):
        get_float({"eps": value}, "eps", 1e-6)
    assert get_float({}, "eps", None) is None and get_float({"eps": 1}, "eps") == 1.0


@pytest.mark.parametrize("value", [0, 1, "true", []])
def test_answers_are_true_or_false(value):
    with pytest.raises(ArtifactError, match="tied=.*true or false"):
        get_bool({"tied": value}, "tied", default=False)
    assert not get_bool({"tied": None}, "tied", default=False)
    with pytest.raises(ArtifactError, match="tied=None; expected true or false"):
        get_bool({"tied": None}, "tied", default=True)  # false to Transformers


def test_what_cannot_be_read_or_written_names_the_key():
    with pytest.raises(ArtifactError, match="rope_type 'proportional'"):
        parse_rope({"rope_scaling": {"rope_type": "proportional"}})
    with pytest.raises(ConfigError, match="base \\* factor"):
        to_rope_parameters(1e4, RopeScaling(kind="ntk", factor=2.0), "llama")
    with pytest.raises(ArtifactError, match="no hidden_size, which llama requires"):
        _get_required({}, "hidden_size", "llama")
    with pytest.raises(ArtifactError, match="attention_bias=True"):
        require_supported({"attention_bias": True}, {"attention_bias": (False, None)})
    with pytest.raises(ArtifactError, match="hidden_act='mish'"):
        get_activation({"hidden_act": "mish"}, "hidden_act", "silu")
    assert get_activation({}, "hidden_act", "gelu_new") == "gelu_tanh"


def test_a_configuration_that_would_change_names_the_part():
    require_defaults(ModelConfig(), ModelConfig(), "llama")
    with pytest.raises(ConfigError, match="NormConfig.place='post' cannot be written as llama"):
        require_defaults(ModelConfig(norm=NormConfig(place="post")), ModelConfig(), "llama")


FUSED = ".attention.qkv_proj."


def test_cutting_undoes_joining():
    state = {f"layers.{i}{part}{kind}": torch.randn(*size) for i in range(2) for part in QKV
             for kind, size in (("weight", (4, 6)), ("bias", (4,)))}  # fmt: skip
    state["norm.weight"] = torch.randn(6)
    fused = fuse_parts(state, FUSED, QKV)
    assert fused.keys() == {"norm.weight"} | {
        f"layers.{i}{FUSED}{kind}" for i in range(2) for kind in ("weight", "bias")
    }
    assert fused["layers.1.attention.qkv_proj.weight"].shape == (12, 6)
    again = split_fused(fused, FUSED, QKV)
    assert again.keys() == state.keys()
    assert all(torch.equal(again[name], tensor) for name, tensor in state.items())


def test_a_number_cannot_be_cut_and_keeps_its_name():
    state = {f"a{FUSED}weight": torch.tensor(1.0)}
    assert split_fused(state, FUSED, QKV) == state


def test_only_matrices_turn():
    matrix, row = torch.randn(2, 3), torch.randn(3)
    assert torch.equal(transpose_matrix(matrix), matrix.T)
    assert transpose_matrix(matrix).is_contiguous()
    assert transpose_matrix(row) is row
