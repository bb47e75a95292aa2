"""Names of steps lead to classes; a wrong one to the nearest."""

import importlib

import pytest

pytest.importorskip("pyarrow")

from groundup.core import ConfigError
from groundup.corpus.prepare.steps import CORPUS_STEPS, READERS, is_survey, step_target, target
from groundup.documents import STEPS

from .pipelines import HERE


def test_every_name_leads_to_a_class():
    for place in [*CORPUS_STEPS.values(), *STEPS.values(), *READERS.values()]:
        module, _, name = place.partition(":")
        assert callable(getattr(importlib.import_module(module), name)), place


def test_unknown_names_are_errors_that_name_the_nearest():
    table = {"web.lines": "a:B", "web.spam": "a:C"}
    assert target("web.lines", table, "use") == "a:B"
    with pytest.raises(ConfigError, match="did you mean `web.lines`"):
        target("web.line", table, "use")
    assert step_target("mine:Step") == "mine:Step"


def test_surveys_are_told_from_steps():
    assert is_survey(f"{HERE}:SameText") and not is_survey(f"{HERE}:Tidy")
