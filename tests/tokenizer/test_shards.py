"""shards.py: documents come back from disk as they were encoded, and a damaged file says so."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.core import Artifact, ArtifactError, Config, ConfigError, DataError, produce
from groundup.corpus import CorpusConfig, corpus, read_split
from groundup.tokenizer import (
    DocumentText,
    FastTokenizer,
    Shard,
    TokenizerConfig,
    TokensConfig,
    encode_corpus,
    train_tokenizer,
    write_tokens,
)
from groundup.tokenizer.compiled import batch_by_size
from groundup.tokenizer.imported.tokenizer import ImportedTokenizer, SpecialFrame
from groundup.tokenizer.shards import BATCH_CHARACTERS, document_special_ids
from tests.tokenizer.corpora import CORPORA, HOSTILE
from tests.tokenizer.imported.fixtures import small

SMALL = FastTokenizer([(b"a", b"b")])


def shards_of(out: Path, splits: dict[str, list[DocumentText]], tokenizer=SMALL) -> Artifact:
    """A tokens artifact of texts."""
    return produce(
        out,
        kind="tokens",
        stage="tokens",
        version=1,
        config=Config(),
        parents={},
        write=lambda draft: write_tokens(draft, tokenizer, splits),
    )


def test_documents_come_back(tmp_path):
    texts = [DocumentText(f"file {n}", text) for n, text in enumerate(HOSTILE)]
    made = shards_of(tmp_path / "tokens", {"train": texts, "test": texts[:1], "validation": []})
    shard = Shard.open(made, "train")
    end = SMALL.special_id("<|endoftext|>")
    assert shard.names == [text.name for text in texts]
    for number, (_, text) in enumerate(texts):
        assert shard.document_ids(number).tolist() == [*SMALL.encode(text), end]
        assert shard.bytes[number] == len(text.encode("utf-8"))
    assert len(shard) == int(shard.ends[-1]) == made.numbers["train"]["tokens"]
    assert len(Shard.open(made, "validation")) == 0
    assert Shard.open(made, "test").document_ids(0).tolist() == [end]
    assert shard.tokenizer == SMALL.digest


def test_ids_are_small_and_stay_on_disk(tmp_path):
    texts = {"train": [DocumentText("a", "abc" * 100)]}
    shard = Shard.open(shards_of(tmp_path / "small", texts), "train")
    assert isinstance(shard.ids, np.memmap) and shard.ids.dtype == np.dtype("<u2")
    many = FastTokenizer([], specials=["<|endoftext|>", *(f"<{n}>" for n in range(66_000))])
    shard = Shard.open(shards_of(tmp_path / "large", texts, many), "train")
    assert shard.ids.dtype == np.dtype("<u4")
    assert shard.document_ids(0).tolist() == [*many.encode("abc" * 100), 256]


def pieces(**settings: str) -> ImportedTokenizer:
    """SentencePiece with scores."""
    return ImportedTokenizer(small("llama").content, settings, small("llama").extra)


@pytest.mark.parametrize(
    ("tokenizer", "frame"),
    [
        (SMALL, SpecialFrame((), (257,))),
        (small("pairs"), SpecialFrame((0,), (1,))),  # <|begin|>, <|end|>
        (small("words"), SpecialFrame((2,), (3,))),  # [CLS], [SEP]
        (pieces(bos_token="<s>", eos_token="</s>"), SpecialFrame((), (2,))),
        (pieces(bos_token="<s>", eos_token="</s>", add_bos_token=True), SpecialFrame((1,), (2,))),
    ],
)
def test_documents_of_any_tokenizer_come_back_in_its_frame(tmp_path, tokenizer, frame):
    texts = [DocumentText(f"file {n}", text) for n, text in enumerate(HOSTILE)]
    shard = Shard.open(shards_of(tmp_path / "tokens", {"train": texts}, tokenizer), "train")
    assert document_special_ids(tokenizer) == frame
    assert shard.tokenizer == tokenizer.digest and shard.ids.dtype == np.dtype("<u2")
    for number, (_, text) in enumerate(texts):
        assert shard.document_ids(number).tolist() == frame.wrap(tokenizer.encode(text))
        assert shard.bytes[number] == len(text.encode())


def test_a_tokenizer_without_an_end_of_text_is_told(tmp_path):
    with pytest.raises(ConfigError, match=r"no end-of-document token: expected <\|endoftext"):
        shards_of(tmp_path / "tokens", {"train": [DocumentText("a", "b")]}, pieces(bos_token="<s>"))


def test_texts_are_encoded_in_groups_of_bounded_size():
    texts = [DocumentText(str(n), "x" * 2**18) for n in range(9)]
    groups = list(batch_by_size(texts, lambda text: len(text.text), BATCH_CHARACTERS))
    assert [len(group) for group in groups] == [4, 4, 1]
    assert [text for group in groups for text in group] == texts
    assert list(batch_by_size([], len, 1)) == []


@given(st.lists(st.integers(0, 9), min_size=1, max_size=20))
def test_every_place_belongs_to_its_document(lengths):
    shard = Shard.from_documents(
        "a", [(str(n), [n] * length, 0) for n, length in enumerate(lengths)], end=99
    )
    found = shard.document_indices(np.arange(len(shard)))
    assert found.tolist() == [n for n, length in enumerate(lengths) for _ in range(length + 1)]


def test_a_truncated_or_edited_file_is_noticed(tmp_path):
    made = shards_of(tmp_path / "tokens", {"train": [DocumentText("a", "abc" * 100)]})
    path = made.file("train.bin")
    content = path.read_bytes()
    path.write_bytes(content[:-2])
    with pytest.raises(DataError, match="instead of .* ids of type"):
        Shard.open(made, "train")
    with pytest.raises(ArtifactError, match="truncated"):
        Artifact.open(made.path)
    path.write_bytes(b"\x00\x00" + content[2:])
    with pytest.raises(ArtifactError, match="damaged or edited"):
        Artifact.open(made.path)


def test_a_split_that_is_not_there_is_named(tmp_path):
    made = shards_of(tmp_path / "tokens", {"train": [DocumentText("a", "abc")]})
    with pytest.raises(DataError, match="no split 'dev'; it has train"):
        Shard.open(made, "dev")


def test_the_stage_encodes_a_corpus(tmp_path):
    (tmp_path / "files").mkdir()
    for number, text in enumerate(CORPORA["python"]):
        (tmp_path / "files" / f"{number}.py").write_text(text, encoding="utf-8")
    config = CorpusConfig(test_share=0.2, validation_share=0.2)
    source = corpus(config, tmp_path / "files", tmp_path / "corpus")
    vocabulary = train_tokenizer(TokenizerConfig(vocab_size=500), source, tmp_path / "tokenizer")
    made = encode_corpus(TokensConfig(), source, vocabulary, tmp_path / "tokens")
    assert {parent.name for parent in made.parents} == {"corpus", "tokenizer"}
    about = json.loads(made.file("tokens.json").read_text())
    assert about["vocab_size"] == 500 and about["splits"] == made.numbers
    for split in ("train", "validation", "test"):
        documents = list(read_split(source, split))
        shard = Shard.open(made, split)
        assert shard.names == [document.path for document in documents]
        assert shard.bytes.tolist() == [len(document.text.encode()) for document in documents]
    with pytest.raises(ConfigError, match="splits train, validation, test; got 'dev'"):
        encode_corpus(TokensConfig(splits=("dev",)), source, vocabulary, tmp_path / "other")
