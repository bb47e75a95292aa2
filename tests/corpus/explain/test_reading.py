"""A prepared corpus can be read back: its counters, what went, one record."""

import pytest

pytest.importorskip("pyarrow")

from groundup.core import DataError
from groundup.corpus.explain.reading import (
    find_records,
    read_counters,
    read_record_infos,
    read_removals,
    record_names,
    require_found,
    splits_by_id,
)

from .made import corpus


def test_every_record_is_either_kept_or_removed():
    told = read_counters(corpus())
    read = told["steps"][0]["out"]
    dropped = [one for one in read_removals(corpus()) if one.what == "record"]
    assert read == 44 and len(splits_by_id(corpus())) + len(dropped) == read


def test_removals_can_be_read_by_column():
    reasons = {one.reason for one in read_removals(corpus(), ("reason",))}
    assert reasons == {"bad word", "too short", "same text"}
    assert all(not one.text for one in read_removals(corpus(), ("reason",)))


def test_a_record_is_found_by_path_and_by_the_beginning_of_its_id():
    (one,) = find_records(corpus(), "a.txt#5")
    assert (
        find_records(corpus(), one.record.id[:8])
        == find_records(corpus(), "notes/a.txt#5")
        == [one]
    )
    assert one.record.text == "line 5 is good" and one.record.metadata["licence"] == "Apache-2.0"
    assert find_records(corpus(), "a.txt") == find_records(corpus(), "other/a.txt#5") == []
    with pytest.raises(DataError, match="has no record 'x'"):
        require_found([], "x", corpus())


def test_records_are_named_whether_they_stayed_or_went():
    gone = next(one for one in read_removals(corpus()) if one.what == "record")
    _, here = next(read_record_infos(corpus()))
    found = record_names(corpus(), {gone.id, here.id, "0" * 32})
    assert found == {one.id: f"notes/{one.path}" for one in (gone, here)}
    assert {one.path for _, one in read_record_infos(corpus(), ("id",))} == {""}
