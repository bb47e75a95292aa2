"""Settings of optimizers say what they mean and refuse what they do not know."""

import pytest

from groundup.core import ConfigError
from groundup.train import OptimConfig


def test_an_unknown_setting_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match="momentum"):
        OptimConfig(momentun=0.9)


def test_every_setting_says_what_it_is():
    assert all(field.description for field in OptimConfig.model_fields.values())
