"""The report tells the run's own counts, escapes what it shows and stays small."""

from pathlib import Path

import pytest

pytest.importorskip("pyarrow")

from groundup.corpus import report

from .made import corpus


def test_the_page_holds_the_numbers_the_reasons_and_their_examples(tmp_path):
    told = report(corpus(), out=tmp_path / "page.html")
    html = Path(told.page).read_text()
    assert (told.documents_in, told.documents) == (44, 40)
    assert sum(one.count for one in told.reasons if one.what == "record") == 4
    for word in ("too short", "same text", "bad word", "Apache-2.0", "01 tidy", "a.txt#40"):
        assert word in html
    assert "<b>" not in html.split("<main", 1)[1]
    assert len(html) < 2**20


def test_it_lies_beside_the_corpus_unless_told_otherwise():
    assert report(corpus()).page == str(corpus().path) + "-report.html"


def test_what_was_derived_is_counted_apart(tmp_path):
    told = report(corpus(derive=True), out=tmp_path / "page.html")
    assert told.documents == 43 and 0 < told.derived <= 43
    assert f"43 of 47 documents are kept (91%) + {told.derived} derived" in str(told)
