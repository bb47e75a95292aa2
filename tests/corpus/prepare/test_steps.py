"""Names of steps lead to classes; a wrong one to the nearest."""

import importlib
import re

import pytest

pytest.importorskip("pyarrow")

from groundup.core import ConfigError
from groundup.corpus.prepare.pipeline import read_pipeline
from groundup.corpus.prepare.steps import (
    CORPUS_STEPS,
    READERS,
    REMOVED,
    _look_up,
    is_global_step,
    step_target,
)
from groundup.documents import STEPS

from .pipelines import HERE


def test_every_name_leads_to_a_class():
    for place in [*CORPUS_STEPS.values(), *STEPS.values(), *READERS.values()]:
        module, _, name = place.partition(":")
        assert callable(getattr(importlib.import_module(module), name)), place


def test_unknown_names_are_errors_that_name_the_nearest():
    table = {"web.lines": "a:B", "web.urls": "a:C"}
    assert _look_up("web.lines", table, "use") == "a:B"
    with pytest.raises(ConfigError, match="did you mean `web.lines`"):
        _look_up("web.line", table, "use")
    assert step_target("mine:Step") == "mine:Step"


@pytest.mark.parametrize("name", sorted(REMOVED))
def test_a_removed_step_is_an_error_that_names_its_replacement(name, tmp_path):
    path = tmp_path / "pipeline.toml"
    path.write_text(f'[[sources]]\nname = "a"\npath = "a"\n[[steps]]\nuse = "{name}"\n')
    with pytest.raises(ConfigError) as error:
        read_pipeline(path)
    assert f"use={name!r} was removed; {REMOVED[name]}" in str(error.value)
    replacements = re.findall(r"`(\w+\.\w+)`", REMOVED[name])
    assert all(map(step_target, replacements))


def test_surveys_are_told_from_steps():
    assert is_global_step(f"{HERE}:SameText") and not is_global_step(f"{HERE}:Tidy")
