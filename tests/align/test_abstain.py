"""What a model knows is what it answers rightly; refusals are made of the rest, risks are kept."""

import json
import math

import numpy as np
import pytest

from groundup.align import (
    ABSTENTION_TEXT,
    RefusalsConfig,
    SelectiveConfig,
    calibrate_abstention,
    is_refusal,
    make_refusals,
    read_examples,
    read_scored,
)
from groundup.align.abstain import questions as answering
from groundup.align.abstain.questions import (
    AnsweredQuestion,
    AnsweringConfig,
    ClosedBookQuestion,
    answer_entropy,
    contains_answer,
    parse_closed_book,
)
from groundup.align.abstain.refusals import SURE, SURE_QUESTION, UNSURE, label_questions
from groundup.align.abstain.selective import (
    RiskPoint,
    answer_instead,
    choose_threshold,
    risk_coverage,
    sure_probabilities,
)
from groundup.core import (
    Artifact,
    Config,
    ConfigError,
    DataError,
    Message,
    Sampling,
    produce,
)
from groundup.generate import Engine

SHORT = {"max_tokens": 6, "right": "exact"}


def asked(text):
    return (Message("user", text),)


def write_questions(path, rows):
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def half_known(chat_model, tmp_path_factory):
    """Forty questions in twenty groups; the model answers those of even groups rightly."""
    engine = Engine.open(chat_model.path)
    texts = [f"question {n}" for n in range(40)]
    said = engine.generate([asked(text) for text in texts], Sampling(max_tokens=6))
    rows = [
        {"question": text, "group": f"group {n // 2}",
         "answers": ["gold"] if n // 2 % 2 else ["other words", each.text.strip()]}
        for n, (text, each) in enumerate(zip(texts, said, strict=True))
    ]  # fmt: skip
    return write_questions(tmp_path_factory.mktemp("asked") / "asked.jsonl", rows)


@pytest.fixture(scope="module")
def others(tmp_path_factory) -> Artifact:
    """Examples of which a third refuse, in the last turn or before it."""

    def row(n):
        first = ABSTENTION_TEXT if n % 3 == 1 else f"answer {n}"
        last = ABSTENTION_TEXT if n % 3 == 2 else "More."
        turns = [("user", f"other {n}"), ("assistant", first), ("user", "And?"),
                 ("assistant", last)]  # fmt: skip
        messages = [{"role": role, "content": content} for role, content in turns]
        kind = "topic" if n % 2 else "write"
        return {"id": "", "kind": kind, "group": "", "messages": messages}

    def write(draft):
        for split in ("train", "validation"):
            write_questions(draft.file(f"{split}.jsonl"), map(row, range(60)))

    return produce(
        tmp_path_factory.mktemp("others") / "others", kind="examples", stage="test", version=1,
        config=Config(), parents={}, write=write,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ([], "It is no object with question and answers"),
        ({"question": "a"}, "It is no object with question and answers"),
        ({"question": "a", "answers": []}, "answers are empty"),
        ({"question": "a", "answers": ["b", " "]}, "answers is empty"),
        ({"question": "", "answers": "b"}, "turns are none"),
        ({"question": "a", "answers": "b", "group": 5}, "Its group is no text"),
    ],
)
def test_what_is_no_question_says_why(row, reason):
    with pytest.raises(DataError, match=reason):
        parse_closed_book(row)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("It is in Paris, France.", 1), ("paris", 1), ("Parisian", 0), ("", 0), ("the", 0)],
)
def test_an_answer_is_contained_as_whole_words(text, expected):
    assert contains_answer(text, ("Paris.", "The")) == expected


def test_entropy_is_that_of_different_answers():
    assert answer_entropy(["Rome."] * 5) == 0
    assert answer_entropy(["Rome", "rome.", "Oslo", "Bonn"]) == pytest.approx(1.5 * math.log(2))


def test_by_entropy_the_half_with_the_lowest_is_known():
    rows = [ClosedBookQuestion(asked(str(n)), ("x",), str(n)) for n in range(5)]
    said = [AnsweredQuestion("y", n == 0, False, 0.5, h) for n, h in enumerate((9, 1, 0, 1, 2))]
    labelled = label_questions(rows, said, "entropy")
    assert [each.is_known for each in labelled] == [False, True, True, True, False]
    assert [each.is_known for each in label_questions(rows, said, "correctness")] == [
        True, False, False, False, False,
    ]  # fmt: skip
    with pytest.raises(DataError, match=r"entropy of 1.00 everywhere; raise temperature"):
        label_questions(rows[:2], [said[1], said[3]], "entropy")


def refusals(model, file, out, **changes):
    return make_refusals(RefusalsConfig(**SHORT | changes), model, [file], out)


def test_unknown_questions_are_refused_and_known_ones_keep_the_models_words(
    chat_model, half_known, tmp_path
):
    made = refusals(chat_model, half_known, tmp_path / "made")
    assert {name: made.numbers[name] for name in ("questions", "right", "known")} == {
        "questions": 40, "right": 20, "known": 20,
    }  # fmt: skip
    gold = {row["question"]: row for row in map(json.loads, half_known.read_text().splitlines())}
    groups = []
    for split in ("train", "validation"):
        examples = list(read_examples(made, split))
        groups.append({each.group for each in examples})
        for each in examples:
            question, answer = (turn.content for turn in each.messages)
            assert each.refusal == is_refusal(answer) == (each.kind == "unknown")
            assert each.refusal or answer == gold[question]["answers"][-1] != "gold"
        assert made.numbers[split]["all"] == len(examples)
    assert not groups[0] & groups[1] and len(groups[0] | groups[1]) == 20
    assert refusals(chat_model, half_known, tmp_path / "made").id == made.id


def test_after_the_answer_the_model_is_asked_whether_it_is_sure(chat_model, half_known, tmp_path):
    made = refusals(chat_model, half_known, tmp_path / "sure", form="sure")
    for each in read_examples(made, "train"):
        assert [turn.role for turn in each.messages] == ["user", "assistant"] * 2
        assert each.messages[2].content == SURE_QUESTION and not each.refusal
        assert each.messages[3].content == (SURE if each.known else UNSURE)
        assert each.known or each.messages[1].content == "gold"
    control = refusals(chat_model, half_known, tmp_path / "control", form="answer")
    said = [each.messages[-1].content for each in read_examples(control, "train")]
    assert "gold" in said and not any(map(is_refusal, said))


def test_known_questions_are_repeated_until_refusals_are_few_enough(
    chat_model, half_known, tmp_path
):
    few, many = (
        refusals(chat_model, half_known, tmp_path / f"{share}", max_unknown=share)
        for share in (0.25, 0.9)
    )
    asked_once = [each.messages[0].content for each in read_examples(many, "train")]
    assert len(asked_once) == len(set(asked_once)) == many.numbers["train"]["all"]
    known, unknown = many.numbers["train"]["known"], many.numbers["train"]["unknown"]
    assert few.numbers["train"] == {
        "known": min(3 * unknown, 4 * known), "unknown": unknown, "refusals": unknown,
        "all": min(3 * unknown, 4 * known) + unknown,
    }  # fmt: skip
    rare = refusals(chat_model, half_known, tmp_path / "rare", max_unknown=0.1).numbers["train"]
    assert rare["known"] == 4 * known and rare["unknown"] == round(4 * known / 9)


def test_rehearsal_adds_conversations_that_refuse_nothing(chat_model, half_known, others, tmp_path):
    config = RefusalsConfig(**SHORT, rehearsal=0.25, kinds=("topic",))
    made = make_refusals(config, chat_model, [half_known], tmp_path / "made", rehearse=others)
    counts = made.numbers["train"]
    assert counts["topic"] == round((counts["known"] + counts["unknown"]) / 4)
    rehearsed = [each for each in read_examples(made, "train") if each.kind == "topic"]
    assert not any(is_refusal(turn.content) for each in rehearsed for turn in each.messages)


def test_samples_give_an_entropy_and_one_gives_none(chat_model, half_known, tmp_path):
    made = refusals(chat_model, half_known, tmp_path / "made", by="entropy")
    rows = [json.loads(line) for line in (made.path / "answers.jsonl").read_text().splitlines()]
    assert made.config["samples"] == 5 and made.numbers["known"] == 20
    lower = max(row["entropy"] for row in rows if row["known"])
    assert lower <= min(row["entropy"] for row in rows if not row["known"])
    with pytest.raises(ConfigError, match="samples=1 has no entropy"):
        refusals(chat_model, half_known, tmp_path / "one", by="entropy", samples=1)


def test_a_model_that_knows_nothing_has_no_difference_to_learn(chat_model, tmp_path):
    rows = [{"question": f"q {n}", "answers": "gold"} for n in range(8)]
    file = write_questions(tmp_path / "asked.jsonl", rows)
    with pytest.raises(DataError, match="knows 0 of 8 questions"):
        refusals(chat_model, file, tmp_path / "made")
    file.write_text("\n{\n")
    with pytest.raises(DataError, match=r"asked.jsonl has no question; expected lines"):
        refusals(chat_model, file, tmp_path / "empty")
    with pytest.raises(DataError, match="There is no file"):
        refusals(chat_model, tmp_path / "none.jsonl", tmp_path / "none")


def test_a_killed_run_keeps_its_answers(chat_model, half_known, tmp_path, monkeypatch):
    monkeypatch.setattr(answering, "QUESTIONS_AT_ONCE", 16)
    whole = refusals(chat_model, half_known, tmp_path / "whole")
    batches, real = [], answering._answer_some

    def stop_second(engine, questions, config):
        batches.append(len(questions))
        if len(batches) == 2:
            raise KeyboardInterrupt
        return real(engine, questions, config)

    monkeypatch.setattr(answering, "_answer_some", stop_second)
    with pytest.raises(KeyboardInterrupt):
        refusals(chat_model, half_known, tmp_path / "made")
    assert refusals(chat_model, half_known, tmp_path / "made").id == whole.id
    assert batches == [16, 16, 16, 8]


def test_risk_over_coverage_counts_equal_scores_together():
    points = risk_coverage([0.2, 0.9, 0.9, 0.4], [False, True, False, True])
    assert [(p.threshold, p.coverage, p.wrong, p.answered) for p in points] == [
        (0.9, 0.5, 1, 2), (0.4, 0.75, 1, 3), (0.2, 1.0, 2, 4),
    ]  # fmt: skip
    assert points[2].risk == 0.5 and points[0].bound(0.95) == pytest.approx(0.9747, abs=1e-4)
    assert risk_coverage([0.5], [False])[0].bound(0.95) == 1


def chosen_of(right, risk):
    scores = np.linspace(1, 0, len(right)).tolist()
    return choose_threshold(risk_coverage(scores, right), risk)


def test_a_threshold_is_the_last_before_the_first_that_may_exceed_the_risk():
    chosen = chosen_of([True] * 100 + [False] * 100, 0.1)
    assert chosen is not None and (chosen.answered, chosen.wrong) == (103, 3)
    assert chosen.bound(0.9875) <= 0.1 < RiskPoint(0, 0, 4, 104).bound(0.9875)
    late = chosen_of([False] + [True] * 199, 0.1)  # found from a later start
    assert late is not None and late.answered == 200
    again = chosen_of([True] * 60 + [False] * 30 + [True] * 400, 0.1)  # never after a failure
    assert again is not None and again.answered < 65
    assert chosen_of([True] * 10, 0.1) is None and chosen_of([False] * 200, 0.5) is None


def test_a_chosen_threshold_keeps_its_risk_on_new_questions_as_often_as_promised():
    rng, broken, trials = np.random.default_rng(0), 0, 400
    for _ in range(trials):
        scores = rng.random(200)
        is_right = rng.random(200) < scores
        points = risk_coverage(scores.tolist(), is_right.tolist())
        chosen = choose_threshold(points, 0.2)
        # right with probability `score`: above t the risk is (1 - t) / 2
        broken += chosen is not None and (1 - chosen.threshold) / 2 > 0.2
    assert broken / trials < 0.05 + 2 * math.sqrt(0.05 * 0.95 / trials)


def test_a_refused_question_is_answered_otherwise_and_scored(chat_model, half_known, tmp_path):
    engine = Engine.open(chat_model.path)
    question = json.loads(half_known.read_text().splitlines()[0])
    refusal = question["answers"][-1]  # what the model says, so that it refuses
    config = SelectiveConfig(**SHORT, refusal=refusal)
    made = calibrate_abstention(config, chat_model, [half_known], tmp_path / "made")
    first, *_ = scored = read_scored(made)
    assert first.is_refusal and not first.is_right and not first.answer.startswith(refusal)
    [nats] = engine.logprobs([asked(question["question"])], [refusal])
    assert first.score == pytest.approx(1 - math.exp(sum(nats)), abs=1e-5)
    assert made.numbers["refused"] == sum(each.is_refusal for each in scored)
    shown = (made.path / "report.html").read_text()
    assert "above a wrong one" in shown or "all right or all wrong" in shown
    assert shown.count("none keeps it") == list(made.numbers["thresholds"].values()).count(None)
    assert "not measured" not in shown
    [(text, likelihood)] = answer_instead(engine, [asked(question["question"])], config)
    assert text == first.answer and 0 < likelihood < 1


def test_likelihoods_and_sureness_are_probabilities(chat_model, half_known, tmp_path):
    for score in ("likelihood", "sure"):
        config = SelectiveConfig(**SHORT, score=score)
        made = calibrate_abstention(config, chat_model, [half_known], tmp_path / score)
        scored = read_scored(made)
        assert all(0 < each.score < 1 for each in scored) and made.numbers["right"] == 20
        assert 0 <= made.numbers["auroc"] <= 1 and set(made.numbers["thresholds"]) == {
            "0.01", "0.05", "0.1", "0.2",
        }  # fmt: skip
    engine = Engine.open(chat_model.path)
    answered = (*asked("question 0"), Message("assistant", "x"))
    sure, unsure = (
        sum(engine.logprobs([(*answered, Message("user", SURE_QUESTION))], [text])[0])
        for text in (SURE, UNSURE)
    )
    [found] = sure_probabilities(engine, [answered])
    assert found == pytest.approx(math.exp(sure) / (math.exp(sure) + math.exp(unsure)), abs=1e-5)


def test_the_refusal_is_no_right_answer():
    config = AnsweringConfig()
    question = ClosedBookQuestion(asked("a"), ("know",), "a")
    assert not answering.is_right(question, ABSTENTION_TEXT, config)
    assert answering.is_right(question, "I know.", config)
