"""What is withdrawn leaves a new corpus, is told in the ledger, and who holds it is named."""

import json

import pytest

pytest.importorskip("pyarrow")

from groundup.core import Artifact, ConfigError, DataError, Ledger
from groundup.corpus import (
    WithdrawConfig,
    compare_runs,
    prepare,
    read_split,
    report,
    why,
    withdraw,
)
from groundup.corpus.explain.reading import read_counters, read_removals
from groundup.corpus.explain.withdraw import WITHDRAWALS_LEDGER
from groundup.corpus.prepare.stage import _run_summary
from groundup.tokenizer import TokenizerConfig, train_tokenizer

from .made import corpus, home


def texts(artifact: Artifact) -> set[str]:
    return {
        d.path for split in ("train", "validation", "test") for d in read_split(artifact, split)
    }


def test_a_document_leaves_and_what_was_made_from_it_is_named(tmp_path):
    vocabulary = train_tokenizer(TokenizerConfig(vocab_size=275), corpus(), home() / "tokenizer")
    config = WithdrawConfig(documents=("a.txt#5",), reason="asked for")
    said = withdraw(config, corpus(), tmp_path / "without", among=home())
    without = Artifact.open(tmp_path / "without", "corpus")
    assert texts(corpus()) - texts(without) == {"a.txt#5"}
    assert {one.id for one in said.touched} == {corpus().id, vocabulary.id}
    entries = list(Ledger(corpus().path / WITHDRAWALS_LEDGER).read())
    assert entries[-1].content["what"]["reason"] == "asked for"
    again = withdraw(config, corpus(), tmp_path / "without", among=home())
    assert again.records == said.records
    assert len(list(Ledger(corpus().path / WITHDRAWALS_LEDGER).read())) == len(entries)


def test_nothing_named_and_nothing_meant_are_errors(tmp_path):
    with pytest.raises(ConfigError, match="Give the documents"):
        withdraw(WithdrawConfig(), corpus(), tmp_path / "a")
    with pytest.raises(DataError, match="no document selected"):
        withdraw(WithdrawConfig(licences=("GPL-*",)), corpus(), tmp_path / "b")
    with pytest.raises(DataError, match="Nothing would remain"):
        withdraw(WithdrawConfig(sources=("notes",)), corpus(), tmp_path / "c")


def test_a_withdrawn_corpus_explains_itself_without_the_texts(tmp_path):
    config = WithdrawConfig(documents=("a.txt#4", "a.txt#8"))
    withdraw(config, corpus(), tmp_path / "one", among=tmp_path)
    one = Artifact.open(tmp_path / "one", "corpus")
    (story,) = why(one, "a.txt#4")
    assert [(cut.step, cut.reason, cut.text) for cut in story.removed] == [
        ("01 tidy", "bad word", ""), ("withdrawn", "withdrawn", ""),
    ]  # fmt: skip
    (other,) = why(one, "a.txt#12")
    assert other.removed[0].text == "bad ", "what stays is told as before"
    assert {change.reason for change in compare_runs(corpus(), one).gone} == {"withdrawn"}
    told, before = read_counters(one), read_counters(corpus())
    assert told["steps"][-1]["taken"] == {"record": {"withdrawn": 2}}
    assert told["steps"][-1]["in"] - 2 == told["steps"][-1]["out"]
    assert told["reasons"] == before["reasons"] | {"withdrawn": 2}
    assert report(one, out=tmp_path / "page.html").documents == told["steps"][-1]["out"]
    withdraw(WithdrawConfig(documents=("a.txt#12",)), one, tmp_path / "two", among=tmp_path)
    two = Artifact.open(tmp_path / "two", "corpus")
    assert [step["name"] for step in read_counters(two)["steps"]][-2:] == [
        "withdrawn",
        "withdrawn 2",
    ]
    assert len([row for row in read_removals(two) if row.reason == "withdrawn"]) == 3


def test_counts_after_a_withdrawal_are_those_of_what_stays(tmp_path):
    made = corpus(derive=True)
    withdraw(WithdrawConfig(sources=("forked",)), made, tmp_path / "out", among=tmp_path)
    told, before = read_counters(Artifact.open(tmp_path / "out", "corpus")), read_counters(made)
    notes = before["sources"]["notes"]["splits"]
    assert told["sources"]["notes"]["splits"] == told["splits"] == notes
    assert sum(one["documents"] for one in told["sources"]["forked"]["splits"].values()) == 0


def test_the_text_of_a_dropped_duplicate_leaves_the_log_too(tmp_path):
    rows = [one for one in read_removals(corpus()) if one.reason == "same text"]
    withdraw(WithdrawConfig(documents=(rows[0].id,)), corpus(), tmp_path / "out", among=tmp_path)
    out = Artifact.open(tmp_path / "out", "corpus")
    texts = {one.id: one.text for one in read_removals(out) if one.reason == "same text"}
    assert texts[rows[0].id] == "" and texts[rows[1].id] == rows[1].text != ""


def test_a_rows_own_licence_is_withdrawn_and_not_its_sources(tmp_path):
    rows = [
        {"text": f"row {n}", "licence": "GPL-3.0-only" if n % 4 == 0 else None} for n in range(20)
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "p.toml").write_text(
        '[[sources]]\nname = "rows"\npath = "rows.jsonl"\nreader = "jsonl"\nlicence = "MIT"\n'
    )
    made = prepare(tmp_path / "p.toml", tmp_path / "corpus", workers=1)
    stated = {name: one["documents"] for name, one in read_counters(made)["licences"].items()}
    assert stated == {"MIT": 15, "GPL-3.0-only": 5}
    said = withdraw(WithdrawConfig(licences=("GPL-*",)), made, tmp_path / "without")
    assert len(said.records) == 5


def test_a_licence_in_any_spelling_is_withdrawn_and_an_unread_key_is_named(tmp_path):
    gpl = "GPL-3.0-only"
    stated = [
        {"spdx": gpl}, {"metadata": {"license": gpl}}, {"License": gpl}, {"LICENSE": gpl},
        {"licenses": [gpl]}, {"max_stars_repo_licenses": ["MIT", gpl]}, {"license": {"spdx": gpl}},
    ]  # fmt: skip
    rows = stated + [{"license_url": "http://a/"}] * 3 + [{}] * 10
    told = [json.dumps({"text": f"row {n}"} | row) for n, row in enumerate(rows)]
    (tmp_path / "rows.jsonl").write_text("\n".join(told))
    (tmp_path / "p.toml").write_text(
        '[[sources]]\nname = "rows"\npath = "rows.jsonl"\nreader = "jsonl"\nlicence = "CC0-1.0"\n'
    )
    made = prepare(tmp_path / "p.toml", tmp_path / "corpus", workers=1)
    assert {one: row["documents"] for one, row in read_counters(made)["licences"].items()} == {
        "CC0-1.0": 13, gpl: 6, f"MIT, {gpl}": 1
    }  # fmt: skip
    said = _run_summary(read_counters(made), made.path)
    assert said.count("Warning: license_url is not read as a licence (3 documents);") == 1
    for number, pattern in enumerate(("GPL*", gpl)):
        out = tmp_path / f"without-{number}"
        assert len(withdraw(WithdrawConfig(licences=(pattern,)), made, out).records) == 7


def test_each_pattern_that_means_nothing_is_named(tmp_path):
    config = WithdrawConfig(
        documents=("a.txt#5", "a.txt#9999"), licences=("GPL-2*",), sources=("nots",)
    )
    said = withdraw(config, corpus(), tmp_path / "without", among=tmp_path)
    assert len(said.records) == 1
    assert said.unmatched == ("documents a.txt#9999", "licences GPL-2*", "sources nots")
    assert "No document is selected by sources nots." in str(said)
    again = withdraw(config, corpus(), tmp_path / "without", among=tmp_path)
    assert (again.unmatched, again.records) == (said.unmatched, said.records)
    gone = next(one for one in read_removals(corpus()) if one.reason == "too short")
    config = WithdrawConfig(documents=("a.txt#5", gone.path))
    assert withdraw(config, corpus(), tmp_path / "c", among=tmp_path).unmatched == ()
