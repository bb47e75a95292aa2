"""Our own files: every configuration goes there and back."""

import json

import pytest

from groundup.core import ArtifactError
from groundup.model.families.own import from_hf_config, to_hf_config
from tests.model.shapes import ALL


@pytest.mark.parametrize("name", ALL)
def test_every_configuration_goes_there_and_back_through_json(name):
    values = json.loads(json.dumps(to_hf_config(ALL[name])))
    assert values["model_type"] == "groundup"
    assert from_hf_config(values) == ALL[name]


@pytest.mark.parametrize("broken", [{}, {"groundup": 3}, {"groundup": {"layers": 0}},
                                    {"groundup": {"depth": 1}}])  # fmt: skip
def test_a_broken_configuration_says_so(broken):
    with pytest.raises(ArtifactError, match="no valid 'groundup' configuration"):
        from_hf_config(broken)
