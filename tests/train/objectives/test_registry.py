"""Every preset's own objective is in the table and fits its kind."""

import pytest

from groundup.core import ConfigError
from groundup.model import presets
from groundup.tokenizer import FastTokenizer
from groundup.train import OBJECTIVES, NoiseConfig, ObjectiveContext, token_properties_of
from groundup.train.objectives.registry import _sample_batch_inputs


def test_presets_and_objectives_agree():
    for each in presets().values():
        assert OBJECTIVES[each.objective].kind == each.config.kind, each.name


@pytest.mark.parametrize(
    "name", [n for n, o in OBJECTIVES.items() if o.required_specials or o.sentinels]
)
def test_a_tokenizer_without_the_specials_is_refused(name: str):
    words = FastTokenizer([])
    setting = ObjectiveContext(token_properties_of(words), NoiseConfig(), words)
    kind = OBJECTIVES[name].kind
    config = next(each.config for each in presets().values() if each.config.kind == kind)
    with pytest.raises(ConfigError, match="tokenizer has"):
        OBJECTIVES[name].check(config, setting, 64)


def test_a_sample_is_of_the_texts_given():
    what = _sample_batch_inputs(["a text", "another"], length=8, rows=2)
    assert what.rows.ids.shape == (2, 9) and set(what.rows.names) <= {"a text", "another"}
