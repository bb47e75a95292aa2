"""The whole recipe on made-up opinions: every stage, a report, and nothing done twice."""

import pytest

from groundup.core import GateFailed
from groundup.recipes.encoder import encoder, prose, recipe
from groundup.tokenizer import TokenizerConfig
from tests.recipes.encoder.tables import write_tables
from tests.train.small import without_compiler


@pytest.mark.slow
def test_it_runs_reports_and_goes_on(tmp_path, monkeypatch):
    few = [("a.txt", "The library has many modules. " * 40)]
    monkeypatch.setattr(prose, "manual_pages", lambda: iter(few))
    small = TokenizerConfig(vocab_size=320, specials=("chat", "encoder"))
    monkeypatch.setattr(recipe, "VOCABULARY", small)
    folder, out = write_tables(tmp_path / "tables"), tmp_path / "run"
    with without_compiler():
        for _ in range(2):  # a few steps do not learn what `not` does: the gate may fail
            try:
                said = encoder(folder, out=out, tokens=4096)
                assert "report.html" in said
            except GateFailed as failed:
                assert "bag of words" in str(failed)
    page = (out / "report" / "report.html").read_text()
    assert "An encoder&#x27;s sense of opinions" in page or "An encoder's sense" in page
    assert "logistic regression on words" in page
    before = {path: path.stat().st_mtime_ns for path in out.rglob("manifest.json")}
    assert len(before) == 10
    with without_compiler(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipe, "require_passed", lambda verdict: None)
        assert encoder(folder, out=out, tokens=4096).startswith("All is done.")
    assert before == {path: path.stat().st_mtime_ns for path in out.rglob("manifest.json")}
