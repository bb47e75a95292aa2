"""What is withdrawn leaves a new corpus, is told in the ledger, and who holds it is named."""

import pytest

pytest.importorskip("pyarrow")

from groundup.core import Artifact, ConfigError, DataError, Ledger
from groundup.corpus import WithdrawConfig, read_split, withdraw
from groundup.corpus.explain.withdraw import WITHDRAWALS
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
    entries = list(Ledger(corpus().path / WITHDRAWALS).read())
    assert entries[-1].content["what"]["reason"] == "asked for"
    again = withdraw(config, corpus(), tmp_path / "without", among=home())
    assert again.records == said.records
    assert len(list(Ledger(corpus().path / WITHDRAWALS).read())) == len(entries)


def test_nothing_named_and_nothing_meant_are_errors(tmp_path):
    with pytest.raises(ConfigError, match="Name what leaves"):
        withdraw(WithdrawConfig(), corpus(), tmp_path / "a")
    with pytest.raises(DataError, match="no document that is meant"):
        withdraw(WithdrawConfig(licences=("GPL-*",)), corpus(), tmp_path / "b")
    with pytest.raises(DataError, match="Nothing would be left"):
        withdraw(WithdrawConfig(sources=("notes",)), corpus(), tmp_path / "c")
