"""Expressions of a TOML file lose their line breaks and get their fragments."""

import pytest

from groundup.corpus.tables import Tables


def test_fragments_may_use_those_above_them_and_line_breaks_are_layout(tmp_path):
    path = tmp_path / "tables.toml"
    path.write_text("[fragments]\nDIGIT = '[0-9]'\nYEAR = '<DIGIT>{4}'\n[patterns]\nx = 1\n")
    tables = Tables(path)
    assert tables.expand("(?<!x)<YEAR>\n|<DIGIT>") == "(?<!x)[0-9]{4}|[0-9]"
    assert tables.data["patterns"] == {"x": 1}
    with pytest.raises(KeyError):
        tables.expand("<MONTH>")
