"""A report says what it was given, whole, safe and small."""

import json
import math
from dataclasses import replace

import pytest

from groundup.core import CapacityError, Config, DataError, produce
from groundup.core.page import Series
from groundup.recipes.report.data import (
    ArtifactRow,
    CheckRow,
    Curve,
    EvaluationRow,
    ReportData,
    SampleRow,
    ShownAnswer,
)
from groundup.recipes.report.report import (
    MOST_BYTES,
    Limits,
    _fitting,
    _report_page,
    inline_text,
    reading,
    truncate_lines,
    write_report,
)
from tests.core.page.reading import Reading
from tests.recipes.sample_report import sample_report

EVIL = "</script><script>alert(1)</script><img src=x onerror=y> \" ' & \u202e \x00"


def read(data: ReportData) -> Reading:
    return Reading(_fitting(data))


def test_the_answer_comes_first():
    text = read(sample_report()).text
    order = ["It worked", "5 of 5 gates passed", "1.412", "groundup chat runs/tiny/chat"]
    places = [text.index(words) for words in order]
    assert places == sorted(places)
    assert places[-1] < text.index("Requirements that were set")


def test_a_failed_gate_and_a_rejected_artifact_are_said_and_red():
    found = read(sample_report(failed=True))
    assert "1 of 5 gates failed" in found.text
    assert found.count("a", "bad") == 2 and found.count("a", "rejected") == 1
    assert "To try next: Keep the first and the last layer in 16 bits." in found.text


def test_an_undecided_gate_is_counted_as_such_unless_one_failed():
    data = sample_report()
    first, *rest = data.checks
    open_ = replace(first, passed=False, is_undecided=True)
    assert "1 of 5 gates undecided" in read(replace(data, checks=(open_, *rest))).text
    bad = replace(rest[0], passed=False)
    text = read(replace(data, checks=(open_, bad, *rest[1:]))).text
    assert "1 of 5 gates failed" in text and "gates undecided" not in text


@pytest.mark.parametrize("failed", [False, True])
def test_links_lead_somewhere_and_ids_are_unique(failed):
    found = read(sample_report(failed))
    ids = found.values("id")
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in found.values("href")} <= set(ids)
    assert "://" not in _fitting(sample_report(failed))


def test_text_from_models_stays_text():
    sample = SampleRow(EVIL, EVIL, EVIL, {"base": ShownAnswer(EVIL)})
    artifact = ArtifactRow("a", EVIL, EVIL, EVIL, 1)
    check = CheckRow(EVIL, EVIL, 1.0, None, None, 2.0, EVIL, "lower", False, EVIL)
    data = ReportData(
        EVIL, EVIL, (check,), artifacts=(artifact,), samples=(sample,), environment={EVIL: EVIL}
    )
    found = read(data)
    clean = EVIL.replace("\x00", "\ufffd")
    assert found.count("script") == 1 and found.count("img") == 0
    assert found.text.count(clean) >= 10


def test_both_files_are_the_payload_of_a_report_artifact(tmp_path):
    class ReportConfig(Config):
        title: str = "Tiny"

    data = sample_report()
    made = produce(
        tmp_path / "report",
        kind="report",
        stage="report",
        version=1,
        config=ReportConfig(),
        parents={},
        write=lambda draft: write_report(draft, data),
    )
    assert sorted(made.files) == ["report.html", "report.json"]
    stored = json.loads(made.file("report.json").read_text())
    assert stored["checks"][0]["estimate"] == 1.412
    assert stored["curves"][0]["series"][0]["name"] == "training"
    assert stored["samples"][0]["answers"]["chat"] == {
        "text": data.samples[0].reference,
        "score": 1,
    }
    assert made.file("report.html").stat().st_size <= MOST_BYTES


def test_what_is_not_finite_is_null_in_json_and_undefined_on_the_page():
    curve = Curve("Loss", "steps", "nats", (Series("train", [1, 2], [1.0, math.nan]),))
    row = EvaluationRow("Loss", "nats", "lower", {"base": math.inf})
    data = ReportData("a", "b", curves=(curve,), evaluation=(row,))
    assert inline_text(data)["curves"][0]["series"][0]["y"] == [1.0, None]
    json.dumps(inline_text(data), allow_nan=False)
    assert "undefined" in read(data).text


def test_a_report_too_large_shows_fewer_samples_and_says_so():
    long = SampleRow("Recall", "q" * 5000, "r" * 5000, {"base": ShownAnswer("a" * 5000)})
    data = replace(sample_report(), samples=(long,) * 500)
    text = _fitting(data)
    assert len(text.encode()) <= MOST_BYTES
    assert "Recall · 24 of 500" in Reading(text).text and "more characters" in text
    wide = replace(data, samples=tuple(replace(long, kind=f"k{i}") for i in range(500)))
    assert len(_fitting(wide).encode()) <= MOST_BYTES


def test_what_cannot_fit_is_an_error_that_says_how_much():
    with pytest.raises(CapacityError, match="may have 1.0 MB"):
        _fitting(ReportData("a", "b" * 1_100_000))


def test_an_unknown_parent_is_an_error():
    data = ReportData("a", "b", artifacts=(ArtifactRow("x", "model", "p", "id", 1, 1.0, ("y",)),))
    with pytest.raises(DataError, match="names the parent 'y'"):
        _fitting(data)


def test_an_empty_report_says_that_nothing_vouches_for_it():
    found = read(ReportData("Nothing yet", "It stopped early."))
    assert "nothing vouches" in found.text and "Everything ran with its defaults." in found.text


def test_every_measure_stands_on_the_page_under_evaluation():
    data = sample_report()
    text = read(data).text
    assert "Measures by model" in text
    assert all(row.measure in text.partition("Measures by model")[2] for row in data.evaluation)


def test_curves_go_to_their_stage_or_after_all_stages():
    data = sample_report()
    stray = replace(data.curves[0], name="Stray", stage="nowhere")
    text = read(replace(data, curves=(*data.curves, stray))).text
    assert text.count("Loss of the chat model") >= 1
    assert text.index("Loss of the chat model") < text.index("Line chart: Stray")


@pytest.mark.parametrize(
    ("better", "low", "high", "word"),
    [
        ("lower", -0.2, -0.1, "better"),
        ("higher", -0.2, -0.1, "worse"),
        ("higher", 0.1, 0.2, "better"),
        ("lower", 0.1, 0.2, "worse"),
        ("lower", -0.1, 0.1, "no clear difference"),
        ("lower", None, None, ""),
    ],
)
def test_a_difference_reads_as_its_interval_says(better, low, high, word):
    assert reading(EvaluationRow("m", "u", better, {}, 0.0, low, high))[0] == word


def test_texts_are_cut_with_a_word_on_it():
    assert truncate_lines("abc", 3) == "abc"
    assert truncate_lines("abcd", 3) == "abc … (1 more characters)"


def test_every_kind_of_sample_is_shown():
    kinds = [SampleRow(f"kind {i % 3}", "q", "r", {"base": ShownAnswer("a")}) for i in range(30)]
    text = Reading(
        _report_page(replace(sample_report(), samples=tuple(kinds)), Limits(6)).render()
    ).text
    assert all(f"kind {i} · 2 of 10" in text for i in range(3))
