"""Every number that a step decides by has a source, or is called what it is: our own judgement."""

import importlib
import re
from collections.abc import Iterator
from typing import get_type_hints

import pytest

pytest.importorskip("pyarrow")

from groundup.core import Config
from groundup.corpus.engine.setting_files import _annotation_parts
from groundup.corpus.prepare.steps import CORPUS_STEPS
from groundup.documents import READERS, STEPS

SOURCE = re.compile(r"\bSource\b|\b[Oo]wn (?:judgement|choice)\b|\b[Oo]ur own\b|\[[^\]]+\]")
NEEDS_NONE = ("seed",)
"""Numbers that are no better than others."""
ALL = READERS | STEPS | CORPUS_STEPS


def unsourced(kind: type[Config], prefix: str = "") -> Iterator[str]:
    """Yield the numeric fields without a source; what is off by default needs none."""
    for name, field in kind.model_fields.items():
        parts = set(_annotation_parts(field.annotation))
        for part in parts:
            if isinstance(part, type) and issubclass(part, Config):
                yield from unsourced(part, f"{prefix}{name}.")
        is_off = not field.is_required() and field.default in (None, {}, ())
        if parts & {int, float} and not is_off and name not in NEEDS_NONE:
            if not SOURCE.search(" ".join((field.description or "").split())):
                yield prefix + name


@pytest.mark.parametrize("step", sorted(ALL))
def test_every_number_has_a_source(step):
    module, _, path = ALL[step].partition(":")
    kind = get_type_hints(getattr(importlib.import_module(module), path).__init__)["config"]
    assert not list(unsourced(kind)), f"{step}: say `Source: …` or `Source: own judgement`"


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
