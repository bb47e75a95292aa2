"""Of records with one id the first stays, in however many passes that is found out."""

import pytest

pytest.importorskip("pyarrow")
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.corpus.engine.step_results import read_step_results
from groundup.corpus.engine.unique_ids import UniqueIds, UniqueIdsConfig

from .test_shards import record, write


@settings(max_examples=20, deadline=None)
@given(st.lists(st.sets(st.integers(0, 9), max_size=6), min_size=1, max_size=4), st.integers(1, 30))
def test_the_first_of_each_id_stays(tmp_path_factory, shards, at_once):
    folder = tmp_path_factory.mktemp("unique")
    paths, seen, wanted = [], set(), []
    for number, names in enumerate(shards):
        place = folder / str(number)
        place.mkdir()
        with_any = [record(n, "text") for n in names]
        write(place, with_any or [record(100 + number, "text")])
        paths.append(place / "00000.kept.parquet")
        wanted.append({record(n, "").id for n in names & seen})
        seen |= names
    found = UniqueIds(UniqueIdsConfig(memory_bytes=at_once * 100)).rulings(paths, here, folder)
    assert [set(read_step_results(path)) for path in found] == wanted


def here(task, items):
    """An `Each` in this process."""
    return list(map(task, items))
