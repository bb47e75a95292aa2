"""The verbs: what a person reads and a script gets, from an artifact or a file."""

import json
import os

import pytest

from groundup.cli import main
from groundup.core import ConfigError
from groundup.embeddings import verbs
from groundup.embeddings.files import read_word2vec


@pytest.fixture
def file(root):
    return root / "tests/fixtures/word2vec/vectors.bin"


@pytest.fixture
def asked(root):
    return json.loads((root / "tests/fixtures/word2vec/expected.json").read_text())["asked"]


def said(capsys, *words):
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return ended.value.code, capsys.readouterr()


def test_neighbours_and_analogies(capsys, file, asked):
    code, told = said(capsys, "vectors", "neighbours", file, "w3", "--count", 2)
    assert code == 0 and told.out.splitlines()[1].split()[0] == asked["neighbours"][0][0]
    code, told = said(capsys, "vectors", "analogy", file, "w1", "w5", "w2", "--json")
    found = json.loads(told.out)
    assert found["asked"] == "w1 is to w5 as w2 is to" and len(found["neighbours"]) == 10


def test_an_unknown_word_is_one_line(capsys, file):
    code, told = said(capsys, "vectors", "neighbours", file, "w333")
    assert code == 2 and "similar words: w33" in told.err and told.err.count("\n") == 1


@pytest.mark.parametrize("words", ["neighbours {} w3", "similarity {} {}", "similarity file {}"])
def test_a_pipe_is_one_line_and_is_not_waited_for(capsys, file, tmp_path, words):
    os.mkfifo(pipe := tmp_path / "pipe")
    given = [{"{}": pipe, "file": file}.get(word, word) for word in words.split()]
    code, told = said(capsys, "vectors", *given)
    assert code == 1 and told.err.count("\n") == 1
    assert f"{pipe} cannot be read: no regular file." in told.err


def test_tests_by_their_kind(capsys, file, asked, tmp_path):
    (tmp_path / "pairs.tsv").write_text(asked["pairs"])
    (tmp_path / "questions.txt").write_text(asked["questions"])
    paths = [tmp_path / "pairs.tsv", tmp_path / "questions.txt"]
    code, told = said(capsys, "vectors", "similarity", file, *paths)
    lines = told.out.splitlines()
    assert code == 0 and lines[0].startswith("pairs.tsv: Spearman")
    assert lines[1] == "questions.txt:" and len(lines) == 5
    with pytest.raises(ConfigError, match="Give a test file"):
        verbs.rate_similarity(file, [])


@pytest.mark.parametrize("by", ["pca", "tsne"])
def test_words_are_drawn(file, tmp_path, by):
    written = verbs.plot(file, tmp_path / "a.html", near=["w1", "w7"], count=4, by=by)
    text = (tmp_path / "a.html").read_text()
    assert 6 <= written.words <= 10 and text.count("<circle") == written.words
    assert "series-2" in text
    assert verbs.plot(file, tmp_path / "b.html", count=2).words == 20
    assert verbs.plot(file, tmp_path / "c.html", word=["w1", "w2"]).words == 2
    with pytest.raises(ConfigError, match="must end in .html"):
        verbs.plot(file, tmp_path / "a.png")


def test_files_are_written_in_either_form(file, tmp_path):
    verbs.export(file, tmp_path / "v.txt")
    verbs.export(tmp_path / "v.txt", tmp_path / "v.bin")
    assert (tmp_path / "v.bin").read_bytes() == file.read_bytes()
    assert read_word2vec(tmp_path / "v.txt").words[-1] == "naïve"
    with pytest.raises(ConfigError, match=".bin .binary. or .txt"):
        verbs.export(file, tmp_path / "v.npy")


def test_one_word_in_two_sentences(tiny_model, capsys):
    texts = ["the bank of the river", "the bank lends money"]
    code, told = said(capsys, "vectors", "context", tiny_model, "bank", *texts, "--layer", 0)
    assert code == 0
    lines = told.out.splitlines()
    assert lines[0] == "  1  the bank of the river" and len(lines) == 5
    assert lines[3].split()[1] == "1.000"


@pytest.fixture
def tiny_model(tmp_path):
    from groundup.model import Transformer, from_depth, save
    from groundup.tokenizer import FastTokenizer, save_tokenizer, train_bpe

    tokenizer = FastTokenizer(train_bpe(["the bank lends the river money"] * 9, vocab_size=280))
    save_tokenizer(tokenizer, tmp_path / "tokenizer")
    config = from_depth(1, tokenizer.vocab_size).config
    save(Transformer(config), tmp_path / "model", tmp_path / "tokenizer")
    return tmp_path / "model"
