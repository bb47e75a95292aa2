"""The stage: text or a corpus in, an artifact out; twice is the same; refusals leave none."""

import numpy as np
import pytest

from groundup.core import ArtifactError, ConfigError, DataError
from groundup.corpus import CorpusConfig, corpus
from groundup.embeddings.files import load_vectors
from groundup.embeddings.train import VectorsConfig, train_vectors

SMALL = {"min_count": 2, "threads": 1, "word2vec": {"width": 8, "epochs": 2},
         "glove": {"width": 8, "epochs": 3}}  # fmt: skip


@pytest.fixture
def text(tmp_path):
    stream = np.random.default_rng(0)
    words = [f"word{'abcdefghij'[n]}" for n in range(10)]
    lines = [" ".join(stream.choice(words, 9)).capitalize() + "." for _ in range(300)]
    path = tmp_path / "text.txt"
    path.write_text("\n\n".join(lines) + "\n\nOnce only.\n")
    return path


@pytest.mark.parametrize("method", ["word2vec", "glove"])
def test_text_becomes_vectors(text, tmp_path, method):
    config = VectorsConfig(method=method, **SMALL)
    made = train_vectors(config, tmp_path / "out", text=[text])
    found = load_vectors(made.path)
    assert len(found) == 10 and found.width == 8 and "once" not in found
    assert found.counts is not None and found.counts.sum() == 2700
    assert made.numbers["text_words"] == 2702 and made.numbers["trained_words"] == 2700
    assert len(made.numbers.get("losses", [0] * 3)) == 3
    assert train_vectors(config, tmp_path / "out", text=[text]).id == made.id
    again = train_vectors(config, tmp_path / "again", text=[text])
    assert again.id == made.id
    assert not (tmp_path / "out" / ".scratch").exists()


def test_a_corpus_is_a_parent(text, tmp_path):
    folder = tmp_path / "docs"
    folder.mkdir()
    for number, part in enumerate(text.read_text().split("\n\n")):
        (folder / f"{number}.txt").write_text(part + " " + str(number))
    config = CorpusConfig(near_duplicate_threshold=0, min_chars=1)
    made = corpus(config, folder, tmp_path / "corpus")
    vectors = train_vectors(VectorsConfig(**SMALL), tmp_path / "out", corpus=made)
    assert [parent.id for parent in vectors.parents] == [made.id]
    assert len(load_vectors(vectors.path)) == 10


def test_phrases_become_words(tmp_path):
    path = tmp_path / "t.txt"
    path.write_text("".join(f"in new york it {w}.\n\n" for w in ("rains", "snows", "is") * 9))
    config = VectorsConfig(phrases={"passes": 1, "threshold": 0.1}, **SMALL)
    found = load_vectors(train_vectors(config, tmp_path / "out", text=[path]).path)
    assert {"in_new", "york_it"} & set(found.words)


def test_what_cannot_be_trained_leaves_nothing(text, tmp_path):
    config = VectorsConfig(**SMALL)
    with pytest.raises(ConfigError, match="either --corpus"):
        train_vectors(config, tmp_path / "out")
    with pytest.raises(ConfigError, match="There is no file"):
        train_vectors(config, tmp_path / "out", text=[tmp_path / "absent.txt"])
    few = config.model_copy(update={"min_count": 9999})
    with pytest.raises(DataError, match="lower min_count"):
        train_vectors(few, tmp_path / "out", text=[text])
    train_vectors(config, tmp_path / "out", text=[text])
    with pytest.raises(ArtifactError, match="min_count=2.*min_count=9999"):
        train_vectors(few, tmp_path / "out", text=[text])
