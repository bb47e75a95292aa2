"""A prepared corpus can be read back: its counters, what went, one record."""

import pytest

pytest.importorskip("pyarrow")

from groundup.core import ConfigError, DataError
from groundup.corpus.explain.reading import (
    counters,
    identities,
    kept,
    names_of,
    only,
    records,
    removals,
)
from groundup.corpus.prepare.folder import CorpusConfig
from groundup.corpus.prepare.folder import corpus as folder_corpus

from .made import corpus, home


def test_every_record_is_either_kept_or_removed():
    told = counters(corpus())
    read = told["steps"][0]["out"]
    dropped = [one for one in removals(corpus()) if one.what == "record"]
    assert read == 44 and len(identities(corpus())) + len(dropped) == read


def test_removals_can_be_read_by_column():
    reasons = {one.reason for one in removals(corpus(), ("reason",))}
    assert reasons == {"bad word", "too short", "same text"}
    assert all(not one.text for one in removals(corpus(), ("reason",)))


def test_a_record_is_found_by_path_and_by_the_beginning_of_its_id():
    (one,) = kept(corpus(), "a.txt#5")
    assert kept(corpus(), one.record.id[:8]) == kept(corpus(), "notes/a.txt#5") == [one]
    assert one.record.text == "line 5 is good" and one.record.metadata["licence"] == "Apache-2.0"
    assert kept(corpus(), "a.txt") == kept(corpus(), "other/a.txt#5") == []
    with pytest.raises(DataError, match="has no record 'x'"):
        only([], "x", corpus())


def test_records_are_named_whether_they_stayed_or_went():
    gone = next(one for one in removals(corpus()) if one.what == "record")
    _, here = next(records(corpus()))
    found = names_of(corpus(), {gone.id, here.id, "0" * 32})
    assert found == {one.id: f"notes/{one.path}" for one in (gone, here)}
    assert {one.path for _, one in records(corpus(), ("id",))} == {""}


def test_a_corpus_without_a_log_is_refused(tmp_path):
    plain = folder_corpus(CorpusConfig(), home() / "notes", tmp_path / "plain")
    with pytest.raises(ConfigError, match="keeps no log"):
        counters(plain)
