"""Static vectors embed texts: the mean of their words, rare ones more, without what all share."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from groundup.core import ArtifactError
from groundup.embeddings import StaticEncoder, Vectors, is_static_encoder, load_static_encoder
from groundup.retrieve import IndexConfig, TextEncoderConfig, ask, index
from groundup.tokenizer import load_tokenizer

RNG = np.random.default_rng(0)
WORDS = ["the", "a", "ferry", "boat", "kettle", "tea"]
MATRIX = RNG.normal(size=(6, 8)).astype(np.float32)
MATRIX[3] = MATRIX[2] + 0.05 * MATRIX[3]  # a boat is nearly a ferry


def cosine(a, b):
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_a_text_is_the_weighted_mean_of_its_words_without_the_common_part():
    counts = np.array([5000, 3000, 40, 30, 20, 10])
    encoder = StaticEncoder.of_words(Vectors(WORDS, MATRIX, counts))
    shares = counts / counts.sum()
    weights = 1e-3 / (1e-3 + shares)
    common = ((shares * weights)[:, None] * MATRIX).sum(0)
    expected = (weights[0] * MATRIX[0] + weights[2] * MATRIX[2]) / 2 - common
    (got,) = encoder.embed(["The Ferry, unknown!"])
    assert got.dtype == np.float32 and np.allclose(got, expected, atol=1e-6)
    ferry, boat, tea = encoder.embed(["the ferry", "a boat", "the tea"])
    assert cosine(ferry, boat) > 0.9 > cosine(ferry, tea)


def test_a_text_without_a_known_word_is_zero_and_without_counts_words_weigh_the_same():
    encoder = StaticEncoder.of_words(Vectors(WORDS, MATRIX))
    none, both = encoder.embed(["", "kettle tea"])
    assert not none.any() and np.allclose(both, MATRIX[4:6].mean(0), atol=1e-6)


@pytest.fixture
def directory(tmp_path):
    """A directory as Sentence Transformers writes a StaticEmbedding, and its table."""
    folder = tmp_path / "static" / "0_StaticEmbedding"
    folder.mkdir(parents=True)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, "has", "which"]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    (folder / "config.json").write_text('{"model_type": "bert"}')
    table = RNG.normal(size=(len(words), 16)).astype(np.float16)
    save_file({"embedding.weight": table}, folder / "model.safetensors")
    kind = "sentence_transformers.models.StaticEmbedding.StaticEmbedding"
    modules = [{"idx": 0, "name": "0", "path": folder.name, "type": kind}]
    (tmp_path / "static" / "modules.json").write_text(json.dumps(modules))
    return tmp_path / "static", table


def test_a_directory_of_static_embedding_opens(directory):
    path, table = directory
    assert is_static_encoder(path) and not is_static_encoder(path.parent)
    (got,) = load_static_encoder(path).embed(["ferry tea"])
    ids = load_tokenizer(path / "0_StaticEmbedding").encode("ferry tea")
    assert len(ids) == 2 and np.allclose(got, table[ids].astype(np.float32).mean(0), atol=1e-6)


def test_damaged_directories_are_named(directory):
    path, table = directory
    weights = path / "0_StaticEmbedding" / "model.safetensors"
    save_file({"other": table}, weights)
    with pytest.raises(ArtifactError, match="static holds no static vectors"):
        load_static_encoder(path)
    save_file({"embedding.weight": table[:3]}, weights)
    with pytest.raises(ArtifactError, match="3 vectors for"):
        load_static_encoder(path)
    (path / "modules.json").write_text((path / "modules.json").read_text().replace("0_S", "../0_S"))
    with pytest.raises(ArtifactError, match="is outside"):
        load_static_encoder(path)


def test_an_index_searches_by_static_vectors(directory, tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("# Pier\n\nThe ferry takes the boat. A kettle.\n")
    config = IndexConfig(encoder=TextEncoderConfig(path=str(directory[0])))
    out = tmp_path / "i"
    assert index(tmp_path / "docs", out, config).numbers["documents"] == 1
    assert ask("Which tea has a kettle?", out).details.get("meaning") is not None
