"""Two runs differ in settings, counts and documents, each with the reason."""

import pytest

pytest.importorskip("pyarrow")

from groundup.core import Artifact
from groundup.corpus import WithdrawConfig, compare_runs, withdraw

from .made import corpus


def test_settings_counts_and_documents():
    runs = compare_runs(corpus(4), corpus(15))
    assert ("steps.0.settings.short", 4, 15) in runs.settings
    assert any(name.startswith("01 tidy: record: too short") for name, _, _ in runs.counts)
    assert runs.gone and {one.reason for one in runs.gone} == {"too short"}
    assert runs.came == ()
    assert "steps.0.settings.short: 4 -> 15" in str(runs)


def test_a_withdrawn_corpus_is_compared_by_its_origins_pipeline(tmp_path):
    config = WithdrawConfig(documents=("a.txt#5",), reason="asked for")
    withdraw(config, corpus(), tmp_path / "one", among=tmp_path)
    one = Artifact.open(tmp_path / "one", "corpus")
    withdraw(WithdrawConfig(documents=("a.txt#6",)), one, tmp_path / "two", among=tmp_path)
    runs = compare_runs(corpus(), one)
    assert runs.settings == () and [change.path for change in runs.gone] == ["a.txt#5"]
    said = f"is withdrawn from {corpus().id[:12]}: documents a.txt#5 (asked for)"
    assert said in str(runs).splitlines()[0]
    two = compare_runs(corpus(), Artifact.open(tmp_path / "two", "corpus"))
    assert two.settings == () and len(two.gone) == 2
    assert f"from {one.id[:12]}, from {corpus().id[:12]}: documents a.txt#6" in two.withdrawn[0]
    other = compare_runs(corpus(15), one)
    assert ("steps.0.settings.short", 15, 4) in other.settings


def test_a_run_does_not_differ_from_itself():
    assert str(compare_runs(corpus(), corpus())) == "Nothing differs."
