"""An error about a kind says what was expected, what came and what makes the right one."""

from typing import get_args

from groundup.core.errors import (
    COMMAND_OF_KIND,
    Kind,
    _with_article,
    describe_path,
    wrong_kind_message,
)


def test_commands_make_kinds_that_there_are():
    assert set(COMMAND_OF_KIND) <= set(get_args(Kind))


def test_one_line_names_expected_kinds_what_came_and_each_maker():
    said = wrong_kind_message(("report", "verdict"), "an index", "i")
    assert said == (
        "Expected a report or verdict artifact, got an index (i); make one with "
        "`groundup evaluate` or `groundup gate`."
    )
    assert wrong_kind_message(("adapter",), "a model", "m").endswith(
        "got a model (m)."
    )  # no verb makes one


def test_vowels_decide_the_article():
    assert [_with_article(kind) for kind in ("index", "examples", "model")] == [
        "an index", "an examples", "a model",
    ]  # fmt: skip


def test_what_lies_at_a_path_has_a_name(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "i" / "ledger").mkdir(parents=True)
    (tmp_path / "i" / "ledger" / "current.jsonl").write_text("")
    assert describe_path(tmp_path / "i") == "an index"
    assert describe_path(tmp_path / "file") == "a file"
    assert "without manifest.json" in describe_path(tmp_path)
    assert "no such folder" in describe_path(tmp_path / "none")
