"""Who leaves: what is meant, what was derived of it, what holds its text under another name."""

import pytest

pytest.importorskip("pyarrow")

from groundup.core import DataError
from groundup.corpus import WithdrawConfig, prepare
from groundup.corpus.explain.reading import read_record_infos
from groundup.corpus.explain.withdrawal_closure import (
    RecordInfo,
    _derived_ids,
    _find_copies,
    _licence_parts,
    withdrawal_closure,
)
from groundup.documents import Removal, record_id

from .made import corpus


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
