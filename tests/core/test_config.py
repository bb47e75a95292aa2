"""A misspelt key is an error that names the nearest one."""

import os

import pytest

from groundup.core import Config, ConfigError, changed, choice, load_config, toml_value
from tests.checking import unchecked


class Optim(Config):
    learning_rate: float = 1e-3
    """Step."""


class Run(Config):
    steps: int = 10
    """How many."""
    optim: Optim = Optim()
    """How."""


def test_a_misspelt_key_names_the_nearest():
    with pytest.raises(ConfigError, match="no key `step`; did you mean `steps`"):
        Run(step=3)
    with pytest.raises(
        ConfigError, match="Optim has no key `learning_rat`; did you mean `learning_rate`"
    ):
        load_config(Run, settings=["optim.learning_rat=3"])


def test_a_key_like_no_other_lists_them():
    with pytest.raises(ConfigError, match="valid keys: steps, optim.learning_rate"):
        Run(zzzz=3)


def test_values_come_from_defaults_then_the_file_then_settings(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text("steps = 20\n[optim]\nlearning_rate = 0.1\n")
    found = load_config(Run, file, ["optim.learning_rate=0.2"])
    assert (found.steps, found.optim.learning_rate) == (20, 0.2)
    assert changed(found) == {"steps": (10, 20), "optim.learning_rate": (1e-3, 0.2)}


@pytest.mark.parametrize(
    ("settings", "said"),
    [(["steps"], "expects key=value"), (["steps=many"], "steps.*got"), (["steps.x=1"], "steps"),
     (["optim=NaN"], "optim")],
)  # fmt: skip
def test_wrong_settings_are_one_line(settings: list[str], said: str):
    with pytest.raises(ConfigError, match=said) as caught:
        load_config(Run, settings=settings)
    assert "\n" not in str(caught.value)


class Rule(Config):
    names: str = ""
    """Whose."""
    rate: float = 1.0
    """How fast."""


class Lists(Config):
    rules: tuple[Rule, ...] = ()
    """What differs."""
    words: tuple[str, ...] | None = None
    """Which."""
    pair: tuple[float, float] = (0.0, 1.0)
    """From and to."""


@pytest.mark.parametrize(
    ("setting", "form"),
    [
        (
            'rules=[{names="x",rate=1.0}]',
            'Lists.rules: Expected a list, in JSON as [{"names": …, "rate": …}, …]; got',
        ),
        ("words=a,b", 'words: Expected a list, in JSON as ["…", …]; got "a,b".'),
        ("pair=3", "pair: Expected a list, in JSON as […, …]; got 3."),
    ],
)
def test_a_setting_that_is_a_list_says_how_it_is_written(setting, form):
    with pytest.raises(ConfigError) as caught:
        load_config(Lists, settings=[setting])
    assert form in str(caught.value) and "\n" not in str(caught.value)


class Wait(Config):
    seconds: float | None = 15.0
    """How long; None: for ever."""
    name: str | None = None
    """Of who waits."""


def test_null_in_a_file_is_none_where_it_can_mean_nothing_else(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text(f'seconds = {toml_value(None)}\nname = "null"\n')
    assert load_config(Wait, file) == Wait(seconds=None, name="null")
    assert load_config(Wait, settings=["seconds=null"]).seconds is None
    with pytest.raises(ConfigError, match='steps.*got "null"'):
        Run(steps="null")


def test_a_file_that_is_not_toml_is_named(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text("steps = = 3")
    with pytest.raises(ConfigError, match="run.toml is not valid TOML"):
        load_config(Run, file)
    with pytest.raises(ConfigError, match="Cannot read"):
        load_config(Run, tmp_path / "absent.toml")


def test_a_config_cannot_be_changed():
    with pytest.raises(Exception, match="frozen"):
        Run().steps = 3


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("Mid-P", "did you mean `mid-p`?"),
        ("x", "give one of: exact, mid-p."),
        (["exact"], "is unk"),
    ],
)
def test_an_unknown_word_names_the_nearest_known_one(value, told):
    with unchecked(), pytest.raises(ConfigError, match="method=") as failure:
        choice("method", value, ("exact", "mid-p"))
    assert told in str(failure.value)
    assert choice("method", "exact", ("exact", "mid-p")) == "exact"


@pytest.mark.parametrize(
    "settings",
    [
        ["steps=1", "steps=2"],
        ["optim.learning_rate=0.1", "optim.learning_rate=0.1"],
        ["optim.learning_rate=0.1", 'optim={"learning_rate": 0.2}'],
    ],
)
def test_a_setting_given_twice_is_an_error(settings):
    with pytest.raises(ConfigError, match="replaces what an earlier --set gave"):
        load_config(Run, settings=settings)


def test_a_pipe_is_no_configuration_and_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="pipe is no regular file"):
        load_config(Config, tmp_path / "pipe")
