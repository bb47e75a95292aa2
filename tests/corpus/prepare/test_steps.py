"""Names lead to classes made from a documented configuration; a wrong name to the nearest one."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_type_hints

import pytest

from groundup.core import Config, ConfigError, documented_fields
from groundup.corpus.engine.specs import StepSpec, _annotation_parts, _file_fields
from groundup.corpus.prepare.pipeline import read_pipeline
from groundup.documents import DERIVERS, READERS, REMOVED, STEPS, import_object, step_target

from .pipelines import HERE

SOURCE = re.compile(r"\bSource\b|\b[Oo]wn (?:judgement|choice)\b|\b[Oo]ur own\b|\[[^\]]+\]")
NEEDS_NONE = ("seed",)
"""Numbers that are no better than others."""
ALL = READERS | STEPS | DERIVERS


def unsourced(kind: type[Config], prefix: str = "") -> Iterator[str]:
    """Yield the numeric fields without a source; what is off by default needs none."""
    for name, field in documented_fields(kind).items():
        parts = set(_annotation_parts(field.annotation))
        for part in parts:
            if isinstance(part, type) and issubclass(part, Config):
                yield from unsourced(part, f"{prefix}{name}.")
        is_off = not field.is_required() and field.default in (None, {}, ())
        if parts & {int, float} and not is_off and name not in NEEDS_NONE:
            if not SOURCE.search(" ".join((field.description or "").split())):
                yield prefix + name


@pytest.mark.parametrize("name", sorted(ALL))
def test_a_name_leads_to_a_class_of_a_documented_configuration(name):
    kind = get_type_hints(import_object(ALL[name]).__init__)["config"]
    fields = documented_fields(kind).items()
    assert not [key for key, field in fields if not field.description], "fields without docstring"
    assert not list(unsourced(kind)), f"{name}: say `Source: …` or `Source: own judgement`"
    for key, field in fields:
        is_path = Path in set(_annotation_parts(field.annotation))
        assert not is_path or key in _file_fields(kind), f"{name}: {key} must be an InputPath"


def test_a_number_without_a_source_is_seen():
    class Bad(Config):
        """Of a step."""

        many: int = 3
        """Of something."""
        most: float | None = None
        """Off."""
        few: int = 1
        """Of something. Source: own judgement."""

    assert list(unsourced(Bad)) == ["many"]


def test_unknown_names_are_errors_that_name_the_nearest():
    assert step_target("web.lines") == STEPS["web.lines"]
    with pytest.raises(ConfigError, match=r"use='web.line' .* did you mean `web.lines`"):
        step_target("web.line")
    assert step_target("mine:Step") == "mine:Step"
    assert all(name.count(".") == 1 and name == name.lower() for name in STEPS | DERIVERS)


@pytest.mark.parametrize("name", sorted(REMOVED))
def test_a_removed_step_is_an_error_that_names_its_replacement(name, tmp_path):
    path = tmp_path / "pipeline.toml"
    path.write_text(f'[[sources]]\nname = "a"\npath = "a"\n[[steps]]\nuse = "{name}"\n')
    with pytest.raises(ConfigError) as error:
        read_pipeline(path)
    assert f"use={name!r} was removed; {REMOVED[name]}" in str(error.value)
    replacements = re.findall(r"`(\w+\.\w+)`", REMOVED[name])
    assert all(map(step_target, replacements)) and name not in ALL


def test_global_steps_are_told_from_steps():
    assert StepSpec("1 a", f"{HERE}:SameText").is_global
    assert not StepSpec("1 a", f"{HERE}:Tidy").is_global
