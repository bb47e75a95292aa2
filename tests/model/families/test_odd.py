"""Odd words of config.json: where two say one thing, the one that Transformers obeys wins."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.testing import assert_close

from groundup.core import ArtifactError
from groundup.model import ModelConfig, Transformer, load, preset
from groundup.model.families.names import parse_layer_rope, parse_rope
from groundup.model.families.registry import read_config

ODD = Path(__file__).resolve().parents[2] / "fixtures" / "odd"


@pytest.mark.parametrize("name", sorted(path.name for path in ODD.iterdir()))
def test_logits_are_transformers(name):
    model = load(ODD / name, torch.float32)
    expected = load_file(ODD / name / "expected.safetensors")
    ids = expected["input_ids"]
    if "decoder_input_ids" in expected:
        found = model.logits(expected["decoder_input_ids"], encoded=model.encode(ids))
    else:
        found = model.logits(ids)
    assert_close(found, expected["logits"], atol=1e-4, rtol=1e-4)


YARN = {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 8}


def test_a_yarn_that_is_not_truncated_is_refused_where_transformers_truncates_it():
    nested = {"rope_parameters": {"full_attention": YARN | {"truncate": False}}}
    with pytest.raises(ArtifactError, match="truncate=False; groundup supports truncate=True"):
        parse_layer_rope({"max_position_embeddings": 16} | nested, "full_attention", 100.0)
    flat = {"max_position_embeddings": 16, "rope_parameters": YARN | {"truncate": False}}
    assert not parse_rope(flat)[1].truncate
    with pytest.raises(ArtifactError, match="truncate=None"):
        parse_rope(flat | {"rope_parameters": YARN | {"truncate": None}})


@pytest.mark.parametrize(
    ("parse", "nests", "expected"),
    [
        (parse_rope, lambda rope: rope, 4),
        (lambda v: parse_layer_rope(v, "full_attention", 1e4), lambda r: {"full_attention": r}, 8),
    ],
)
def test_an_original_length_beside_the_parameters_counts_if_they_are_not_nested(
    parse, nests, expected
):
    values = {"max_position_embeddings": 16, "original_max_position_embeddings": 4}
    assert parse(values | {"rope_parameters": nests(YARN)})[1].original_length == expected


LONG = {"rope_type": "longrope", "factor": 1.0, "original_max_position_embeddings": 8}


@pytest.mark.parametrize("key", ["long_factor", "short_factor"])
@pytest.mark.parametrize("value", [3, "ab", [1.0, "x"]])
def test_factors_that_are_no_list_of_numbers_are_refused_by_name(key, value):
    rope = LONG | {"long_factor": [1.0], "short_factor": [1.0], key: value}
    with pytest.raises(ArtifactError, match=f"config.json has {key}="):
        parse_rope({"max_position_embeddings": 16, "rope_parameters": rope})


@pytest.mark.parametrize(
    ("family", "given"),
    [
        ("qwen2", {"layer_types": 3}),
        ("deberta-v2", {"pos_att_type": 3, "type_vocab_size": 0, "relative_attention": True}),
    ],
)
def test_lists_that_are_none_are_refused_by_name(family, given):
    sizes = {"vocab_size": 13, "hidden_size": 8, "num_hidden_layers": 2, "intermediate_size": 6}
    config = (
        sizes
        | {"max_position_embeddings": 16, "num_attention_heads": 2, "model_type": family}
        | given
    )
    with pytest.raises(ArtifactError, match=f"config.json has {next(iter(given))}=3; expected a"):
        read_config(config, "config.json")


def test_a_text_beyond_the_context_has_the_long_factors_too():
    config = preset("llama-tiny").config
    dim = config.attention.head_dim or config.width // config.attention.heads
    scaling = {
        "kind": "longrope", "original_length": 8, "attention": 1.0, "short": (1.0,) * (dim // 2),
        "long": (4.0,) * (dim // 2),
    }  # fmt: skip
    position = config.position.model_dump() | {"scaling": scaling}
    near, far = (
        ModelConfig(**config.model_dump() | {"position": position, "context_length": length})
        for length in (8, 64)
    )
    ids = torch.arange(12)[None]
    packed = {"positions": ids, "documents": torch.zeros_like(ids)}  # may be of any length
    found, expected = (Transformer(each)(ids, **packed) for each in (near, far))
    assert_close(found, expected, atol=0, rtol=0)


def test_a_scale_of_null_is_no_scale():
    values = json.loads((ODD / "dense_act_fn_wins" / "config.json").read_text())
    scales = [
        read_config(values | given, "config.json").output.scale
        for given in ({}, {"scale_decoder_outputs": None}, {"scale_decoder_outputs": False})
    ]
    assert scales == [pytest.approx(values["d_model"] ** -0.5), 1.0, 1.0]
