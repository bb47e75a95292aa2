"""Records of a report cannot be changed once they are made."""

import dataclasses

import pytest

from groundup.recipes.report.data import ReportData
from tests.recipes.sample_report import sample_report


def test_a_report_needs_a_title_and_a_verdict_only():
    assert ReportData("Title", "It worked.").checks == ()


def test_records_are_frozen():
    data = sample_report()
    for record in (data, data.checks[0], data.artifacts[0], data.samples[0], data.curves[0]):
        name = dataclasses.fields(record)[0].name
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(record, name, "other")
