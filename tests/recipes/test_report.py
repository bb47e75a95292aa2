"""A report says what it was given, whole, safe and small."""

import json
import math

import pytest

from groundup.core import Config, DataError, Draft, produce, write_text
from groundup.core.page import Gate, Series
from groundup.measure import Verdict
from groundup.recipes.report import (
    MAX_POINTS,
    ArtifactRow,
    Curve,
    EvaluationRow,
    ReportData,
    SampleRow,
    ShownAnswer,
    artifact_rows,
    check_row,
    in_words,
    loss_curve,
    report_page,
    write_report,
)
from tests.core.page.reading import Reading
from tests.recipes.sample_report import sample_report

EVIL = "</script><script>alert(1)</script><img src=x onerror=y> \" ' & \u202e \x00"


class Nothing(Config):
    """No settings."""


def render(data: ReportData) -> str:
    return report_page(data).render()


def read(data: ReportData) -> Reading:
    return Reading(render(data))


def test_the_answer_comes_first():
    text = read(sample_report()).text
    order = ["It worked", "1.412", "groundup chat runs/tiny/chat", "Requirements that were set"]
    places = [text.index(words) for words in order]
    assert places == sorted(places)


def test_a_failed_gate_and_a_rejected_artifact_are_said_and_red():
    found = read(sample_report(failed=True))
    assert found.count("a", "rejected") == 1
    assert "To try next: Keep the first and the last layer in 16 bits." in found.text


@pytest.mark.parametrize("failed", [False, True])
def test_links_lead_somewhere_and_ids_are_unique(failed):
    found = read(sample_report(failed))
    ids = found.values("id")
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in found.values("href")} <= set(ids)
    assert "://" not in render(sample_report(failed))


def test_text_from_models_stays_text():
    sample = SampleRow(EVIL, EVIL, EVIL, {"base": ShownAnswer(EVIL)})
    artifact = ArtifactRow("a", EVIL, EVIL, EVIL, 1)
    check = Gate(EVIL, EVIL, 1.0, None, None, 2.0, EVIL, "lower", False, EVIL)
    data = ReportData(
        EVIL, EVIL, (check,), artifacts=(artifact,), samples=(sample,), environment={EVIL: EVIL}
    )
    found = read(data)
    clean = EVIL.replace("\x00", "\ufffd")
    assert found.count("script") == 1 and found.count("img") == 0
    assert found.text.count(clean) >= 10


def test_both_files_are_the_payload_of_a_report_artifact(tmp_path):
    data = sample_report()
    made = produce(
        tmp_path / "report", kind="report", stage="report", version=1, config=Nothing(),
        parents={}, write=lambda draft: write_report(draft, data),
    )  # fmt: skip
    assert sorted(made.files) == ["report.html", "report.json"]
    stored = json.loads(made.file("report.json").read_text())
    assert stored["checks"][0]["estimate"] == 1.412
    assert stored["curves"][0]["series"][0]["name"] == "training"
    expected = {"text": data.samples[0].reference, "score": 1}
    assert stored["samples"][0]["answers"]["chat"] == expected


def test_what_is_not_finite_is_null_in_json_and_undefined_on_the_page(tmp_path):
    curve = Curve("Loss", "steps", "nats", (Series("train", [1, 2], [1.0, math.nan]),))
    row = EvaluationRow("Loss", "nats", "lower", {"base": math.inf})
    data = ReportData("a", "b", curves=(curve,), evaluation=(row,))
    made = produce(
        tmp_path / "report", kind="report", stage="report", version=1, config=Nothing(),
        parents={}, write=lambda draft: write_report(draft, data),
    )  # fmt: skip
    stored = json.loads(made.file("report.json").read_text())
    assert stored["curves"][0]["series"][0]["y"] == [1.0, None]
    assert "undefined" in read(data).text


def test_many_long_samples_are_shown_in_part_which_the_page_says():
    long = SampleRow("Recall", "q" * 5000, "r" * 5000, {"base": ShownAnswer("a" * 5000)})
    text = render(sample_report()._replace(samples=(long,) * 500))
    assert len(text.encode()) <= 1_000_000
    assert "Recall · 24 of 500" in Reading(text).text and "4,400 more characters" in text
    wide = sample_report()._replace(samples=tuple(long._replace(kind=f"k{i}") for i in range(500)))
    assert len(render(wide).encode()) <= 1_000_000


def test_an_unknown_parent_is_an_error():
    data = ReportData("a", "b", artifacts=(ArtifactRow("x", "model", "p", "id", 1, 1.0, ("y",)),))
    with pytest.raises(DataError, match="names the parent 'y'"):
        render(data)


def test_an_empty_report_says_that_nothing_vouches_for_it():
    assert "nothing vouches" in read(ReportData("Nothing yet", "It stopped early.")).text


@pytest.mark.parametrize(
    ("better", "low", "high", "word"),
    [
        ("lower", -0.2, -0.1, "better"),
        ("higher", -0.2, -0.1, "worse"),
        ("higher", 0.1, 0.2, "better"),
        ("lower", 0.1, 0.2, "worse"),
        ("lower", -0.1, 0.1, "no clear difference"),
    ],
)
def test_a_difference_reads_as_its_interval_says(better, low, high, word):
    row = EvaluationRow("Measured", "u", better, {}, 0.0, low, high)
    text = read(ReportData("a", "b", evaluation=(row,))).text.partition("Measures by model")[2]
    assert "Measured" in text and word in text


def test_every_kind_of_sample_is_shown():
    kinds = [SampleRow(f"kind {i % 3}", "q", "r", {"base": ShownAnswer("a")}) for i in range(30)]
    text = read(sample_report()._replace(samples=tuple(kinds))).text
    assert all(f"kind {i} · 8 of 10" in text for i in range(3))


def test_a_curve_ends_where_the_training_ended(tmp_path):
    count = 7 * MAX_POINTS + 3
    rows = [{"step": n, "loss": 5.0 - n / count} for n in range(count)]
    rows += [{"step": count - 1, "validation": 4.5}]

    def write(draft: Draft) -> None:
        write_text(draft.file("weights"), "none")
        write_text(draft.log / "metrics.jsonl", "".join(json.dumps(r) + "\n" for r in rows))

    model = produce(
        tmp_path / "runs" / "base", kind="model", stage="x", version=1, config=Nothing(),
        parents={}, write=write,
    )  # fmt: skip
    train, held = loss_curve(model, "Training").series
    assert (train.x[-1], train.y[-1]) == (count - 1, rows[count - 1]["loss"])
    assert len(train.x) <= MAX_POINTS + 30 and list(held.y) == [4.5]
    (row,) = artifact_rows({"base": model}, tmp_path)
    assert (row.name, row.path, row.bytes) == ("base", "runs/base", 4)


def test_a_check_keeps_its_name_and_requirement_unless_it_is_given_better_ones():
    interval = {"estimate": 0.5, "low": 0.4, "high": 0.6}
    row = {"name": "x refused > 0.3", "required": "lower bound above 0.3", "interval": interval,
           "limit": 0.3, "unit": "share", "sense": ">", "passed": True, "next": "",
           "bound": "lower", "outcome": "passed"}  # fmt: skip
    plain = check_row(row)
    assert plain[:6] == ("x refused > 0.3", "lower bound above 0.3", 0.5, 0.4, 0.6, 0.3)
    assert (plain.better, plain.decides, plain.result[0]) == ("higher", "interval", "passed")
    assert check_row(row, "Refused", "It refuses.")[:2] == ("Refused", "It refuses.")
    undefined = row | {"interval": None, "passed": False, "outcome": "undecided"}
    assert check_row(undefined).estimate is None and check_row(undefined).result[0] == "undecided"


@pytest.mark.parametrize(
    ("outcomes", "words"),
    [
        (["passed", "passed"], "Every gate passed"),
        (["passed", "undecided"], "The data cannot decide every gate"),
        (["undecided", "failed"], "A gate failed"),
    ],
)
def test_verdicts_in_words_tell_the_worst_first(outcomes, words):
    verdicts = [Verdict(each == "passed", "", 1, (), outcome=each) for each in outcomes]
    assert in_words(verdicts) == words and in_words(verdicts[-1]) != ""
