"""gensim's files, both ways; what is cut, too long or no number is an error, and cheap."""

import resource

import numpy as np
import pytest
from safetensors.numpy import load_file

from groundup.core import ArtifactError, Config, DataError, produce
from groundup.embeddings.files import load_vectors, read_word2vec, save_vectors, write_word2vec
from groundup.embeddings.vectors import Vectors


@pytest.fixture
def folder(root):
    return root / "tests/fixtures/word2vec"


@pytest.fixture
def vectors():
    rows = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    return Vectors(["the", "naïve", "cat-like", "日本"], rows)


def test_a_word_of_gloves_with_a_space_may_stand_first(tmp_path):
    (tmp_path / "glove.txt").write_text("at name@domain 0.5 -1\nthe 1 2\n7 3 4\n")
    found = read_word2vec(tmp_path / "glove.txt")
    assert found.words == ["at name@domain", "the", "7"] and found.width == 2
    (tmp_path / "number.txt").write_text("7 3 4\nthe 1 2\n")
    assert read_word2vec(tmp_path / "number.txt").words == ["7", "the"]


@pytest.mark.parametrize("name", ["vectors.bin", "vectors.txt"])
def test_gensims_files_are_read_and_written(folder, tmp_path, name):
    found = read_word2vec(folder / name)
    wanted = load_file(folder / "training.safetensors")["skip_gram-negatives.last"] * 10
    assert np.array_equal(found.matrix, wanted) and found.words[-1] == "naïve"
    write_word2vec(found, tmp_path / name, "binary" if name.endswith("bin") else "text")
    assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


@pytest.mark.parametrize("form", ["binary", "text"])
def test_round_trip(vectors, tmp_path, form):
    write_word2vec(vectors, tmp_path / "v", form)
    found = read_word2vec(tmp_path / "v")
    assert found.words == vectors.words and np.array_equal(found.matrix, vectors.matrix)
    assert np.array_equal(read_word2vec(tmp_path / "v", form).matrix, vectors.matrix)


def test_lines_of_word2vec_c_and_gloves_lack_of_a_header(vectors, tmp_path):
    parts = [f"{w} ".encode() + row.tobytes() + b"\n" for w, row in
             zip(vectors.words, vectors.matrix, strict=True)]  # fmt: skip
    (tmp_path / "c.bin").write_bytes(b"4 3\n" + b"".join(parts))
    assert np.array_equal(read_word2vec(tmp_path / "c.bin").matrix, vectors.matrix)
    lines = [f"{w} {' '.join(map(str, row))}\n" for w, row in
             zip(vectors.words, vectors.matrix, strict=True)]  # fmt: skip
    (tmp_path / "glove.txt").write_text("".join(lines))
    assert read_word2vec(tmp_path / "glove.txt").words == vectors.words


@pytest.mark.parametrize("form", ["binary", "text"])
def test_every_cut_is_an_error(vectors, tmp_path, form):
    write_word2vec(vectors, tmp_path / "whole", form)
    whole = (tmp_path / "whole").read_bytes()
    for length in range(len(whole)):
        (tmp_path / "cut").write_bytes(whole[:length])
        with pytest.raises(DataError, match="cut"):
            read_word2vec(tmp_path / "cut")


def test_mutations_are_errors_or_vectors(vectors, tmp_path):
    stream = np.random.default_rng(0)
    for form in ("binary", "text"):
        write_word2vec(vectors, tmp_path / "whole", form)
        whole = bytearray((tmp_path / "whole").read_bytes())
        for _ in range(150):
            changed = bytearray(whole)
            for place in stream.integers(len(whole), size=3):
                changed[place] = stream.integers(256)
            (tmp_path / "changed").write_bytes(changed)
            try:
                assert np.isfinite(read_word2vec(tmp_path / "changed").matrix).all()
            except DataError as error:
                assert "changed" in str(error)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not a vectors file"),
        (b"hello world\n", "not a vectors file"),
        (b"0 3\n", "0 words"),
        (b"2 2\na 1 2\nb 1 2\nc 1 2\n", "has data after"),
        (b"2 2\na 1 2\na 1 2\n", "'a' has two vectors"),
        (b"2 2\na 1 2\nb 1 nan\n", "not finite"),
        (b"2 2\na 1 2\nb 1 x\n", "could not convert"),
        (b"2 2\na 1 2 3\n1 2 4 5\nb\n", "expected a word"),
        (b"1 1\n\xff 1\n", "not UTF-8"),
        (b"1 1\nab \x00\x00\x80\x3f\x00\x01", "after its 1 words"),
    ],
)
def test_wrong_files_are_told(tmp_path, content, said):
    (tmp_path / "v").write_bytes(content)
    with pytest.raises(DataError, match="(?s)" + said if said != "expected a word" else "v"):
        read_word2vec(tmp_path / "v")


def test_huge_counts_do_not_allocate(tmp_path):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for head in (b"99999999999 300\n", b"3000000 999999\n"):
        for body in (b"a 1 2 3\n", b"a \x01\x02\x03\x04"):
            (tmp_path / "v").write_bytes(head + body)
            with pytest.raises(DataError, match="truncated"):
                read_word2vec(tmp_path / "v")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kilobytes


def test_words_that_the_format_cannot_hold(tmp_path):
    for word in ("two words", "", "line\n"):
        with pytest.raises(DataError, match="white space"):
            write_word2vec(Vectors([word], np.ones((1, 2))), tmp_path / "v")
        assert not list(tmp_path.iterdir())


def artifact_of(vectors, out):
    return produce(
        out, kind="vectors", stage="vectors", version=1, config=Config(), parents={},
        write=lambda draft: save_vectors(vectors, draft),
    )  # fmt: skip


@pytest.mark.parametrize("counts", [None, np.array([9, 5, 3, 1])])
def test_artifacts_hold_words_and_counts(vectors, tmp_path, counts):
    artifact_of(Vectors(vectors.words, vectors.matrix, counts), tmp_path / "out")
    found = load_vectors(tmp_path / "out")
    assert found.words == vectors.words and np.array_equal(found.matrix, vectors.matrix)
    assert found.counts is None if counts is None else np.array_equal(found.counts, counts)


def test_what_is_no_artifact_of_vectors(vectors, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ArtifactError, match="not a vectors artifact"):
        load_vectors(tmp_path / "empty")
    with pytest.raises(DataError, match="cannot be read"):
        load_vectors(tmp_path / "absent.bin")
    artifact_of(vectors, tmp_path / "out")
    (tmp_path / "out" / "vectors.safetensors").write_bytes(b"cut")
    with pytest.raises(ArtifactError, match="truncated"):
        load_vectors(tmp_path / "out")
