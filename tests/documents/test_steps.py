"""The table of steps: every name leads to a class made from a configuration and nothing else."""

from importlib import import_module
from typing import get_type_hints

import pytest

from groundup.core import Config
from groundup.documents import REMOVED, STEPS


def test_names_are_a_room_and_a_verb():
    assert all(name.count(".") == 1 and name == name.lower() for name in STEPS)


@pytest.mark.parametrize("name", sorted(STEPS))
def test_a_step_is_made_from_its_configuration(name):
    module, _, cls = STEPS[name].partition(":")
    config = get_type_hints(getattr(import_module(module), cls).__init__)["config"]
    assert issubclass(config, Config)
    undocumented = [key for key, field in config.model_fields.items() if not field.description]
    assert not undocumented, f"{name}: fields without a docstring: {undocumented}"


def test_a_removed_step_is_no_step_and_names_a_replacement():
    assert not set(REMOVED) & set(STEPS)
    assert all(text.endswith(".") for text in REMOVED.values())
