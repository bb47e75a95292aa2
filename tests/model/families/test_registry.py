"""Families: a model_type finds its words, and an unknown one is named."""

import pytest

from groundup.core import ArtifactError
from groundup.model import PositionConfig
from groundup.model.families import FAMILIES, family_for, family_of
from tests.model.shapes import tiny_config


def test_our_default_model_is_written_as_a_qwen3_and_what_no_peer_computes_as_our_own():
    assert family_for(tiny_config()) is FAMILIES["qwen3"]
    gopher = tiny_config().model_copy(update={"position": PositionConfig(kind="transformer_xl")})
    assert family_for(gopher) is FAMILIES["groundup"]
    assert FAMILIES["groundup"].read(FAMILIES["groundup"].write(gopher)) == gopher


def test_an_unknown_family_is_named_with_the_known_ones():
    with pytest.raises(ArtifactError, match="x/config.json has model_type 'rwkv'.*qwen3"):
        family_of({"model_type": "rwkv"}, "x/config.json")
