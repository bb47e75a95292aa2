"""Our measures equal their peers' on every input, and the page in the docs says so.

Texts: sacrebleu, rouge-score, nltk, rapidfuzz. Statistics and ranking: scipy, statsmodels,
scikit-learn, trec_eval.
"""

import json
import lzma
import subprocess
import sys

import pytest

ROUNDING = 1e-11


@pytest.fixture(scope="module")
def made(request):
    # In a process of its own: there shapes and types are not checked at every call.
    script = [sys.executable, "-m", "benchmarks.measure.agreement", "--json"]
    done = subprocess.run(
        script, capture_output=True, text=True, check=True, cwd=request.config.rootpath
    )
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def rows(made):
    return {row["measure"].partition(" (")[0]: row for row in made["Texts"]}


def test_every_pair_of_every_measure_is_the_peers(rows):
    apart = {name for name, row in rows.items() if row["largest"] > ROUNDING}
    assert apart == {"ter", "corpus ter"}
    assert rows["ter, edits anywhere"]["largest"] < ROUNDING


def test_each_measure_was_compared_on_at_least_1000_pairs(rows):
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


def test_every_statistic_of_the_peers_has_ours_and_equals_it(made, root):
    fixture = root / "tests" / "fixtures" / "measures" / "stats.json.xz"
    statistics = {row["measure"]: row for row in made["Statistics and ranking"]}
    assert statistics.keys() == json.loads(lzma.decompress(fixture.read_bytes()))["expected"].keys()
    for name, row in statistics.items():
        assert row["cases"] >= 1000 and row["largest"] < ROUNDING, name
        assert bool(row["only_ours"] + row["only_peer"]) == bool(row["note"]), name


def test_the_page_is_what_the_script_makes(made, root):
    # Whether the last digit is rounded depends on the processor's arithmetic.
    kept = (root / "docs" / "benchmarks" / "agreement.md").read_text(encoding="utf-8")
    for bound in ("| < 1e-12 |", "| < 1e-11 |"):
        kept, made["page"] = kept.replace(bound, "| 0 |"), made["page"].replace(bound, "| 0 |")
    assert made["page"] == kept, "run benchmarks/measure/agreement.py"
