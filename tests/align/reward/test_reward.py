"""Reward models: losses equal TRL's, answers are scored at their ends, and order is learnt."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from groundup.align import (
    PreferencesConfig,
    RewardModel,
    RewardModelConfig,
    import_preferences,
    reward,
)
from groundup.align.form import load_chat_format
from groundup.align.packing import PADDING, pack_groups
from groundup.align.preferences import parse_preference
from groundup.align.reward.model import scored_answer, scored_steps, scores_of
from groundup.align.reward.stage import (
    RewardObjective,
    _make_batch,
    _pair_measures,
    pair_losses,
)
from groundup.core import ConfigError, DataError, Message
from groundup.measure import auroc
from groundup.model import load_with_head
from groundup.tokenizer import RenderedChat
from groundup.train import Precision, split_batch
from groundup.train.loop import accumulate_gradients
from tests.train.small import without_compiler

FIXTURE = Path(__file__).parents[2] / "fixtures/align/trl_rewards.json"
RATES = {"learning_rate": 3e-3, "muon_learning_rate": 1e-2, "embedding_learning_rate": 0.02}


@pytest.fixture(autouse=True, scope="module")
def uncompiled():
    with without_compiler():
        yield


def settings(**changes) -> RewardModelConfig:
    given = {"batch_answers": 8, "epochs": 4, "max_length": 128, "optim": RATES}
    return RewardModelConfig(**given | changes)


def imported(rows, path: Path):
    path.mkdir()
    (path / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return import_preferences(
        PreferencesConfig(validation_share=0.25), [path / "rows.jsonl"], path / "preferences"
    )


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """The chosen answer is the one in small letters, as long as the other."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(96):
        text = "".join(rng.choice(list("abcdef"), 6))
        rows.append({"prompt": f"say {number}", "chosen": text, "rejected": text.upper()})
    return imported(rows, tmp_path_factory.mktemp("pairs") / "p")


@pytest.fixture(scope="module")
def stepwise(tmp_path_factory):
    """A step is right if it has a plus."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(96):
        labels = [bool(each) for each in rng.integers(0, 2, 3)]
        steps = [f"{'+' if label else '-'}{number % 7}" for label in labels]
        rows.append({"prompt": f"go {number}", "completions": steps, "labels": labels})
    return imported(rows, tmp_path_factory.mktemp("steps") / "p")


@pytest.fixture(scope="module")
def judge(chat_model, pairs, tmp_path_factory) -> RewardModel:
    made = reward(settings(), chat_model, pairs, tmp_path_factory.mktemp("judge") / "out")
    return RewardModel.open(made.path)


@pytest.mark.parametrize(
    ("name", "centring", "has_margin"),
    [("plain", 0, False), ("margin", 0, True), ("centred", 0.01, False), ("both", 0.3, True)],
)
def test_the_loss_of_pairs_equals_trl(name, centring, has_margin):
    trl = json.loads(FIXTURE.read_text())
    chosen, rejected, margin = (
        torch.tensor(trl[each], dtype=torch.float64) for each in ("chosen", "rejected", "margin")
    )
    found = pair_losses(chosen, rejected, margin * has_margin, centring)
    assert_close(found.mean(), torch.tensor(trl["losses"][name], dtype=torch.float64))


def test_gradients_do_not_depend_on_how_a_step_is_split_or_packed(chat_model, judge):
    module, form = judge.module.double(), judge.form
    prompt = (Message("user", "say"),)
    groups = [
        [scored_answer(form, (*prompt, Message("assistant", text)), "", margin=0.1 * number)
         for text in ("a" * (3 + number), "b" * (9 - number))]
        for number in range(5)
    ]  # fmt: skip
    found = []
    for width, parts in ((512, 1), (128, 3)):
        config = settings(max_length=width)
        batch = pack_groups(groups, width)
        batch = batch._replace(advantages=batch.advantages.double())
        module.zero_grad()
        batches, weight = split_batch(batch, parts), float(batch.weights.sum())
        loss = accumulate_gradients(module, RewardObjective(config), Precision())(batches, weight)
        grads = [p.grad.flatten() for p in module.parameters() if p.grad is not None]
        found.append((torch.cat(grads), loss))
    assert_close(found[0], found[1], rtol=1e-7, atol=1e-10)
    judge.module.float()


def test_the_order_of_pairs_is_learnt_and_told_beside_the_baseline(judge, pairs):
    made = json.loads((judge.path / "manifest.json").read_text())["numbers"]["held_out"]
    assert made["accuracy"][0] > 0.9 and made["longer_is_better"] == 0.5 and made["pairs"] >= 16
    assert made["accuracy_longer"] is None and made["margin"] > 0
    rows = [json.loads(x) for x in (pairs.path / "validation.jsonl").read_text().splitlines()]
    asked = [parse_preference(row) for row in rows]
    good = judge.score([each.conversation(each.chosen) for each in asked])
    bad = judge.score([each.conversation(each.rejected) for each in asked])
    assert np.isfinite(good).all() and (good > bad).mean() == made["accuracy"][0]


def test_an_answer_is_scored_at_its_last_token_alone_and_among_others(judge):
    talks = [
        (Message("user", "say"), Message("assistant", "ab" * size)) for size in (9, 1, 30, 4, 4)
    ]
    found = judge.score(talks)
    for talk, score in zip(talks, found, strict=True):
        rendered = judge.form.render(talk, "")
        ids = torch.tensor([rendered.ids])[:, :-1]  # without the newline after the stop token
        assert rendered.mask[-2:] == [True, False]
        with torch.no_grad():
            assert_close(float(judge.module(ids)), score, rtol=1e-5, atol=1e-5)
    with pytest.raises(DataError, match="reads 256 tokens, and an answer with its prompt has"):
        judge.score([(Message("user", "a"), Message("assistant", "b" * 300))])


def test_steps_are_scored_where_they_end(chat_model):
    form = load_chat_format(chat_model.path, "")
    made = scored_steps(form, (Message("user", "go"),), ["one", "two\nlines", "end"],
                        [True, False, True], "row")  # fmt: skip
    ends = np.flatnonzero(made.labels != PADDING)
    said = [form.tokenizer.decode(made.ids[: end + 1].tolist()) for end in ends]
    assert [text.rpartition("assistant\n")[2] for text in said] == [
        "one\n", "one\ntwo\nlines\n", "one\ntwo\nlines\nend<|im_end|>",
    ]  # fmt: skip
    assert made.labels[ends].tolist() == [1, 0, 1]


def test_steps_that_end_with_one_token_are_refused(chat_model, monkeypatch):
    form = load_chat_format(chat_model.path, "")
    one = RenderedChat("", [1, 2], [False, True])
    monkeypatch.setattr(type(form), "render", lambda *given: one)
    with pytest.raises(DataError, match="row 1: two of its steps end with the same token"):
        scored_steps(form, (Message("user", "a"),), ["b", "c"], [True, True], "row 1")


def test_right_steps_are_told_and_an_answer_is_worth_its_worst(chat_model, stepwise, tmp_path):
    made = reward(settings(of="steps", epochs=6), chat_model, stepwise, tmp_path / "out")
    numbers = made.numbers["held_out"]
    assert numbers["accuracy"][0] > 0.9 and numbers["auroc"] > 0.95 and numbers["steps"] >= 30
    opened = RewardModel.open(made.path)
    rows = [json.loads(x) for x in (stepwise.path / "validation.jsonl").read_text().splitlines()]
    asked = [parse_preference(row) for row in rows]
    scores = opened.score([each.conversation("\n".join(each.steps)) for each in asked])
    assert auroc(scores, [all(each.labels) for each in asked]) > 0.95
    assert ((0 <= scores) & (scores <= 1)).all()


def test_measures_by_length_and_calibration():
    ahead, longer = np.array([1.0, 1.0, -1.0, 1.0]), np.array([3, 3, -2, 0])
    found = _pair_measures(ahead, longer)
    assert found["accuracy"][0] == 0.75 and found["accuracy_longer"][0] == 1.0
    assert found["accuracy_shorter"][0] == 0.0 and found["longer_is_better"] == 0.625
    sure = 1 / (1 + np.exp(-1.0))
    assert found["calibration_error"] == pytest.approx(abs(sure - 0.75), abs=1e-4)


def test_what_does_not_fit_is_told(chat_model, pairs, stepwise, tmp_path):
    with pytest.raises(DataError, match="No train row with steps fits"):
        reward(settings(of="steps"), chat_model, pairs, tmp_path / "a")
    with pytest.raises(DataError, match="No train pair fits"):
        reward(settings(), chat_model, stepwise, tmp_path / "b")
    with pytest.raises(ConfigError, match="label_smoothing and z_loss"):
        reward(settings(z_loss=0.1), chat_model, pairs, tmp_path / "c")


@pytest.mark.parametrize(
    ("row", "reason"),
    [({"completions": ["a"], "labels": [True, False]}, "1 steps need as many labels"),
     ({"completions": ["a"], "labels": [1]}, "1 steps need as many labels"),
     ({"completions": [], "labels": []}, "no lists of completions"),
     ({"completions": [""], "labels": [True]}, "completions"),
     ({"chosen": "a", "rejected": "b", "margin": "c"}, "margin is 'c'")],
)  # fmt: skip
def test_rows_of_steps_and_margins_that_cannot_be_used(row, reason):
    with pytest.raises(DataError, match=reason):
        parse_preference({"prompt": "p"} | row)


def test_a_reward_model_is_one_that_others_open(judge):
    config = json.loads((judge.path / "config.json").read_text())
    assert config["architectures"][0].endswith("ForSequenceClassification")
    assert load_with_head(judge.path).head.config.kind == "number"


def test_scores_stand_where_labels_do(judge):
    talk = (Message("user", "a"), Message("assistant", "b"))
    batch = pack_groups([[scored_answer(judge.form, talk, "")]], 64)
    assert (batch.targets != PADDING).sum() == 1 and len(scores_of(judge.module, batch)) == 1
    assert _make_batch(settings(), [[scored_answer(judge.form, talk, "")]]).weights.sum() == 1
