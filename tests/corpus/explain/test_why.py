"""Why a document is in the corpus, or not; how two runs differ; a corpus can be read back."""

import pytest

pytest.importorskip("pyarrow")

from groundup.core import Artifact, DataError
from groundup.corpus import WithdrawConfig, compare_runs, why, withdraw
from groundup.corpus.explain.reading import (
    find_records,
    read_counters,
    read_record_infos,
    read_removals,
    record_names,
    require_found,
)
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


def test_settings_counts_and_documents():
    runs = compare_runs(corpus(4), corpus(15))
    assert ("steps.0.settings.short", 4, 15) in runs.settings
    assert any(name.startswith("01 tidy: record: too short") for name, _, _ in runs.counts)
    assert runs.gone and {one.reason for one in runs.gone} == {"too short"}
    assert runs.came == ()
    assert "steps.0.settings.short: 4 -> 15" in str(runs)


def test_a_withdrawn_corpus_is_compared_by_its_origins_pipeline(tmp_path):
    config = WithdrawConfig(documents=("a.txt#5",), reason="asked for")
    withdraw(config, corpus(), tmp_path / "one", among=tmp_path)
    one = Artifact.open(tmp_path / "one", "corpus")
    withdraw(WithdrawConfig(documents=("a.txt#6",)), one, tmp_path / "two", among=tmp_path)
    runs = compare_runs(corpus(), one)
    assert runs.settings == () and [change.path for change in runs.gone] == ["a.txt#5"]
    said = f"is withdrawn from {corpus().id[:12]}: documents a.txt#5 (asked for)"
    assert said in str(runs).splitlines()[0]
    two = compare_runs(corpus(), Artifact.open(tmp_path / "two", "corpus"))
    assert two.settings == () and len(two.gone) == 2
    assert f"from {one.id[:12]}, from {corpus().id[:12]}: documents a.txt#6" in two.withdrawn[0]
    other = compare_runs(corpus(15), one)
    assert ("steps.0.settings.short", 15, 4) in other.settings


def test_a_run_does_not_differ_from_itself():
    assert str(compare_runs(corpus(), corpus())) == "Nothing differs."


def test_every_record_is_either_kept_or_removed():
    told = read_counters(corpus())
    read = told["steps"][0]["out"]
    dropped = [one for one in read_removals(corpus()) if one.what == "record"]
    ids = {one.id for _, one in read_record_infos(corpus(), ("id",))}
    assert read == 44 and len(ids) + len(dropped) == read


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
