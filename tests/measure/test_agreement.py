"""Our measures equal their peers' on every input, and the page in the docs says so.

Texts: sacrebleu, rouge-score, nltk, rapidfuzz. Statistics and ranking: scipy, statsmodels,
scikit-learn, trec_eval.
"""

import json
import lzma
import subprocess
import sys

import pytest

from benchmarks.measure import agreement_stats, agreement_text

ROUNDING = 1e-11
CORPUS = 40
"""Pairs that are scored as one corpus."""
EVERY = 7
"""Of so many corpora one is scored in `make test`."""


def some(values: list, size: int = CORPUS) -> list:
    """The first of every few runs of values."""
    starts = range(0, len(values), EVERY * size)
    return [value for start in starts for value in values[start : start + size]]


def some_texts() -> dict:
    """A part of the texts, with all that peers gave for it."""
    whole = agreement_text.fixture()
    columns = [
        column
        | {"values": some(column["values"], 1 if column["measure"][:7] == "corpus " else CORPUS)}
        for column in whole["columns"]
    ]
    words = {name: {"z": whole[name]["z"]} for name in ("stems", "synonyms")}
    return whole | words | {"pairs": some(whole["pairs"]), "columns": columns}


def some_inputs() -> dict:
    """A part of the inputs of statistics."""
    whole = agreement_stats.fixture()
    expected = {
        name: each | {"values": some(each["values"])} for name, each in whole["expected"].items()
    }
    inputs = {name: some(cases) for name, cases in whole["inputs"].items()}
    return whole | {"inputs": inputs, "expected": expected}


def rows_of_some() -> dict[str, list[dict]]:
    """The rows of each part, on every seventh corpus of texts, and on words with z."""
    texts, inputs, words = some_texts(), some_inputs(), agreement_text.known_words()
    self_bleu = agreement_text.self_bleu_row()
    caches = (agreement_text.rows, agreement_text.counted)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(agreement_text, "fixture", lambda: texts)
        patch.setattr(agreement_stats, "fixture", lambda: inputs)
        patch.setattr(agreement_text, "known_words", lambda: [w for w in words if w[0] == "z"])
        patch.setattr(agreement_text, "self_bleu_row", lambda: self_bleu)
        for each in caches:
            each.cache_clear()
        parts = {"Texts": agreement_text.rows(), "Statistics and ranking": agreement_stats.rows()}
    for each in caches:
        each.cache_clear()
    return {title: [row._asdict() for row in part] for title, part in parts.items()}


@pytest.fixture(scope="module")
def everything(request):
    # In a process of its own: there shapes and types are not checked at every call.
    script = [sys.executable, "-m", "benchmarks.measure.agreement", "--json"]
    done = subprocess.run(
        script, capture_output=True, text=True, check=True, cwd=request.config.rootpath
    )
    return json.loads(done.stdout)


# All pairs take half a minute.
@pytest.fixture(scope="module", params=["some", pytest.param("all", marks=pytest.mark.slow)])
def made(request):
    return rows_of_some() if request.param == "some" else request.getfixturevalue("everything")


@pytest.fixture(scope="module")
def rows(made):
    return {row["measure"].partition(" (")[0]: row for row in made["Texts"]}


def test_every_pair_of_every_measure_is_the_peers(rows):
    apart = {name for name, row in rows.items() if row["largest"] > ROUNDING}
    assert apart <= {"ter", "corpus ter"}
    assert rows["ter, edits anywhere"]["largest"] < ROUNDING


@pytest.mark.slow  # as all pairs are
def test_each_measure_was_compared_on_at_least_1000_pairs_of_which_long_ones_differ(everything):
    rows = {row["measure"].partition(" (")[0]: row for row in everything["Texts"]}
    apart = {name for name, row in rows.items() if row["largest"] > ROUNDING}
    assert apart == {"ter", "corpus ter"}
    few = {name for name, row in rows.items() if row["cases"] < 1000}
    assert few == {"self-BLEU"} | {name for name in rows if name.startswith("corpus ")}
    assert rows["Porter stems"]["cases"] > 100_000 < rows["WordNet synonyms"]["cases"]


def test_whatever_differs_is_explained(rows):
    for name, row in rows.items():
        differs = row["only_peer"] or row["only_ours"] or row["largest"] > ROUNDING
        assert bool(differs) == bool(row["note"]), name


def test_most_pairs_have_a_number(rows):
    for name, row in rows.items():
        if not name.startswith("ROUGE"):
            assert row["only_peer"] < 0.05 * row["cases"], name


def test_every_statistic_of_the_peers_has_ours_and_equals_it(request, made, root):
    fixture = root / "tests" / "fixtures" / "measures" / "stats.json.xz"
    statistics = {row["measure"]: row for row in made["Statistics and ranking"]}
    assert statistics.keys() == json.loads(lzma.decompress(fixture.read_bytes()))["expected"].keys()
    is_all = "all" in request.node.callspec.params.values()
    for name, row in statistics.items():
        assert row["cases"] >= (1000 if is_all else 150) and row["largest"] < ROUNDING, name
        if row["only_ours"] + row["only_peer"] or is_all:
            assert bool(row["only_ours"] + row["only_peer"]) == bool(row["note"]), name


@pytest.mark.slow  # as all pairs are
def test_the_page_is_what_the_script_makes(everything, root):
    # Whether the last digit is rounded depends on the processor's arithmetic.
    kept = (root / "docs" / "benchmarks" / "agreement.md").read_text(encoding="utf-8")
    page = everything["page"]
    for bound in ("| < 1e-12 |", "| < 1e-11 |"):
        kept, page = (each.replace(bound, "| 0 |") for each in (kept, page))
    assert page == kept, "run benchmarks/measure/agreement.py"
