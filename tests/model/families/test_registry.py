"""Families: a model_type finds its words, and an unknown one is named."""

import pytest

from groundup.core import ArtifactError
from groundup.model.families import FAMILIES, WRITTEN_AS, family_of
from tests.model.shapes import tiny_config


def test_what_we_write_names_its_own_family():
    for name, family in FAMILIES.items():
        assert family.write(tiny_config())["model_type"] == name
    assert family_of({"model_type": WRITTEN_AS}, "config.json") is FAMILIES[WRITTEN_AS]


def test_an_unknown_family_is_named_with_the_known_ones():
    with pytest.raises(ArtifactError, match="x/config.json has model_type 'bert'.*qwen3"):
        family_of({"model_type": "bert"}, "x/config.json")
