"""What is promised holds for the questions that were asked, and is taken back when it breaks."""

import json
import subprocess
from dataclasses import replace

import numpy as np
import pytest

from groundup.cli import main
from groundup.core import ArtifactError, ConfigError, DataError, child
from groundup.measure import beta_tail
from groundup.retrieve import Session, answer_question, answer_to_text, index, open_index
from groundup.retrieve.calibration.calibrate import (
    PRIOR,
    CalibrationConfig,
    CalibrationResult,
    Outcome,
    Promise,
    calibrate,
    promises_of,
    read_questions,
    risk_bound,
)
from groundup.retrieve.calibration.promise import (
    CALIBRATION,
    Dial,
    parse_risk,
    read_calibration,
    read_dial,
    read_verdicts,
)

NAMES = "amber birch coral delta ember fjord".split()
PLACES = "east west north south old new".split()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "docs").mkdir()
    for n, (name, place) in enumerate(zip(NAMES, PLACES, strict=True)):
        more = f"The {name} boat is moored at the {place} quay." if n % 2 else ""
        (tmp_path / "docs" / f"{n}.md").write_text(
            f"The {name} boat is {20 + n} metres long. {more}\n\n"
            f"The anchor of the {name} boat weighs {100 + n} kg.\n"
        )
    index(tmp_path / "docs", tmp_path / "i")
    return tmp_path / "i"


def outcomes(right: int, wrong: int, score: float = 0.9) -> list[Outcome]:
    return [Outcome(score, n < right, n < right, "given") for n in range(right + wrong)]


@pytest.mark.parametrize(("text", "risk"), [("5%", 0.05), ("5 %", 0.05), ("0.05", 0.05)])
def test_a_risk_is_a_share_or_in_percent(text, risk):
    assert parse_risk(text) == risk


@pytest.mark.parametrize("text", ["0", "5", "100%", "-5%", "five", "nan", "1e-2", ""])
def test_what_is_no_share_is_refused(text):
    with pytest.raises(ConfigError, match="--risk is a share of the answers"):
        parse_risk(text)


def test_the_bound_is_the_quantile_of_the_posterior():
    for wrong, of, before in ((0, 0, 0.05), (3, 80, 0.05), (0, 500, 0.2)):
        bound = risk_bound(wrong, of, before)
        a, b = PRIOR * before + 0.5 + wrong, PRIOR * (1 - before) + 0.5 + of - wrong
        assert beta_tail(a, b, bound) == pytest.approx(0.95, abs=1e-9)


def test_more_right_answers_promise_less_risk_and_wrong_ones_more():
    prior = [(0.8, 0.1), (0.9, 0.05)]
    few, many, broken = (
        min(p.risk for p in promises_of(outcomes(right, wrong), prior))
        for right, wrong in ((20, 0), (400, 0), (400, 40))
    )
    assert many < few < broken


def test_other_folders_alone_promise_nothing():
    prior = [(0.8, 0.01), (0.9, 0.01)]
    assert not list(promises_of(outcomes(9, 0), prior))
    assert list(promises_of(outcomes(10, 0), prior))


def test_the_smallest_threshold_that_keeps_a_risk_is_taken():
    prior = [(0.6, 0.3), (0.8, 0.02), (0.9, 0.01)]
    sure, unsure = outcomes(300, 0, 0.95), outcomes(20, 60, 0.7)
    found = {p.risk: p.threshold for p in promises_of(sure + unsure, prior)}
    assert found[0.02] == 0.8 and found[0.3] == 0.6


def test_a_promise_holds_in_nineteen_of_twenty_folders_like_the_others():
    drawn, broken = np.random.default_rng(0), 0
    for _ in range(400):
        wrong = int(drawn.binomial(200, 0.05))
        broken += risk_bound(wrong, 200, 0.05) < 0.05
    assert broken / 400 <= 0.05


def test_a_folder_is_calibrated_and_asked(folder, capsys):
    found = calibrate(CalibrationConfig(), folder)
    assert found.by == "words" and found.questions > found.answerable > 8
    kept = read_calibration(folder)
    assert kept["index"] == open_index(folder).artifact.id
    assert "at most" in str(found) and (folder / "calibration.html").read_text().count("<svg")
    risk = max(promise.risk for promise in found.promises)
    question = "How long is the coral boat?"
    with pytest.raises(SystemExit) as ended:
        main(["ask", question, "--index", str(folder), "--risk", f"{risk}", "--json"])
    assert ended.value.code in (0, 4)
    assert json.loads(capsys.readouterr().out)["risk"] == risk


def test_what_is_below_the_score_of_a_risk_is_refused(folder):
    opened = open_index(folder)
    answer = answer_question(opened, "How long is the coral boat?")
    assert not answer.refused
    dial = Dial(0.05, answer.details["score"] + 1e-6, "words")
    sure = answer_question(replace(opened, dial=dial), "How long is the coral boat?")
    assert sure.refused and sure.details["risk"] == 0.05
    lower = replace(opened, dial=dial._replace(threshold=0.0))
    text = answer_to_text(answer_question(lower, "How long is the coral boat?"))
    assert "of such answers at most 5.0% are wrong" in text


def test_without_calibration_or_after_a_change_nothing_is_promised(folder):
    with pytest.raises(ConfigError, match="is not calibrated; run: groundup calibrate"):
        read_dial(folder, "x", 0.05)
    calibrate(CalibrationConfig(), folder)
    id = open_index(folder).artifact.id
    with pytest.raises(ConfigError, match=r"A risk of 0.1% cannot be promised on \d+ questions"):
        read_dial(folder, id, 0.001)
    with pytest.raises(ConfigError, match="calibrated before its documents changed"):
        read_dial(folder, "another", 0.3)
    (folder / CALIBRATION).write_text("{")
    with pytest.raises(ArtifactError, match="calibration.json is damaged"):
        read_dial(folder, id, 0.3)


def test_questions_of_ones_own_count(folder, tmp_path):
    path = tmp_path / "mine.jsonl"
    rows = [
        {"question": "How long is the coral boat?", "answers": ["22 metres"]},
        {"question": "How long is the zebra boat?"},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = calibrate(CalibrationConfig(made=0), folder, questions=[path])
    assert (found.questions, found.answerable) == (2, 1)
    kept = [Outcome(*row) for row in read_calibration(folder)["outcomes"]]
    assert [each.is_right for each in kept] == [True, False]


@pytest.mark.parametrize(
    "line", ["{", "[]", '{"question": ""}', '{"question": "a", "answers": "b"}',
             '{"question": "a", "answers": [1]}', '{"answers": ["a"]}'],
)  # fmt: skip
def test_a_damaged_line_of_questions_is_named(line, tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_text('{"question": "a", "answers": ["b"]}\n' + line + "\n")
    with pytest.raises(DataError, match=r"mine.jsonl line 2 is no (JSON|question)"):
        list(read_questions(path))


def test_a_folder_of_nothing_that_can_be_asked_says_so(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("Hm.\n")
    index(tmp_path / "docs", tmp_path / "i")
    with pytest.raises(DataError, match="No question could be made"):
        calibrate(CalibrationConfig(), tmp_path / "i")
    with pytest.raises(ConfigError, match="is a snapshot"):
        calibrate(CalibrationConfig(), open_index(tmp_path / "i").artifact.path)


def promised(folder, risk: float = 0.1) -> Session:
    dial = Dial(risk, 0.0, "words")
    return Session(replace(open_index(folder), dial=dial), out=folder)


def test_verdicts_withdraw_a_promise_that_breaks(folder):
    calibrate(CalibrationConfig(), folder)
    session = promised(folder)
    for n, name in enumerate(NAMES * 2):
        session.ask(f"How long is the {name} boat?" if n < 6 else f"What is the {name} boat?")
        kept = str(session.reply("wrong"))
        if "withdrawn" in kept:
            break
    assert "the promise of 10% is withdrawn" in kept and "from here on nothing is" in kept
    assert "risk" not in session.ask("How long is the amber boat?").details
    with pytest.raises(ConfigError, match="No promise is left for .* answers were wrong"):
        read_dial(folder, open_index(folder).artifact.id, 0.3)
    calibrate(CalibrationConfig(), folder)
    assert not read_calibration(folder)["withdrawn"]


def test_right_answers_keep_a_promise_and_the_last_verdict_counts(folder):
    calibrate(CalibrationConfig(), folder)
    session = promised(folder)
    session.ask("How long is the amber boat?")
    assert "1 answers under the promise 1 were wrong" in str(session.reply("wrong"))
    assert "1 answers under the promise 0 were wrong" in str(session.reply("right"))
    (verdict,) = read_verdicts(folder)
    assert (verdict["subject"], verdict["value"]) == ("How long is the amber boat?", "right")
    found = calibrate(CalibrationConfig(made=0), folder)
    assert (found.questions, found.answerable) == (1, 1)


def test_without_an_answer_there_is_nothing_to_judge(folder):
    session = Session(open_index(folder), out=folder)
    assert isinstance(session.reply("wrong"), ConfigError)
    session.ask("How long is the amber boat?")
    assert session.reply("right") == "kept"


def test_a_question_under_a_promise_needs_no_numpy(folder):
    calibrate(CalibrationConfig(), folder)
    script = (
        "import sys; from groundup.retrieve import open_index; from pathlib import Path; "
        "print(open_index(Path(sys.argv[1])).at_risk('30%', Path(sys.argv[1])).dial.by); "
        "print([name for name in ('numpy', 'torch', 'groundup.measure') if name in sys.modules])"
    )
    command = child.python_command("-c", script, str(folder))
    done = subprocess.run(command, env=child.python_environment(), capture_output=True, text=True)
    assert done.stdout == "words\n[]\n", done.stderr


def test_a_bound_is_never_below_what_was_wrong_here():
    outcomes = [Outcome(0.9, n % 4 > 0, True, "verdict") for n in range(40)]
    assert min(promise.risk for promise in promises_of(outcomes, [(0.6, 0.02)])) == 0.25


def test_the_least_risk_that_can_be_promised_is_shown_first():
    promises = tuple(Promise(risk, 0.7, 0.6, 1, 25, 0.13) for risk in (0.14, 0.15, 0.2, 0.3))
    shown = str(CalibrationResult(60, 40, "words", 0.9, promises, "curve.html"))
    assert [line.split()[2] for line in shown.splitlines()[1:-1]] == ["14%", "20%", "30%"]
