"""Two runs differ in settings, counts and documents, each with the reason."""

import pytest

pytest.importorskip("pyarrow")

from groundup.corpus import compare_runs

from .made import corpus


def test_settings_counts_and_documents():
    runs = compare_runs(corpus(4), corpus(15))
    assert ("steps.0.settings.short", 4, 15) in runs.settings
    assert any(name.startswith("01 tidy: record: too short") for name, _, _ in runs.counts)
    assert runs.gone and {one.reason for one in runs.gone} == {"too short"}
    assert runs.came == ()
    assert "steps.0.settings.short: 4 -> 15" in str(runs)


def test_a_run_does_not_differ_from_itself():
    assert str(compare_runs(corpus(), corpus())) == "Nothing differs."
