"""The report tells the counts of the complete corpus, escapes what it shows and stays small."""

import json
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("pyarrow")

from groundup.core import Artifact
from groundup.corpus import WithdrawConfig, prepare, report, withdraw
from groundup.corpus.explain.reading import read_counters
from groundup.corpus.explain.report import (
    FunnelStage,
    SourceLicence,
    _funnel_table,
    _source_licences,
    build_funnel,
)
from groundup.corpus.prepare.stage import _run_summary
from groundup.corpus.prepare.write import _count_licence
from groundup.corpus.prepare.write import licence_counts as counted_licences
from groundup.flags import _json_ready

from .made import corpus

FORKED = "MIT OR (GPL-3.0-only AND Zlib)"


def test_the_page_holds_the_numbers_the_reasons_and_their_examples(tmp_path):
    told = report(corpus(), out=tmp_path / "page.html")
    html = Path(told.page).read_text()
    assert (told.documents_in, told.documents) == (44, 40)
    assert sum(one.count for one in told.reasons if one.what == "record") == 4
    for word in ("too short", "same text", "bad word", "Apache-2.0", "01 tidy", "a.txt#40"):
        assert word in html
    assert "<b>" not in html.split("<main", 1)[1]
    assert len(html) < 2**20


def test_json_tells_what_the_page_shows(tmp_path):
    told = _json_ready(report(corpus(derive=True), out=tmp_path / "page.html"))
    assert json.loads(json.dumps(told)) == told
    assert [one["name"] for one in told["funnel"]] == [
        "00 read", "01 tidy", "02 same", "99 text", "01 twice",
    ]  # fmt: skip
    bad = next(one for one in told["reasons"] if one["reason"] == "bad word")
    assert len(bad["examples"]) == 4 and bad["examples"][0]["text"] == "bad"
    assert sum(n for _, n in told["histograms"]["length"]) == told["documents"] + told["derived"]
    assert {name: one["read"] for name, one in told["sources"].items()} == {
        "notes": 44, "forked": 3,
    }  # fmt: skip
    stated = {(one["licence"], one["source"]): one["documents"] for one in told["licences"]}
    assert sum(stated.values()) == told["documents"] + told["derived"]
    assert set(stated) == {("Apache-2.0", "notes"), (FORKED, "forked")}
    assert sum(one["characters"] for one in told["licences"]) == told["characters"]


def test_what_one_document_states_counts_over_its_sources_licence():
    own = {"documents": 3, "characters": 90}
    splits = {"train": {"documents": 3, "characters": 90}}
    source = {"licence": "MIT", "splits": splits}
    told = {"sources": {"a": source | {"licences": {"": own}}, "b": source}}
    assert list(_source_licences(told)) == [
        SourceLicence("", "a", 3, 90),
        SourceLicence("MIT", "b", 3, 90),
    ]
    counts = Counter()
    _count_licence({"license": "GPL|x"}, 5, counts)
    _count_licence({"licence": ["MIT", "Zlib"]}, 7, counts)
    _count_licence({}, 2, counts)
    assert counted_licences(counts) == {
        "": {"documents": 1, "characters": 2},
        "GPL/x": {"documents": 1, "characters": 5},
        "MIT, Zlib": {"documents": 1, "characters": 7},
    }


def test_it_lies_beside_the_corpus_unless_told_otherwise():
    assert report(corpus()).page == str(corpus().path) + "-report.html"


def test_what_was_derived_is_counted_apart(tmp_path):
    told = report(corpus(derive=True), out=tmp_path / "page.html")
    assert told.documents == 43 and 0 < told.derived <= 43
    assert f"43 of 47 documents are kept (91%) + {told.derived} derived" in str(told)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """A folder of pages with pictures and links beside them, and one page that is broken."""
    root = tmp_path_factory.mktemp("mixed")
    (root / "in").mkdir()
    for n in range(6):
        lines = "\n".join(f"Previous | Next\nSentence {n}-{m} of a page is here." for m in range(9))
        (root / "in" / f"p{n}.txt").write_text(lines)
        (root / "in" / f"p{n}.png").write_bytes(b"\x89PNG")
    (root / "in" / "link.txt").symlink_to("p0.txt")
    (root / "in" / "broken.txt").write_bytes(b"a\0b")
    toml = '[[sources]]\nname = "in"\npath = "in"\n[[steps]]\nuse = "web.lines"\n'
    (root / "p.toml").write_text(toml)
    return prepare(root / "p.toml", root / "corpus", workers=1)


def test_files_that_are_no_documents_are_counted_apart(mixed):
    told = report(mixed)
    assert (told.documents_in, told.documents, told.files_skipped) == (7, 6, 7)
    assert str(told).startswith("6 of 7 documents are kept (86%)")
    assert "7 files that are not documents were skipped" in str(told)
    assert told.funnel[0][1:3] == (7, 1) and told.funnel[0].documents == 6
    html = Path(told.page).read_text()
    assert "of 7 read, 7 other files skipped" in html and "1 could not be read" in html
    assert {one.reason: one.count for one in told.reasons if one.what == "record"} == {
        "another kind of file": 6, "link inside the folder": 1, "binary": 1,
    }  # fmt: skip
    said = _run_summary(read_counters(mixed), mixed.path).splitlines()
    assert said[0].startswith("7 documents read: 6 kept (") and said[0].endswith(", 1 dropped")
    assert said[1] == "  7 files skipped that are no documents (pictures, links, …)"
    assert said[2] == "  dropped most: 1 binary"


def test_examples_of_a_reason_are_of_different_documents(mixed):
    pager = next(one for one in report(mixed).reasons if one.what == "removed")
    assert pager.count == 54 and len({one.id for one in pager.examples}) == 4


def step(name: str, came: int, left: int, characters: int, **more):
    gone = {"record": {"x": came - left}} if came > left else {}
    return {"name": name, "in": came, "out": left, "characters": characters, "taken": gone} | more


def test_a_step_that_sees_a_part_takes_from_the_whole():
    rows = build_funnel({"steps": [
        step("00 read", 10, 8, 100, bytes=5000),
        step("01 pages", 3, 2, 700, grew=680),
        step("02 all", 7, 7, 770, grew=-10),
        step("03 code", 2, 1, 5, grew=-40),
        step("99 text", 6, 6, 730, grew=0),
        step("engine", 1, 0, 0, grew=-30),
    ]})  # fmt: skip
    assert [(one.saw, one.documents, one.characters) for one in rows] == [
        (10, 8, 100), (3, 7, 780), (7, 7, 770), (2, 6, 730), (6, 6, 730), (1, 5, 700),
    ]  # fmt: skip
    older = build_funnel(
        {"steps": [step("00 read", 8, 8, 100), step("01 x", 2, 1, 9), step("02 y", 7, 7, 90)]}
    )
    assert [one.characters for one in older] == [100, None, 90]


def test_a_runs_last_station_is_what_the_corpus_holds():
    told = read_counters(corpus(derive=True))
    splits = told["splits"].values()
    rows = build_funnel(told)
    assert rows[-1].derived == sum(one["derived"] for one in splits) > 0
    assert rows[-1].documents == sum(one["documents"] for one in splits)
    assert rows[-1].characters == sum(one["characters"] for one in splits)
    totals = [one.documents for one in rows if not one.derived]
    assert totals == sorted(totals, reverse=True), "a funnel only narrows"
    (tidy,) = [one for one in rows if one.name == "01 tidy"]
    assert (tidy.saw, tidy.dropped, tidy.slices) == (47, 1, 11)


def test_withdrawal_is_its_last_station(tmp_path):
    withdraw(
        WithdrawConfig(documents=("f.txt",)), corpus(derive=True), tmp_path / "out", among=tmp_path
    )
    told = read_counters(Artifact.open(tmp_path / "out", "corpus"))
    last, splits = build_funnel(told)[-1], told["splits"].values()
    assert last.name == "withdrawn" and last.dropped >= 3 and last.derived == 0
    assert last.documents == sum(one["documents"] for one in splits)
    assert last.characters == sum(one["characters"] for one in splits)
    assert {one["licence"] for one in told["sources"].values()} > set(told["licences"])


def test_a_row_of_the_funnel_says_what_was_read_and_what_is_left():
    html = _funnel_table(
        (FunnelStage("00 read", 9, 1, 0, 0, 8, None, 2000), FunnelStage("01 x", 8, 4, 2, 0, 4, 7))
    )
    assert ">read<" in html and "9 (2.0 kB)" in html and "not counted" in html
    assert "width:88.9%" in html and "width:44.4%" in html
