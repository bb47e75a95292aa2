"""A dry run is a page of what each step would do."""

from pathlib import Path

import pytest

pytest.importorskip("pyarrow")

from groundup.corpus import prepare
from groundup.corpus.engine.job import READ_STEP
from groundup.corpus.explain.dry_run import FOLD_CHARACTERS, dry_run_page
from groundup.corpus.prepare.dry_run import DryRunRow

from .made import corpus, home

ROW = DryRunRow("1", "s", "p", "text", "01 cut", "a bad <i>", "a <i>", "", [], {})


def test_what_goes_is_struck_out_and_what_comes_is_marked(tmp_path):
    cut = {"what": "replaced", "start": 2, "end": 6, "put": "new ", "reason": "bad word"}
    html = dry_run_page([ROW._replace(removed=[cut])], tmp_path / "page.html").read_text()
    struck = 'a <del>bad</del><span class="why"> bad word </span> <ins>new </ins>&lt;i&gt;'
    assert struck in html and "a <ins>new </ins>&lt;i&gt;" in html and "1 bad word" in html


def test_of_a_page_all_text_is_shown_with_what_the_step_left_out_struck(tmp_path):
    before = "Home | About\n" + "x" * 8000 + "\nAll rights reserved"
    menu = {"what": "removed", "start": 0, "end": 13, "put": "", "reason": "menu"}
    end = {"what": "removed", "start": 8013, "end": 8033, "put": "", "reason": "footer"}
    row = ROW._replace(before=before, after="x" * 8000, removed=[menu, end], made_of=9000)
    html = dry_run_page([row], tmp_path / "page.html").read_text()
    assert "<del>Home | About</del>" in html and "<del>\nAll rights reserved</del>" in html
    assert "all text in 9.0 kB of text" in html and "1 menu, 1 footer" in html
    left, right = html.split("<pre>")[1:3]
    assert f"{8000 - 2 * FOLD_CHARACTERS:,} characters not shown" in left and "Home" not in right
    whole = row._replace(removed=[], after=before)
    assert "text made" in dry_run_page([whole], tmp_path / "page.html").read_text()


def test_a_dropped_record_says_why_on_the_right(tmp_path):
    gone = {"what": "record", "start": 0, "end": 7, "put": "", "reason": "x", "details": "under 9"}
    row = ROW._replace(after="", reason="too short", removed=[gone])
    html = dry_run_page([row], tmp_path / "page.html").read_text()
    assert "<p>dropped: too short · under 9</p>" in html
    assert (
        html.count('<p class="small">before</p>') == html.count('<p class="small">after</p>') == 1
    )


def test_what_could_not_be_read_is_listed_and_sources_stay_in_order(tmp_path):
    looked = {"parts": 3, "of": 8, "records": 1, "unread": 2}
    one = DryRunRow("", "z", "", "", READ_STEP, "", "", "", [], looked)
    rows = [
        one,
        one._replace(id="2", path="b.gz", reason="cut off", metadata={"details": "at byte 9"}),
        one._replace(id="3", path="c.gz", reason="cut off", metadata={"details": ""}),
        one._replace(source="a", metadata=looked | {"unread": 0}),
        ROW._replace(source="z"),
    ]
    html = dry_run_page(rows, tmp_path / "page.html").read_text()
    assert "cut off · 2: b.gz (at byte 9); c.gz (no details)" in html
    assert "Read 3 of 8 files or parts of files: 1 record could be read, 2 could not." in html
    assert "2 more could not be read. This is a sample" in html
    assert html.index("Source z</h2>") < html.index("Source a</h2>")


def test_the_verb_writes_the_page_and_no_corpus(tmp_path):
    corpus()  # writes the pipeline
    place = prepare(home() / "4False.toml", tmp_path / "out", dry_run=True, samples=30)
    assert Path(str(place)).suffix == ".html" and "bad word" in Path(str(place)).read_text()
    assert not (tmp_path / "out" / "manifest.json").exists()
