"""The gate's bounds are its own, made of the samples as they were scored."""

import pytest

from groundup.core import Artifact, DataError, GateUndecided
from groundup.evaluate.gate import gate, gate_interval
from groundup.evaluate.harness.report import WEIGHTED_BY_SIZE, GroupReport, read_report
from groundup.evaluate.task.aggregate import aggregate
from groundup.evaluate.task.task import TaskMeasure
from tests.evaluate.compare.reports import choices
from tests.evaluate.test_gate import report


def test_how_sure_to_be_is_not_the_evaluations_to_say(tmp_path):
    """An interval of confidence 0.01 is hardly wider than its estimate."""
    measure = TaskMeasure("acc", "none", "higher", "share", "mean", "acc")
    ours = report(tmp_path, "ours", choices([True, True, True, False] * 8))
    with pytest.raises(GateUndecided, match=r"n = \d{3} would decide"):
        gate(ours, require=["acc>=0.7"], out=tmp_path / "v")
    made = Artifact.open(ours)
    narrow = aggregate(measure, [1.0, 1.0, 1.0, 0.0] * 8, [""] * 32, 0.01)
    assert narrow.low > 0.7
    found = read_report(made)
    task = found.tasks[0]
    told = task._replace(measures=(task.measures[0]._replace(result=narrow), *task.measures[1:]))
    group = GroupReport(
        "all", ("choose",), (told.measures[0]._replace(aggregation=WEIGHTED_BY_SIZE),)
    )
    for part in (told, group):
        wide = gate_interval(made, found._replace(tasks=(told,)), part, part.measures[0])
        assert wide.confidence == 0.95 and wide.low < 0.7
    own = told.measures[0]._replace(aggregation="code.py:mine")
    assert gate_interval(made, found, told, own).code == "other_confidence"
    assert gate_interval(made, found, told, own._replace(result=wide)) == wide


def test_a_report_that_is_not_its_samples_is_refused(tmp_path):
    made = Artifact.open(report(tmp_path, "ours", choices([True, False] * 8)))
    found = read_report(made)
    one = found.tasks[0].measures[0]
    other = one._replace(result=one.result._replace(estimate=0.9))
    with pytest.raises(DataError, match="reports 0.9 .* and its samples give 0.5"):
        gate_interval(made, found, found.tasks[0], other)
