"""Why a document is in the corpus, or not, and what was cut from it."""

import pytest

pytest.importorskip("pyarrow")

from groundup.core import DataError
from groundup.corpus import why

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


def test_an_unknown_name_is_an_error():
    with pytest.raises(DataError, match="never saw"):
        why(corpus(), "b.txt")
