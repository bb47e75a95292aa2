"""A misspelt key is an error that names the nearest one."""

import importlib
import json
import os
import tomllib
from pathlib import Path

import pytest
from pydantic import create_model

import groundup
from groundup.align import FinetuneConfig
from groundup.core import (
    Config,
    ConfigError,
    changed_settings,
    check_choice,
    format_toml,
    load_config,
    produce,
    write_text,
)
from groundup.core.artifact import _artifact_id, _artifact_key
from groundup.core.config import _field_names
from groundup.corpus.quality.rules import GopherConfig
from groundup.train import OptimConfig, PretrainConfig
from tests.checking import unchecked

RENAMED = Path(groundup.__file__).parent / "core" / "renamed_settings.toml"


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


def test_of_many_keys_at_most_three_are_named_and_old_names_lead_to_the_present_ones():
    many = create_model("Many", __base__=Config, **{f"key_{n}_words": (int, 0) for n in range(40)})
    with pytest.raises(
        ConfigError, match=r"no key `keywords`; did you mean (`key_\d+_words`(, )?){3}\? `--help`"
    ):
        many(keywords=1)
    with pytest.raises(ConfigError, match=r"no key `zzzz`; `--help` lists all keys\.$"):
        many(zzzz=1)
    with pytest.raises(ConfigError, match="no key `fewestwords`; did you mean `min_words`"):
        GopherConfig(fewestwords=3)
    with pytest.raises(
        ConfigError, match="no key `learning_rat`; did you mean `optim.learning_rate`"
    ):
        Run(learning_rat=3)


def test_a_key_like_no_other_lists_them():
    with pytest.raises(ConfigError, match="valid keys: steps, optim.learning_rate"):
        Run(zzzz=3)


def test_values_come_from_defaults_then_the_file_then_settings(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text("steps = 20\n[optim]\nlearning_rate = 0.1\n")
    found = load_config(Run, file, ["optim.learning_rate=0.2"])
    assert (found.steps, found.optim.learning_rate) == (20, 0.2)
    assert changed_settings(found) == {"steps": (10, 20), "optim.learning_rate": (1e-3, 0.2)}


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
    file.write_text(f'seconds = {format_toml(None)}\nname = "null"\n')
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
        check_choice("method", value, ("exact", "mid-p"))
    assert told in str(failure.value)
    assert check_choice("method", "exact", ("exact", "mid-p")) == "exact"


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


def configurations() -> dict[str, type[Config]]:
    """Every configuration of the package, by name."""
    for path in Path(groundup.__file__).parent.rglob("*.py"):
        if "Config" in path.read_text(encoding="utf-8") and path.name != "__main__.py":
            parts = path.relative_to(Path(groundup.__file__).parents[1]).with_suffix("").parts
            importlib.import_module(".".join(parts).removesuffix(".__init__"))
    known, todo = {}, [Config]
    while todo:
        for config in todo.pop().__subclasses__():
            if config.__module__.startswith("groundup."):
                known[config.__name__] = config
                todo.append(config)
    return known


def test_renamed_settings_are_settings_of_configurations_that_exist():
    tables, known = tomllib.loads(RENAMED.read_text(encoding="utf-8")), configurations()
    assert sorted(tables.keys() - known.keys()) == []
    for name, table in tables.items():
        fields = set(known[name].model_fields) | set(_field_names(known[name]))
        assert set(table.values()) <= fields, name
        assert len(set(table.values())) == len(table) and not set(table) & fields, name


def test_a_setting_is_read_by_its_former_name_but_not_by_both(tmp_path):
    old = {"matrices": "adamw", "iterations": 5, "learning_rate": 0.01}
    new = OptimConfig(matrix_optimizer="adamw", newton_schulz_steps=5, learning_rate=0.01)
    assert OptimConfig(**old) == new and old.items() <= new.values_by_old_name().items()
    (tmp_path / "a.toml").write_text('[optim]\nmatrices = "adamw"\niterations = 5\n')
    config = load_config(PretrainConfig, tmp_path / "a.toml", ["optim.learning_rate=0.01"])
    assert config.optim == new
    assert (
        load_config(PretrainConfig, settings=["optim.matrices=sgd"]).optim.matrix_optimizer == "sgd"
    )
    with pytest.raises(ConfigError, match="OptimConfig has no key `matrices`"):
        OptimConfig(matrices="adamw", matrix_optimizer="sgd")


def test_a_setting_that_moved_into_another_configuration_is_read_by_its_former_name():
    config = load_config(FinetuneConfig, settings=["save_seconds=3", "length=64"])
    assert config.checkpoints.every_seconds == 3.0 and config.max_length == 64
    assert FinetuneConfig(save_seconds=3.0, checkpoints={"keep": 5}).checkpoints.keep == 5


def test_an_artifact_made_by_former_names_is_complete(tmp_path):
    config = PretrainConfig(optim=OptimConfig(matrix_optimizer="adamw"))
    values = config.values_by_old_name()
    assert values["optim"]["matrices"] == "adamw" and "matrix_optimizer" not in values["optim"]

    def make(out):
        return produce(out, kind="report", stage="s", version=1, config=config, parents={},
                       write=lambda draft: write_text(draft.file("a.txt"), "a"))  # fmt: skip

    first = make(tmp_path / "a")
    manifest = json.loads((first.path / "manifest.json").read_text())
    manifest["config"] = values
    manifest["key"] = _artifact_key("s", 1, values, [])
    manifest["id"] = _artifact_id(manifest["key"], first.files)
    (first.path / "manifest.json").write_text(json.dumps(manifest))
    before = (first.path / "manifest.json").stat().st_mtime_ns
    again = make(tmp_path / "a")
    assert again.key == manifest["key"] != first.key and PretrainConfig(**again.config) == config
    assert (first.path / "manifest.json").stat().st_mtime_ns == before
