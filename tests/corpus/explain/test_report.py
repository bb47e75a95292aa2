"""The report tells the run's own counts, escapes what it shows and stays small."""

import json
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("pyarrow")

from groundup.corpus import report
from groundup.corpus.explain.report import Licence, licences
from groundup.corpus.prepare.write import count_licence
from groundup.corpus.prepare.write import licences as counted_licences
from groundup.results import json_ready

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
    told = json_ready(report(corpus(derive=True), out=tmp_path / "page.html"))
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
    assert list(licences(told)) == [Licence("", "a", 3, 90), Licence("MIT", "b", 3, 90)]
    counts = Counter()
    count_licence({"license": "GPL|x"}, 5, counts)
    count_licence({"licence": ["MIT", "Zlib"]}, 7, counts)
    count_licence({}, 2, counts)
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
