"""Every error has the exit code of its kind; one about a kind says what makes the right one."""

from typing import get_args

from groundup.core import ConfigError, GateFailed, GroundupError, MissingExtra, errors
from groundup.core.errors import (
    COMMAND_OF_KIND,
    Kind,
    _with_article,
    describe_path,
    wrong_kind_message,
)


def test_exit_codes():
    found = {e.__name__: e.exit_code for e in GroundupError.__subclasses__()}
    assert found["ConfigError"] == ConfigError.exit_code == 2
    assert found["GateFailed"] == GateFailed.exit_code == 3
    assert set(found.values()) == {1, 2, 3}


def test_the_tree_in_the_docstring_is_complete():
    own = [each for each in GroundupError.__subclasses__() if each.__module__ == errors.__name__]
    assert own and all(each.__name__ in (errors.__doc__ or "") for each in own)


def test_a_missing_extra_gives_the_command():
    assert "pip install 'groundup[retrieve]'" in str(MissingExtra("tantivy", "retrieve"))


def test_commands_make_kinds_that_there_are():
    assert set(COMMAND_OF_KIND) <= set(get_args(Kind))


def test_one_line_names_expected_kinds_what_came_and_each_maker():
    said = wrong_kind_message(("report", "verdict"), "an index", "i")
    assert said == (
        "Expected a report or verdict artifact, got an index (i); make one with "
        "`groundup evaluate` or `groundup gate`."
    )
    assert wrong_kind_message(("prompts",), "a model", "m").endswith(
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
