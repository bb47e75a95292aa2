# ruff: noqa: F811
"""Search among many vectors: bytes first, codes of four bits, and copies that count once."""

import hashlib
import sys

import numpy as np
import pytest

from groundup.core import ArtifactError, MissingExtra, record
from groundup.retrieve import answer_question, index, open_index
from groundup.retrieve.encoders import meaning, quantized
from groundup.retrieve.encoders.quantized import FILE, measure_recall, quantize_vectors
from groundup.retrieve.encoders.vectors import Run, RunVectors, int8_codes, open_vectors
from groundup.retrieve.models import TextEncoderConfig
from tests.retrieve.encoders.test_vectors import (
    always,
    config_of,
    encoder,  # noqa: F401
    folder,  # noqa: F401
)

QUESTION = "Does the furnace stand in the dwelling?"


@pytest.fixture
def heard(capsys):
    """What was logged since the last call."""
    record.set_output_mode("plain")
    yield lambda: capsys.readouterr().err
    record.set_output_mode("silent")


@pytest.fixture
def faiss():
    """The module, where it is installed."""
    return pytest.importorskip("faiss")


def clusters(number, width=32, seed=0):
    """Unit vectors (number, width) float16 around a hundred centres."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(9).standard_normal((100, width))
    points = centres[random.integers(0, 100, number)] + random.standard_normal((number, width))
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float16)


def by_key(matrix):
    return {hashlib.md5(row.tobytes()).digest(): at for at, row in enumerate(matrix)}


def open_on(matrix, quantized=None, is_coarse=False):
    runs = [Run(f"{at % 7}:0", at, at + 1) for at in range(len(matrix))]
    codes, steps = int8_codes(matrix) if is_coarse else (matrix, np.ones(1, np.float32))
    return RunVectors(TextEncoderConfig(), runs, matrix, by_key(matrix), codes, steps, quantized)


def test_bytes_find_what_all_numbers_find():
    matrix = clusters(3_000)
    exact, coarse = open_on(matrix), open_on(matrix, is_coarse=True)
    for query in clusters(50, seed=1).astype(np.float32):
        for documents in (None, {"3"}):
            near, far = (each.nearest(query, 10, documents) for each in (coarse, exact))
            assert near.runs == far.runs and near.cosines.tolist() == far.cosines.tolist()
            assert near.mean == pytest.approx(far.mean, abs=5e-4)
            assert near.deviation == pytest.approx(far.deviation, abs=5e-4)


def test_an_index_of_bytes_answers_as_one_of_all_numbers(folder, encoder, tmp_path, monkeypatch):
    monkeypatch.setattr(meaning, "decision", lambda: always(0.5))
    index(folder, tmp_path / "i", config_of(encoder))
    before = answer_question(open_index(tmp_path / "i"), QUESTION)
    made = index(folder, tmp_path / "i", config_of(encoder, precision="int8"))
    assert made.numbers["encoded"] == 0, "the vectors are those of the earlier snapshot"
    opened = open_index(tmp_path / "i")
    assert opened.vectors.codes.dtype == np.int8
    assert opened.vectors.codes.shape == opened.vectors.matrix.shape
    assert answer_question(opened, QUESTION).claims == before.claims
    np.save(made.file("vectors.int8.npy"), opened.vectors.codes[:-1])
    with pytest.raises(ArtifactError, match="vectors in .* are damaged"):
        open_vectors(made.path)


def test_the_same_text_in_two_files_is_one_place(folder, encoder, tmp_path, monkeypatch):
    monkeypatch.setattr(meaning, "decision", lambda: always(0.5))
    index(folder, tmp_path / "i", config_of(encoder))
    alone = answer_question(open_index(tmp_path / "i"), QUESTION)
    for name in ("heating-copy.md", "old.md"):
        (folder / name).write_text((folder / "heating.md").read_text())
    (folder / "nearly.md").write_text(
        "# Heating\n\nIt stands in the cellar. The boiler warms the house.\n"
    )
    index(folder, tmp_path / "i", config_of(encoder))
    opened = open_index(tmp_path / "i")
    query = opened.encoder.embed([QUESTION])[0]
    near = opened.vectors.nearest(query / np.linalg.norm(query), 10)
    assert len(opened.vectors.runs) == 6 and len(near.runs) == 3
    again = answer_question(opened, QUESTION)
    assert again.details["meaning"] == alone.details["meaning"]
    assert len(opened.only(["old.md"]).vectors.nearest(query, 10, [near.runs[0].passage]).runs) == 0


def test_codes_find_nearly_all_and_know_how_near_the_rest_is(faiss):
    matrix = clusters(5_000)
    codes = quantize_vectors(matrix, np.arange(5_000))
    assert measure_recall(codes.nearest_rows, codes.rows, matrix) > 0.98
    led, exact = open_on(matrix, quantized=codes), open_on(matrix)
    for query in clusters(20, seed=1).astype(np.float32):
        query /= np.linalg.norm(query)
        near, far = led.nearest(query, 10), exact.nearest(query, 10)
        assert len(set(near.runs) & set(far.runs)) >= 8 and near.runs[0] == far.runs[0]
        assert (near.mean, near.deviation) == pytest.approx((far.mean, far.deviation), abs=1e-5)
        assert led.nearest(query, 10, {"3"}).runs == exact.nearest(query, 10, {"3"}).runs


def test_recall_is_of_the_exact_nearest_ten():
    matrix = clusters(2_000)
    wide = matrix.astype(np.float32)
    recall = measure_recall(lambda query: np.argsort(-(wide @ query))[:6], np.arange(2_000), matrix)
    assert recall == pytest.approx(0.5, abs=0.01), "itself and five"


@pytest.mark.parametrize("width", [1, 7, 8, 384])
def test_codes_are_of_vectors_of_any_width_and_of_some_rows_alone(width, faiss):
    matrix, rows = clusters(60, width=width), np.arange(3, 60, 2)
    codes = quantize_vectors(matrix, rows)
    found = codes.nearest_rows(matrix[5].astype(np.float32))
    assert set(found) <= set(rows) and 5 in found
    assert width % 2 or set(found) == set(rows), "odd widths have one centroid for all numbers"


def test_an_index_above_the_limit_has_codes_that_answer(
    folder, encoder, tmp_path, monkeypatch, heard, faiss,
):  # fmt: skip
    monkeypatch.setattr(meaning, "decision", lambda: always(0.5))
    made = index(folder, tmp_path / "i", config_of(encoder, exact_below=3))
    assert made.numbers["recall"] == 1.0
    assert "Vectors: 3; their search finds 1.000 of the nearest ten." in heard()
    plain = index(folder, tmp_path / "j", config_of(encoder))
    expected = answer_question(open_index(plain.path), QUESTION)
    opened = open_index(made.path)
    assert opened.vectors.quantized is not None
    assert answer_question(opened, QUESTION).claims == expected.claims
    (folder / "garden.md").write_text("# Garden\n\nThe roses are old.\n")
    later = index(folder, tmp_path / "i", config_of(encoder, exact_below=3))
    assert later.numbers["encoded"] == 1
    assert open_index(later.path).vectors.quantized.index.ntotal == 3
    for damage in (b"PK", None):
        path = made.path / FILE
        path.write_bytes(damage) if damage else path.unlink()
        heard()
        opened = open_index(made.path)
        assert answer_question(opened, QUESTION).claims == expected.claims
        assert opened.vectors.quantized is None
        assert "The codes of the vectors cannot be used" in heard()


def test_codes_that_find_too_little_are_not_kept(
    folder, encoder, tmp_path, monkeypatch, heard, faiss,
):  # fmt: skip
    monkeypatch.setattr(quantized, "measure_recall", lambda *_: 0.94)
    made = index(folder, tmp_path / "i", config_of(encoder, exact_below=3))
    assert "finds 0.940 of the nearest ten; too few, so all are compared." in heard()
    assert open_index(made.path).vectors.quantized is None and not (made.path / FILE).exists()


def test_without_faiss_a_large_index_says_what_to_install(
    folder,
    encoder,
    tmp_path,
    monkeypatch,
):
    monkeypatch.setitem(sys.modules, "faiss", None)
    index(folder, tmp_path / "i", config_of(encoder, exact_below=4))
    with pytest.raises(MissingExtra, match=r"faiss-cpu.*pip install 'groundup\[retrieve\]'"):
        index(folder, tmp_path / "j", config_of(encoder, exact_below=3))
