"""What is written is read back equal; what cannot be read says why."""

import json
from pathlib import Path

import pytest

from groundup.core import (
    Artifact,
    ArtifactError,
    Config,
    DataError,
    Draft,
    Reason,
    produce,
    write_text,
)
from groundup.evaluate import read_report, read_sample_rows
from groundup.evaluate.harness.report import (
    EvaluationCost,
    EvaluationReport,
    GroupReport,
    MeasureReport,
    Subject,
    TaskReport,
    samples_file,
    write_evaluation_report,
)
from groundup.measure import Interval

INTERVAL = Interval(0.5, 0.25, 0.75, 0.95, 4, 2)
NONE = Reason("too_few_groups", "An interval needs at least 2 groups.")


def measure(name: str, result: Interval | Reason, filter: str = "none") -> MeasureReport:
    fields = ("higher", "share", "mean", f"{name}|case:yes")
    return MeasureReport(name, filter, *fields, result, 4, 1, {"too_long": 1}, 2)


REPORT = EvaluationReport(
    Subject("runs/base", "ab" * 32, "dtype:float32", "groundup"),
    (
        TaskReport("sums/ten", "generate_until", "1", "few_shot:0", "cd" * 32, 5, (
            measure("exact_match", INTERVAL, "number"), measure("f1", NONE),
        )),
    ),
    (GroupReport("all", ("sums/ten",), (measure("acc", INTERVAL),)),),
    EvaluationCost(5, 100, 20, 1, None),
    1.5,
)  # fmt: skip


def artifact(
    out: Path, report: EvaluationReport = REPORT, rows: str = '{"id": "1"}\n{"id": "2"}\n'
) -> Artifact:
    def write(draft: Draft) -> None:
        write_evaluation_report(draft, report)
        write_text(draft.file(samples_file("sums/ten")), rows)

    return produce(
        out, kind="report", stage="evaluate", version=2, config=Config(), parents={}, write=write
    )


def test_a_report_is_read_as_it_was_written(tmp_path):
    found = artifact(tmp_path / "r")
    assert read_report(found) == REPORT
    assert [row["id"] for row in read_sample_rows(found, "sums/ten")] == ["1", "2"]
    told = json.loads(found.file("report.json").read_text())
    first, second = told["tasks"][0]["measures"]
    assert first["interval"]["low"] == 0.25 and first["undefined"] is None
    assert second["interval"] is None and second["undefined"]["code"] == "too_few_groups"


def test_the_table_has_a_line_a_measure_and_says_what_is_undefined():
    lines = str(REPORT).splitlines()
    assert lines[0].split() == ["task", "measure", "result", "unit", "n", "undefined", "unparsed",
                                "unanswered"]  # fmt: skip
    assert [line.split()[0] for line in lines[1:]] == ["all", "sums/ten", "sums/ten"]
    assert "exact_match,number" in lines[2] and "0.5 [0.25, 0.75]" in lines[2]
    assert "undefined: too_few_groups" in lines[3]
    assert REPORT.task("sums/ten").measures[0].key == "exact_match,number"
    with pytest.raises(DataError, match="no task 'x'; it has sums/ten"):
        REPORT.task("x")


def test_damage_is_told_with_its_place(tmp_path):
    torn = artifact(tmp_path / "torn", rows='{"id": "1"}\n{"id"\n')
    with pytest.raises(ArtifactError, match="line 2 is damaged"):
        list(read_sample_rows(torn, "sums/ten"))
    with pytest.raises(ArtifactError, match="has no file samples/other.jsonl"):
        next(read_sample_rows(torn, "other"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"format": 0}', "has format 0"),
        ('{"format": 1, "subject": {}}', "damaged or not an evaluation's report"),
        ("[]", "damaged or not an evaluation's report"),
    ],
)
def test_what_is_no_report_is_refused(tmp_path, text, said):
    with pytest.raises(ArtifactError, match=said):
        read_report(other(tmp_path / "o", "evaluate", text))


def test_a_page_of_a_recipe_is_no_evaluation_and_no_old_format(tmp_path):
    page = other(tmp_path / "page", "report", '{"bits_per_byte": null}')
    with pytest.raises(ArtifactError) as raised:
        read_report(page)
    assert str(raised.value) == (
        "Expected a report of `groundup evaluate` or `groundup grounding`; got one of the stage "
        f"'report' ({page.path})."
    )


def other(out: Path, stage: str, text: str) -> Artifact:
    """An artifact with any text in the place of a report."""
    return produce(
        out, kind="report", stage=stage, version=1, config=Config(), parents={},
        write=lambda draft: write_text(draft.file("report.json"), text),
    )  # fmt: skip
