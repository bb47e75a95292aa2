"""Why a document is in the corpus, or not, and what was cut from it."""

import pytest

pytest.importorskip("pyarrow")

from groundup.core import DataError
from groundup.corpus import why
from groundup.corpus.explain.why import MAX_LISTED_RECORDS

from .made import corpus


def test_a_dropped_record_says_by_which_step_and_why():
    (story,) = why(corpus(), "a.txt#40")
    assert story.split == "" and story.removed[0].reason == "too short"
    assert "01 tidy  dropped   too short" in str(story)


def test_a_kept_record_says_what_was_cut_down_to_its_bytes():
    (story,) = why(corpus(), "a.txt#4")
    (cut,) = story.removed
    assert story.split and "bad " not in story.text
    assert b"line 4 of a bad day <b>"[cut.byte_start : cut.byte_end] == b"bad "
    assert f"bytes {cut.byte_start}-{cut.byte_end}" in str(story)


def test_the_record_that_was_kept_instead_is_told_by_its_path():
    gone = [n for n in (0, 1, 2, 40 + 1, 42, 43) if not why(corpus(), f"a.txt#{n}")[0].split]
    (story,) = why(corpus(), f"notes/a.txt#{gone[0]}")
    (kept,) = story.names.values()
    (other,) = why(corpus(), kept)
    assert other.split and story.removed[0].details == other.id
    assert f"{kept} ({other.id[:12]})" in str(story)


def test_a_files_path_lists_its_records_and_counts_them():
    (file,) = why(corpus(derive=True), "notes/a.txt")
    assert (file.path, file.source, file.kept) == ("a.txt", "notes", 40)
    assert (
        file.dropped == {"same text": 3, "too short": 1} and len(file.records) == MAX_LISTED_RECORDS
    )
    assert "44 records, 40 kept, 4 dropped (3 same text, 1 too short)" in str(file)
    assert "  … and 24 more" in str(file) and "a.txt#0 " in str(file)
    (forked,) = why(corpus(derive=True), "f.txt")
    assert forked.kept == 3, "what was derived is told with its parent"


def test_an_unknown_name_is_an_error():
    with pytest.raises(DataError, match="has no record"):
        why(corpus(), "b.txt")
