"""One text and one id are one record; which one stays depends on sources, ids and shards alone."""

import json
import random
import unicodedata

from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.corpus.dedup.exact import (
    ExactConfig,
    ExactDedup,
    UniqueIds,
    UniqueIdsConfig,
    content_hash,
)
from groundup.corpus.engine.shards import read_step_results
from tests.corpus.dedup.shards import dropped, family, here, record, survey
from tests.corpus.engine.test_shards import record as numbered
from tests.corpus.engine.test_shards import write


def test_any_order_and_any_shards_give_the_same_rulings(tmp_path):
    records = family(1)
    first = survey(ExactDedup(ExactConfig(priority=("other",))), records, tmp_path / "0", 1)
    assert len(dropped(first)) == 8
    assert {ruling.metadata["exact_copies"] for ruling in first.values() if not ruling.reason} == {
        2
    }
    gone = {one.source for one in records if one.id in dropped(first)}
    assert gone == {"s"}  # the better source stays
    random.Random(0).shuffle(records)
    step = ExactDedup(ExactConfig(priority=("other",), memory_bytes=2**16))
    assert survey(step, records, tmp_path / "1", 4) == first


def test_the_smallest_id_stays_and_the_report_tells(tmp_path):
    records = [record(f"{n}", "the same  text" + " " * n) for n in range(6)]
    rulings = survey(ExactDedup(ExactConfig()), records, tmp_path)
    kept = min(one.id for one in records)
    assert set(dropped(rulings)) == {one.id for one in records} - {kept}
    assert all(rulings[name].details == f"{kept} is kept" for name in dropped(rulings))
    report = json.loads((tmp_path / "scratch" / "report.json").read_text())
    assert report["largest"][0]["kept"] == kept and report["sizes"] == {"6": 1}


@given(st.text())
def test_white_space_and_spelling_in_unicode_do_not_count(text):
    spaced = "\n\t" + "  ".join(text.split()) + " "
    assert content_hash(spaced) == content_hash(text)
    assert content_hash(unicodedata.normalize("NFD", text)) == content_hash(text)
    assert (content_hash(text) == b"") == (not text.split())


@settings(max_examples=20, deadline=None)
@given(st.lists(st.sets(st.integers(0, 9), max_size=6), min_size=1, max_size=4), st.integers(1, 30))
def test_the_first_of_each_id_stays(tmp_path_factory, shards, at_once):
    folder = tmp_path_factory.mktemp("unique")
    paths, seen, wanted = [], set(), []
    for number, names in enumerate(shards):
        place = folder / str(number)
        place.mkdir()
        with_any = [numbered(n, "text") for n in names]
        write(place, with_any or [numbered(100 + number, "text")])
        paths.append(place / "00000.kept.parquet")
        wanted.append({numbered(n, "").id for n in names & seen})
        seen |= names
    found = UniqueIds(UniqueIdsConfig(memory_bytes=at_once * 100)).decide(paths, here, folder)
    assert [set(read_step_results(path)) for path in found] == wanted
