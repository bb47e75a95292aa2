"""The recipe: from folders to a page with tests and ranks; again it does nothing."""

import gzip
import json

import numpy as np
import pytest

from groundup.core import ConfigError, DataError
from groundup.embeddings import load_vectors
from groundup.recipes.vectors.recipe import vectors

ROYAL = "the {0} of the land was in the palace with the {1} and they had a crown as {0}"
RURAL = "a {0} who works on the farm is with the {1} and they have a plough as {0}"


@pytest.fixture
def folder(tmp_path):
    stream = np.random.default_rng(0)
    lines = []
    for number in range(900):
        form = (ROYAL, RURAL)[number % 2]
        names = (["king", "queen"], ["man", "woman"])[number % 2]
        place = f"near town{'abcdefgh'[stream.integers(8)]}x by river{'abcdefgh'[number % 8]}y"
        lines.append(form.format(*stream.permutation(names)) + f" {place} in the year of {number}.")
    lines = [line + " " + "abcdefghijklmnopqrstuvwxyz"[n % 26] * (n // 26 + 2) for n, line in
             enumerate(lines)]  # fmt: skip
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "some.dict.dz").write_bytes(gzip.compress("\n\n".join(lines).encode()))
    return tmp_path / "x"


@pytest.fixture
def tests(tmp_path):
    (tmp_path / "tests").mkdir()
    rated = [("king", "queen", 9), ("man", "woman", 8), ("king", "farm", 1), ("man", "crown", 2)]
    text = "".join(f"{a}\t{b}\t{rating}\n" for a, b, rating in rated)
    (tmp_path / "tests" / "wordsim353.tsv").write_text(text)
    (tmp_path / "tests" / "questions-words.txt").write_text(": family\nman king woman queen\n")
    return tmp_path / "tests"


def test_folders_become_a_page(folder, tests, tmp_path):
    out = tmp_path / "run"
    said = vectors([folder], out=out, tests=tests, least_bytes=1000, epochs=2, threads=1)
    assert "WordSim-353" in said and "rank of king" in said
    text = (out / "report" / "report.html").read_text()
    assert "queen − woman + man gives king at rank" in text and "<circle" in text
    assert "family" in text and "some" in text
    numbers = json.loads((out / "report" / "report.json").read_text())
    assert numbers["rank of king"] >= 1 and -1 <= numbers["WordSim-353"] <= 1
    assert {"king", "queen", "farm"} <= set(load_vectors(out / "vectors").words)
    made = (out / "report" / "manifest.json").stat().st_mtime_ns
    assert vectors([folder], out=out, tests=tests, least_bytes=1000, epochs=2, threads=1) == said
    assert (out / "report" / "manifest.json").stat().st_mtime_ns == made


def test_without_tests_the_page_still_answers(folder, tmp_path):
    said = vectors([folder], out=tmp_path / "run", least_bytes=1000, epochs=1, threads=1)
    assert said.startswith("rank of king")


def test_what_cannot_be_run(folder, tmp_path):
    with pytest.raises(ConfigError, match="Give --folder"):
        vectors(out=tmp_path / "run")
    with pytest.raises(ConfigError, match="is no folder"):
        vectors([tmp_path / "absent"], out=tmp_path / "run")
    with pytest.raises(DataError, match="least_bytes=50,000,000 asks for more"):
        vectors([folder], out=tmp_path / "run")
    (tmp_path / "none").mkdir()
    with pytest.raises(ConfigError, match="holds none of wordsim353.tsv"):
        vectors([folder], out=tmp_path / "run", tests=tmp_path / "none", least_bytes=1000,
                epochs=1, threads=1)  # fmt: skip
