"""An error about a kind says what was expected, what came and what makes the right one."""

from typing import get_args

from groundup.core.kinds import MADE_BY, Kind, what_is_there, with_article, wrong_kind


def test_commands_make_kinds_that_there_are():
    assert set(MADE_BY) <= set(get_args(Kind))


def test_one_line_names_expected_kinds_what_came_and_each_maker():
    said = wrong_kind(("report", "verdict"), "an index", "i")
    assert said == (
        "Expected a report or verdict artifact, got an index (i); make one with "
        "`groundup evaluate` or `groundup gate`."
    )
    assert wrong_kind(("adapter",), "a model", "m").endswith(
        "got a model (m)."
    )  # no verb makes one


def test_vowels_decide_the_article():
    assert [with_article(kind) for kind in ("index", "examples", "model")] == [
        "an index", "an examples", "a model",
    ]  # fmt: skip


def test_what_lies_at_a_path_has_a_name(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "i" / "ledger").mkdir(parents=True)
    (tmp_path / "i" / "ledger" / "current.jsonl").write_text("")
    assert what_is_there(tmp_path / "i") == "an index"
    assert what_is_there(tmp_path / "file") == "a file"
    assert "without manifest.json" in what_is_there(tmp_path)
    assert "no such folder" in what_is_there(tmp_path / "none")
