"""What is withdrawn leaves a new corpus, with what was derived of it and copies of its text."""

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
from groundup.corpus.explain.reading import (
    RecordInfo,
    read_counters,
    read_record_infos,
    read_removals,
)
from groundup.corpus.explain.withdraw import (
    WITHDRAWALS_LEDGER,
    _derived_ids,
    _find_copies,
    _licence_parts,
    withdrawal_closure,
)
from groundup.corpus.prepare.stage import _run_summary
from groundup.documents import Removal, record_id
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


def paths(found) -> set[str]:
    return {one.path for one in found.kept.values()}


def lost(name: str, reason: str, details: str) -> Removal:
    return Removal(name, "s", name, "02 x", "record", reason, None, details, 0, 0, 0, 0, "", "")


def test_what_was_derived_leaves_with_its_parent():
    made = corpus(derive=True)
    names = [f"a.txt#{n}" for n in range(3, 20)]
    found = paths(withdrawal_closure(made, WithdrawConfig(documents=tuple(names))))
    assert set(names) < found, "some of them train, and something was derived of those"
    assert found - set(names) <= {f"{name}#twice-0" for name in names}


def test_children_of_children_leave_and_rings_end():
    rows = [("b", "a"), ("c", "b"), ("d", "x"), ("a", "c")]
    held = [RecordInfo(id, "s", id, {"parent": of}) for id, of in rows]
    assert set(_derived_ids({"a"}, held)) == {"b", "c"}


def test_a_duplicate_takes_the_record_that_was_kept_instead():
    kept = {record_id("notes", f"a.txt#{n}"): f"a.txt#{n}" for n in (1, 41, 42)}
    one, other = (record_id("notes", name) for name in ("a.txt#1", "a.txt#42"))
    dropped, stays = sorted([one, other], reverse=True)
    found = withdrawal_closure(corpus(), WithdrawConfig(documents=(kept[dropped],)))
    assert paths(found) == {kept[stays]} and found.dropped == {dropped}


def test_a_files_path_means_all_its_records_and_a_source_may_stand_before():
    made = corpus(derive=True)
    found = withdrawal_closure(made, WithdrawConfig(documents=("f.txt",)))
    assert {path for path in paths(found) if path.count("#") == 1} == {
        f"f.txt#{n}" for n in (0, 1, 2)
    }
    assert paths(withdrawal_closure(made, WithdrawConfig(documents=("forked/f.txt",)))) == paths(
        found
    )
    assert paths(withdrawal_closure(corpus(), WithdrawConfig(documents=("notes/a.txt#5",)))) == {
        "a.txt#5"
    }
    with pytest.raises(
        DataError, match="selected by documents a.tx; sources web; `groundup corpus report`"
    ):
        withdrawal_closure(made, WithdrawConfig(documents=("a.tx",), sources=("web",)))


def test_copies_are_followed_through_later_drops():
    a, b, c = (str(n) * 32 for n in (1, 2, 3))
    rows = {a: lost(a, "exact duplicate", f"{b} is kept")}
    rows[b] = lost(b, "near-duplicate", f"{c} is kept")
    held = {c: RecordInfo(c, "s", "c", {})}
    assert list(_find_copies(rows[a], held, rows)) == [c]
    rows[a] = lost(a, "same page", "of guide/b.html")
    rows[b] = rows[b]._replace(path="guide/b.html")
    assert list(_find_copies(rows[a], held, rows)) == [c]
    rows[b] = lost(b, "too short", "")
    assert list(_find_copies(lost(a, "same", f"{b} is kept"), {}, rows)) == [], "it went too"


@pytest.mark.parametrize(
    "reason, details",
    [
        ("code: copy of a repository", "kept: linux"),
        ("nothing but substrings seen before", f"first of {'3' * 32}"),
        ("too little but sentences seen before", "1 sentences of 3 words would be left"),
        ("exact duplicate", f"{'4' * 32} is kept"),
    ],
)
def test_where_it_cannot_be_told_withdrawal_is_refused_with_what_to_do(reason, details):
    held = {"3" * 32: RecordInfo("3" * 32, "s", "c", {})}
    with pytest.raises(DataError, match="list them in `documents` instead of x"):
        list(_find_copies(lost("x", reason, details), held, {}))
    earlier = lost("x", "near-duplicate of an earlier corpus", f"{'3' * 32} of old")
    assert list(_find_copies(earlier, held, {})) == [], "its text is not in this corpus"


def test_any_part_of_a_licence_counts_whatever_its_case():
    found = withdrawal_closure(corpus(derive=True), WithdrawConfig(licences=("gpl-*",)))
    assert {path.split("#")[0] for path in paths(found)} == {"f.txt"}
    gpl = ["mit or (gpl-2.0-only with x)", "mit", "gpl-2.0-only", "x"]
    assert _licence_parts("MIT OR (GPL-2.0-only WITH x)") == gpl
    assert _licence_parts("MIT/Apache-2.0") == ["mit/apache-2.0", "mit", "apache-2.0"]
    assert _licence_parts(["MIT", "BSD-3-Clause"]) == ["mit", "bsd-3-clause"]
    assert _licence_parts(None) == _licence_parts("") == _licence_parts({"a": 1}) == []
    with pytest.raises(DataError, match="no document selected"):
        withdrawal_closure(corpus(derive=True), WithdrawConfig(licences=("GPL",)))


MAIL = """From: {who}@x.org
To: list@x.org
Date: Mon, {day} Jul 2002 10:00:00 +0000
Subject: tea
Message-ID: <{day}@x.org>
{reply}
{text}
"""
THREAD = """
split = { validation_share = 0.0, test_share = 0.0 }
sources = [
    { name = "list", path = "list", reader = "mail", licence = "CC0-1.0" },
    { name = "notes", path = "notes" },
]
steps = [{ use = "conversations.join" }]
"""


def test_a_message_leaves_with_the_thread_that_holds_its_text(tmp_path):
    reply = "In-Reply-To: <1@x.org>\n"
    (tmp_path / "list").mkdir()
    (tmp_path / "notes").mkdir()
    for name, mail in (
        ("1.eml", MAIL.format(who="ann", day=1, reply="", text="Where is the tea?")),
        ("2.eml", MAIL.format(who="bob", day=2, reply=reply, text="In the old tin box.")),
    ):
        (tmp_path / "list" / name).write_text(mail)
    (tmp_path / "notes" / "n.txt").write_text("A note about something else.")
    (tmp_path / "thread.toml").write_text(THREAD)
    made = prepare(tmp_path / "thread.toml", tmp_path / "corpus", workers=1)
    held = [one for _, one in read_record_infos(made) if one.source == "list"]
    assert len(held) == 1, "two messages are one record"
    reply_path = next(row["path"] for row in held[0].metadata["messages"] if "2" in row["path"])
    for config in (
        WithdrawConfig(documents=(reply_path,)),
        WithdrawConfig(licences=("CC0-*",)),
        WithdrawConfig(sources=("list",)),
    ):
        assert set(withdrawal_closure(made, config).kept) == {held[0].id}, config
