"""A record that an earlier corpus has is found, and one that it has not is left."""

import pytest

from groundup.core import ConfigError, DataError
from groundup.corpus.dedup.earlier import EarlierCorpus, EarlierCorpusConfig, build_signature_index
from groundup.corpus.dedup.minhash import MinHashConfig
from groundup.documents import Step
from tests.corpus.dedup.shards import edited, here, record, words, write


@pytest.fixture
def index(tmp_path):
    shards = write([record(f"{n}", words(n, 300)) for n in range(40)], tmp_path / "shards", 3)
    config = MinHashConfig(memory_bytes=2**16)
    return build_signature_index(config, shards, here, tmp_path / "scratch", tmp_path / "index")


def test_near_copies_are_found_and_others_are_not(index):
    step = EarlierCorpus(EarlierCorpusConfig(index=(str(index),)))
    assert isinstance(step, Step)
    for number in range(40):
        near = step(record("new", edited(words(number, 300), 3)))
        assert near.reason and near.value >= 0.8 and near.details.endswith("of index")
        assert record(f"{number}", "").id in near.details
        assert not step(record("new", words(1_000 + number, 300))).reason
        assert not step(record("new", edited(words(number, 300), 60))).reason
    for text in ("", "\0", "two words", "a" * 1_000_000):
        assert not step(record("new", text)).reason


def test_the_index_does_not_depend_on_shards(index, tmp_path):
    shards = write([record(f"{n}", words(n, 300)) for n in range(40)][::-1], tmp_path / "other", 1)
    again = build_signature_index(
        MinHashConfig(), shards, here, tmp_path / "scratch2", tmp_path / "again"
    )
    for name in ("bands.npy", "minima.npy", "ids.npy", "index.json"):
        assert (again / name).read_bytes() == (index / name).read_bytes()


def test_what_is_no_index_is_refused(tmp_path):
    with pytest.raises(DataError, match="build_signature_index"):
        EarlierCorpus(EarlierCorpusConfig(index=(str(tmp_path),)))
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConfigError, match="not empty"):
        build_signature_index(MinHashConfig(), [], here, tmp_path / "s", tmp_path)
