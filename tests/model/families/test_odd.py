"""Odd words of config.json: where two say one thing, the one that Transformers obeys wins."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.testing import assert_close

from groundup.core import ArtifactError
from groundup.model import load
from groundup.model.families.names import parse_layer_rope, parse_rope

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
