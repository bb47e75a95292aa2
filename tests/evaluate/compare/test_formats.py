"""The same comparison as text, JSON, Markdown and JUnit; hostile names break none of them."""

import json
from xml.etree import ElementTree

import pytest

from groundup.evaluate.compare.formats import (
    comparison_to_json,
    comparison_to_junit,
    comparison_to_markdown,
    comparison_to_text,
)
from groundup.evaluate.compare.verb import compare
from tests.evaluate.compare.reports import arithmetic, choices, make_report, rolling

EVIL = 'a|b <script>"&\x1b[2J\x00 ]]>'


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    folder = tmp_path_factory.mktemp("formats")
    hard = [n / 200 for n in range(200)]
    a = [arithmetic(h < 0.6 for h in hard), choices([True, None] * 20), rolling([100.0] * 9)]
    b = [arithmetic(h < 0.4 for h in hard), choices([True, True] * 20)]
    evil = arithmetic([True, False] * 9, "task|<b>")
    paths = [
        make_report(folder / "a", "base", [*a, evil]).path,
        make_report(folder / "b", EVIL, [*b, evil]).path,
    ]
    return compare(paths).comparison


def test_text_fits_80_columns(comparison):
    lines = comparison_to_text(comparison).splitlines()
    assert "A  base" in lines
    worse = next(line for line in lines if "worse" in line)
    assert worse.startswith("  B  0.40 [") and "−0.20 [" in worse
    assert all(len(line) <= 80 for line in lines if "not compared" not in line)
    assert "Holm over 4 comparisons" in " ".join(lines)


def test_json_has_every_number_or_its_reason(comparison):
    found = json.loads(json.dumps(comparison_to_json(comparison), allow_nan=False))
    tasks = {task["name"]: task for task in found["tasks"]}
    versus = tasks["sums"]["measures"][0]["versus"][0]
    assert versus["verdict"] == "worse" and versus["p"] < 0.05
    assert versus["difference"]["interval"]["estimate"] == pytest.approx(-0.2)
    missing = tasks["held-out"]["measures"][0]
    assert missing["cells"][1] is None
    assert missing["versus"][0]["undefined"]["code"] == "not_measured"
    reasons = tasks["choose"]["measures"][0]["cells"][0]["reasons"]
    assert reasons == {"timeout": 20}


def test_markdown_keeps_its_columns(comparison):
    lines = [
        line for line in comparison_to_markdown(comparison).splitlines() if line.startswith("|")
    ]
    assert len({line.replace("\\|", "").count("|") for line in lines}) == 1
    assert "<script>" not in comparison_to_markdown(
        comparison
    ) and "<b>" not in comparison_to_markdown(comparison)


def test_junit_fails_where_the_run_is_worse_and_skips_what_does_not_compare(comparison):
    root = ElementTree.fromstring(comparison_to_junit(comparison))
    suites = {suite.get("name"): suite for suite in root}
    assert suites["sums"].get("failures") == "1"
    (case,) = suites["sums"]
    failure = case.find("failure")
    assert failure is not None and "difference −0.20" in (failure.get("message") or "")
    skipped = suites["held-out"][0].find("skipped")
    assert skipped is not None and "no such task" in (skipped.get("message") or "")
    assert suites["choose"].get("tests") == "2" and "task|<b>" in suites
