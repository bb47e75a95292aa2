"""In a terminal one key decides; in a pipe one line does; a kill loses nothing decided."""

import io
import json
import os
import signal
import sys

import pytest

from groundup.core import DataError
from groundup.measure.judgement import VOTES, current_votes, read_votes
from groundup.measure.review.sheet import ReviewSheet
from groundup.measure.review.terminal import (
    _edit_in_editor,
    _parse_form,
    _replace_controls,
    open_reviewer_input,
    review_in_terminal,
)
from groundup.measure.review.verb import run_review
from tests.measure.review.sheets import (
    Terminal,
    compared_items,
    compared_sheet,
    items,
    sheet,
    testset,
)


@pytest.fixture
def lines(monkeypatch, capsys):
    """Review with these lines on stdin; gives what is told."""

    def run(one: ReviewSheet, text: str) -> str:
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        review_in_terminal(one, open_reviewer_input())
        return capsys.readouterr().out

    return run


def values(place) -> dict[str, str]:
    return {vote.subject: vote.value for vote in current_votes(read_votes(place))}


def test_lines_decide_one_after_the_other(tmp_path, lines):
    one = sheet(tmp_path)
    order = list(one.items)
    told = lines(one, "a\n\nd it is wrong\nm answer=at dusk\ns\nu\nq\na\n")
    assert values(tmp_path) == {order[0]: "accept", order[1]: "drop"}
    assert "Accepted." in told and "Modified." in told and "Taken back." in told
    assert max(map(len, told.splitlines())) <= 80


def test_a_line_modifies_question_and_answer_and_refuses_what_it_cannot_part(tmp_path, lines):
    one = sheet(tmp_path)
    lines(one, "m answer=at dusk question=When is it lit?\nq\n")
    (value,) = values(tmp_path).values()
    assert json.loads(value) == {"question": "When is it lit?", "references": ["at dusk"]}
    for line in ("m answer=a answer=b", "m at dusk answer=a", "m answer"):
        with pytest.raises(DataError, match="m question=… answer=…"):
            lines(one, f"{line}\n")


def test_keys_are_told_and_skips_are_counted_and_no_line_ends_with_blanks(tmp_path, lines):
    told = lines(sheet(tmp_path), "h\n?\ns\ns\nq\n")
    assert told.count("u takes the last decision back") == 2
    assert "1 skipped" in told and "2 skipped" in told
    assert all(line == line.rstrip() for line in told.splitlines())


def test_votes_of_a_file_have_no_time(tmp_path, lines):
    lines(sheet(tmp_path), "a\n")
    (vote,) = read_votes(tmp_path)
    assert vote.seconds is None and vote.when
    assert '"content": {"who": "ana", "subject"' in (tmp_path / VOTES).read_text()


def test_the_end_of_input_ends_the_review_and_the_next_goes_on(tmp_path, lines):
    lines(sheet(tmp_path), "a\na\n")
    told = lines(sheet(tmp_path), "a\n" * 20)
    assert "3 of 8" in told and "1 of 8" not in told
    assert len(values(tmp_path)) == 8


def test_the_answer_is_marked_in_its_source_and_the_maker_is_hidden(tmp_path, lines):
    told = lines(sheet(tmp_path), "q\n")
    assert "«at night»" in told and "house.md" in told
    assert "hidden-model" not in told


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("x", "no key 'x'"),
        ("m", "m question="),
        ("m x=y", "m question="),
        ("1", "no key '1'"),
        ("d", "reason"),
    ],
)
def test_a_wrong_line_ends_a_piped_review(tmp_path, lines, line, says):
    with pytest.raises(DataError, match=f"Line 2: .*{says}"):
        lines(sheet(tmp_path), f"\n{line}\na\n")
    assert values(tmp_path) == {}


def test_nothing_in_a_sample_reaches_the_terminal_as_a_command():
    assert _replace_controls("a\x1b[2J\x07\u202eb\u200dc\n") == "a\ufffd[2J\ufffd\ufffdb\u200dc\n"


def test_an_editor_gives_the_fields(tmp_path):
    script = tmp_path / "editor"
    script.write_text(
        "#!/bin/sh\nsed -i 's/When is/At what time is/; s/at night/at dusk/' \"$1\"\n"
    )
    script.chmod(0o755)
    found = _edit_in_editor(items(1)[0], str(script))
    assert found == {"question": "At what time is lamp 0 lit?", "references": ["at dusk"]}


@pytest.mark.parametrize("editor", ["false", "no-such-editor-here", "'"])
def test_an_editor_that_fails_modifies_nothing(editor):
    with pytest.raises(Exception, match="editor"):
        _edit_in_editor(items(1)[0], editor)


@pytest.mark.parametrize(
    "text", ["", "words before\n# Question\nx", "# Question\na\n# Question\nb"]
)
def test_a_broken_form_is_told(text):
    with pytest.raises(DataError, match="form"):
        _parse_form(text)


def test_keys_in_a_real_terminal_and_a_kill(tmp_path):
    made = testset(tmp_path / "t")
    with Terminal(made.path) as terminal:
        for wait, keys in (
            ("q quit", "a"), ("Accepted.", "d"), ("goes back): ", "1\n"), ("Dropped.", "m"),
            ("question [", "When?\n"), ("answer [", "\n"), ("Modified.", "x"), ("no key 'x'", ""),
        ):  # fmt: skip
            terminal.until(wait)
            terminal.press(keys)
        os.kill(terminal.process, signal.SIGKILL)
        assert terminal.end() == -signal.SIGKILL
    assert sorted(values(made.path).values()) == ["accept", "drop", '{"question": "When?"}']

    with Terminal(made.path) as again:
        again.until("4 of 8")
        again.press("u")
        again.until("Taken back.")
        again.press("q")
        again.until("ana has reviewed 2 of 8: 1 accepted, 0 modified, 1 dropped.")
        assert again.end() == 0


@pytest.mark.parametrize("end", ["\0", "\x04"])
def test_what_a_terminal_sends_at_its_end_ends_the_review(tmp_path, end):
    made = testset(tmp_path / "t")
    with Terminal(made.path) as terminal:
        terminal.until("q quit")
        terminal.press(end)
        terminal.until("ana has reviewed 0 of 8")
        assert terminal.end() == 0


def test_control_c_keeps_what_was_decided(tmp_path):
    made = testset(tmp_path / "t")
    with Terminal(made.path) as terminal:
        terminal.until("q quit")
        terminal.press("a")
        terminal.until("Accepted.")
        os.kill(terminal.process, signal.SIGINT)
        terminal.until("ana has reviewed 1 of 8")
        assert terminal.end() == 0


def test_answers_are_ranked_by_lines_and_their_writers_stay_hidden(tmp_path, lines):
    one = compared_sheet(tmp_path)
    order = list(one.items)
    script = [
        "3>1=2 the third" if len(one.items[subject].names) == 3 else "2 clearer"
        for subject in order[:4]
    ]
    told = lines(one, "\n".join(["h", *script, "d nonsense", "=", ""]))
    assert "Answer 1" in told and "name-" not in told and "as in 2>1=3" in told
    assert max(map(len, told.splitlines())) <= 80
    votes = {vote.subject: vote for vote in current_votes(read_votes(tmp_path))}
    for subject in order[:4]:
        names, vote = one.items[subject].names, votes[subject]
        expected = (names[1], "clearer") if len(names) == 2 else (
            f"{names[2]}>{names[0]}={names[1]}", "the third")  # fmt: skip
        assert (vote.value, vote.reason) == expected
    assert (votes[order[4]].value, votes[order[4]].reason) == ("drop", "nonsense")
    assert set(votes[order[5]].value) >= {"="} or votes[order[5]].value == "tie"
    for line, says in (("a", "no key 'a'"), ("m", "no key"), ("9", "once"), ("1>1", "once")):
        with pytest.raises(DataError, match=f"Line 1: .*{says}"):
            lines(compared_sheet(tmp_path / line), f"{line}\n")


def test_lines_are_numbered_through_the_rounds_of_a_review(tmp_path, monkeypatch):
    rounds = iter([compared_items(2), compared_items(3)[2:]])
    monkeypatch.setattr(sys, "stdin", io.StringIO("1\n1\n7\n"))
    with pytest.raises(DataError, match="Line 3: "):
        run_review(lambda who: ReviewSheet(tmp_path, next(rounds), who, "salt"), "ana",
                   title="queue", waits=lambda: True)  # fmt: skip


def test_keys_rank_answers_with_a_reason_in_a_real_terminal(tmp_path, monkeypatch):
    def review(self, path, *flags):
        def show(*_):
            from groundup.measure.review.sheet import ReviewSheet

            keyboard = open_reviewer_input()
            review_in_terminal(ReviewSheet(path, compared_items(2), "ana", "salt"), keyboard)
            two = ReviewSheet(path, compared_items(3)[2:], "ana", "salt")
            review_in_terminal(two, keyboard)

        os.environ |= {"COLUMNS": "80", "TERM": "xterm"}
        sys.stdin, sys.stdout = open(0), open(1, "w")  # noqa: SIM115
        try:
            show()
        finally:
            sys.stdout.flush()
            os._exit(0)

    monkeypatch.setattr(Terminal, "review", review)
    with Terminal(tmp_path) as terminal:
        terminal.until("1 of 2")
        terminal.press("r")
        terminal.until("reason (of the next decision): ")
        terminal.press("short\n")
        terminal.until("Reason: short")
        terminal.press("2")
        terminal.until("2 of 2")
        terminal.press("d")
        terminal.until("no answer is acceptable")
        terminal.press("3\n")
        terminal.until("1 of 1")
        terminal.press("2")
        terminal.until("as in 2>1=3: 2")
        terminal.press(">1=3\n")
        assert terminal.end() == 0
    votes = [vote for vote in read_votes(tmp_path)]
    one = compared_sheet(tmp_path)
    assert [(vote.form, vote.reason) for vote in votes] == [
        ("choice", "short"), ("label", "I cannot tell"), ("ranking", ""),
    ]  # fmt: skip
    assert votes[0].value == votes[0].shown[1] and votes[0].seconds is not None
    first, second, third = one.items["p2"].names
    assert votes[2].value == f"{second}>{first}={third}"
