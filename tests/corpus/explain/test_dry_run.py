"""A dry run is a page of what each step would do."""

from pathlib import Path

import pytest

pytest.importorskip("pyarrow")

from groundup.corpus import prepare
from groundup.corpus.explain.dry_run import dry_run_page
from groundup.corpus.prepare.sample import Shown

from .made import corpus, home

ROW = Shown("1", "s", "p", "text", "01 cut", "a bad <i>", "a <i>", "", [], {})


def test_what_goes_is_struck_out_and_what_comes_is_marked(tmp_path):
    cut = {"what": "replaced", "start": 2, "end": 6, "put": "new ", "reason": "bad word"}
    html = dry_run_page([ROW._replace(removed=[cut])], tmp_path / "page.html").read_text()
    assert "a <del>bad </del><ins>new </ins>&lt;i&gt;" in html and "1 bad word" in html


def test_a_dropped_record_says_why(tmp_path):
    page = dry_run_page([ROW._replace(after="", reason="too short")], tmp_path / "page.html")
    assert "dropped: too short" in page.read_text()


def test_the_verb_writes_the_page_and_no_corpus(tmp_path):
    corpus()  # writes the pipeline
    place = prepare(home() / "4False.toml", tmp_path / "out", dry_run=True, samples=30)
    assert Path(str(place)).suffix == ".html" and "bad word" in Path(str(place)).read_text()
    assert not (tmp_path / "out" / "manifest.json").exists()
