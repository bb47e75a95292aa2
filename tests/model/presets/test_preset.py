"""A preset tells where it is from."""

import re

import pytest

from groundup.model import presets


@pytest.mark.parametrize("each", presets().values(), ids=lambda each: each.name)
def test_every_preset_has_a_source_with_a_year_and_says_what_is_special(each):
    assert re.search(r"\b(19|20)\d\d\b", each.source)
    assert each.special and not each.special.endswith(".")
    assert not each.differs or each.differs.endswith(".")
    assert re.fullmatch(r"[a-z][a-z0-9.-]*", each.name)
