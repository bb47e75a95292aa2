"""Scalings of rotary positions go into files and are found again."""

import numpy as np
import pytest

from groundup.core import ArtifactError, ConfigError
from groundup.model import RopeScaling, preset, presets
from groundup.model.families.names import parse_rope
from groundup.model.weights.gguf.rotary import (
    llama3_divisors,
    rope_scaling_from_divisors,
    rope_scaling_from_metadata,
    rope_scaling_to_metadata,
)

BY_METADATA = {
    "none": RopeScaling(),
    "linear": RopeScaling(kind="linear", factor=8.0),
    "yarn": RopeScaling(kind="yarn", factor=4.0, original_length=512, low=1.0, high=32.0),
    "steep yarn": RopeScaling(kind="yarn", factor=2.5, original_length=64, low=2.0, high=8.0),
}


def opened(values, context_length=4096):
    return parse_rope({"rope_scaling": values, "max_position_embeddings": context_length})[1]


@pytest.mark.parametrize("name", BY_METADATA)
def test_metadata_says_a_scaling(name):
    told = rope_scaling_to_metadata(BY_METADATA[name])
    assert opened(rope_scaling_from_metadata(told, 4096)) == BY_METADATA[name]


LLAMA3 = [one for one in map(preset, presets()) if one.config.position.scaling.kind == "llama3"]


@pytest.mark.parametrize("one", LLAMA3, ids=lambda one: one.name)
def test_llama_3_is_found_by_what_it_divides_by(one):
    position, head_dim = one.config.position, one.config.attention.head_dim
    factors = llama3_divisors(position.scaling, head_dim, position.base)
    assert factors.min() == 1.0
    values = rope_scaling_from_divisors(factors, head_dim, position.base, one.config.context_length)
    assert opened(values) == position.scaling


def test_factors_of_one_are_no_scaling():
    assert rope_scaling_from_divisors(np.ones(8, np.float32), 16, 1e4, 128) is None


@pytest.mark.parametrize(
    "factors",
    [np.linspace(1, 8, 8), np.zeros(8), np.full(8, np.nan), np.full(8, np.inf), np.full(9, 8.0)],
)
def test_other_factors_are_refused(factors):
    with pytest.raises(ArtifactError, match="which is no Llama 3 scaling"):
        rope_scaling_from_divisors(factors.astype(np.float32), 16, 1e4, 128)


def test_one_factor_for_all_is_llama_3s_beyond_its_ramp():
    values = rope_scaling_from_divisors(np.full(8, 3.0, np.float32), 16, 1e4, 128)
    assert np.allclose(llama3_divisors(opened(values), 16, 1e4), 3)


def test_an_old_name_and_a_size_of_yarn_are_read():
    assert opened(rope_scaling_from_metadata({"rope.scale_linear": 2.0}, 64)).factor == 2.0
    told = rope_scaling_to_metadata(BY_METADATA["yarn"]) | {"rope.scaling.attn_factor": 0.5}
    assert opened(rope_scaling_from_metadata(told, 64)).attention == pytest.approx(0.5693, abs=1e-4)


@pytest.mark.parametrize("change", [{"attention": 1.5}, {"truncate": False}])
def test_what_metadata_cannot_say_is_refused(change):
    with pytest.raises(ConfigError, match="cannot be written as GGUF"):
        rope_scaling_to_metadata(BY_METADATA["yarn"].model_copy(update=change))
