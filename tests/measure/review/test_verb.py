"""`groundup testset review` as a person calls it."""

import io
import json
import os
import signal
import sys
import urllib.request

import pytest

from groundup.core import ConfigError, DataError, Judgement
from groundup.measure.judgement import current_votes, read_votes
from groundup.measure.judgement import record_vote as give
from groundup.measure.review.verb import ReviewResults, _resolve_reviewer, review_testset
from groundup.measure.testset import apply_review, read_card
from tests.measure.review.sheets import Terminal, testset


@pytest.fixture
def made(tmp_path):
    return testset(tmp_path / "t")


@pytest.fixture
def typed(monkeypatch):
    """Give a text on stdin."""
    return lambda text: monkeypatch.setattr(sys, "stdin", io.StringIO(text))


def test_a_sample_of_the_samples_is_reviewed_and_resumed(made, typed, capsys):
    typed("a\nd wrong\n")
    found = review_testset(made, who="ana", sample=5)
    assert (found.reviewed, found.total, found.dropped) == (2, 5, 1)
    typed("a\n" * 9)
    assert review_testset(made, who="ana", sample=5).reviewed == 5
    assert len(current_votes(read_votes(made.path))) == 5
    assert made.id == type(made).open(made.path).id
    assert "3 of 5" in capsys.readouterr().out


def test_only_the_disputed_are_shown_to_who_decides(made, typed):
    for who, value in (("ana", "accept"), ("ben", "drop")):
        give(made.path, Judgement(who, "", "q3", "label", value))
        give(made.path, Judgement(who, "", "q4", "label", "accept"))
    typed("a\n")
    found = review_testset(made, who="cleo", disputed=True)
    assert (found.reviewed, found.total) == (1, 1)
    assert read_votes(made.path)[-1].subject == "q3"


def test_results_tell_each_reviewer_and_how_they_agree(made):
    assert str(review_testset(made, results=True)) == "Nobody has reviewed a sample yet."
    for number in range(6):
        for who in ("ana", "ben"):
            value = "drop" if number == 5 or (who, number) == ("ben", 0) else "accept"
            give(made.path, Judgement(who, "", f"q{number}", "label", value))
    give(made.path, Judgement("ana", "", "q6", "edit", json.dumps({"question": "When?"})))
    found = review_testset(made, results=True)
    assert isinstance(found, ReviewResults) and len(found.reviewers) == 2
    text = str(found)
    assert "ana has reviewed 7 of 8: 5 accepted, 1 modified, 1 dropped." in text
    assert "ana and ben agree on 83.3 % [43.6, 97.0] of the 6 that both judged" in text
    assert "Disputed: q0" in text
    assert "ben dropped q5: no reason given" in text and "ana modified q6: question: When?" in text
    assert "e-1" not in text


def test_a_second_review_draws_what_the_first_did_not_read(made, typed, tmp_path):
    typed("a\nd the source does not say it\na\n")
    review_testset(made, who="ana", sample=3)
    again = apply_review(made, tmp_path / "again")
    review = read_card(again)["review"]
    (dropped,) = review["dropped_samples"].items()
    assert dropped[1] == "the source does not say it" and dropped[0] in review["read_samples"]
    typed("a\n" * 5)
    assert review_testset(again, who="ana", sample=5).reviewed == 5
    seen = {vote.subject for vote in read_votes(again.path)}
    assert len(seen & set(review["read_samples"])) == 0
    typed("a\n" * 6)
    assert review_testset(again, who="ben", sample=6).reviewed == 6
    typed("a\n" * 99)
    samples = again.file("samples.jsonl").read_text().count("\n")
    assert review_testset(again, who="cleo", sample=0).reviewed == samples  # 0: all of them


def test_names(monkeypatch):
    assert _resolve_reviewer(" ana ") == "ana"
    assert _resolve_reviewer("")
    for wrong in ("a\nb", "x" * 101):
        with pytest.raises(DataError, match="printable"):
            _resolve_reviewer(wrong)


def test_a_negative_sample_is_refused(made):
    with pytest.raises(ConfigError, match="--sample -1"):
        review_testset(made, sample=-1)


def test_without_git_the_user_is_the_reviewer(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("LOGNAME", "dora")
    assert _resolve_reviewer("") == "dora"


def test_the_page_of_the_command_line_stops_with_control_c(made):
    with Terminal(made.path, "--page") as terminal:
        terminal.until("Review at ")
        url = terminal.until("Keep the address").strip()
        with urllib.request.urlopen(f"{url}state") as reply:
            subject = json.load(reply)["item"]["subject"]
        body = {"who": "ana", "subject": subject, "action": "accept"}
        request = urllib.request.Request(
            f"{url}vote", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request) as reply:
            assert json.load(reply)["done"] == 1
        os.kill(terminal.process, signal.SIGINT)
        terminal.until("ana has reviewed 1 of 8: 1 accepted")
        assert terminal.end() == 0
    assert len(read_votes(made.path)) == 1
