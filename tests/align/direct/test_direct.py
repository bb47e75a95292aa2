"""Packed answers have the log-probabilities that they have alone; training prefers the chosen."""

import json

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from groundup.align import (
    DirectConfig,
    FinetuneConfig,
    Preference,
    PreferenceLossConfig,
    PreferencesConfig,
    direct,
    import_preferences,
)
from groundup.align.direct import stage
from groundup.align.direct.stage import KtoObjective, PairObjective, _make_batch, answer_logprobs
from groundup.align.finetune import fit_to
from groundup.align.form import load_chat_format
from groundup.align.packing import (
    RenderedAnswer,
    pack_groups,
    with_reference,
)
from groundup.core import Artifact, ConfigError, DataError, Draft, Message
from groundup.kernels.mask import has_split_document
from groundup.model import load
from groundup.tokenizer import RenderedChat
from groundup.train import Precision, split_batch
from groundup.train.loop import accumulate_gradients
from tests.train.small import without_compiler


@pytest.fixture(autouse=True, scope="module")
def uncompiled():
    with without_compiler():
        yield


@pytest.fixture(scope="module")
def answers() -> list[RenderedAnswer]:
    rng = np.random.default_rng(0)
    made = list[RenderedAnswer]()
    for size in (9, 14, 30, 12, 7, 8, 21, 25, 16, 11):
        mask = np.arange(size) >= rng.integers(2, size - 1)
        made.append(RenderedAnswer(rng.integers(0, 256, size), mask, np.zeros(size, np.float32)))
    return made


def exact(chat_model):
    return load(chat_model.path).double()


def alone(model, answer):
    ids = torch.from_numpy(answer.ids)[None]
    logprobs = model.logits(ids[:, :-1]).log_softmax(-1)
    own = logprobs.gather(-1, ids[:, 1:, None])[0, :, 0]
    return own[torch.from_numpy(answer.is_answer[1:])]


def test_only_the_last_answer_of_a_conversation_counts():
    mask = [False, True, True, False, False, True, True]
    found = RenderedAnswer.of_chat(RenderedChat("", [1, 2, 3, 4, 5, 6, 7], mask))
    assert found.is_answer.tolist() == [False] * 5 + [True, True] and found.end == 7


def test_packed_answers_have_the_log_probabilities_that_they_have_alone(chat_model, answers):
    model = exact(chat_model)
    pairs = list(zip(answers[::2], answers[1::2], strict=True))
    with torch.no_grad():
        found = answer_logprobs(model, pack_groups(pairs, 60))
        expected = [alone(model, each) for each in answers]
    assert_close(found.policy, torch.stack([each.sum() for each in expected]))
    assert found.tokens.tolist() == [len(each) for each in expected]
    kept = with_reference(model, answers, 60)
    for each, own in zip(kept, expected, strict=True):
        assert_close(
            torch.from_numpy(each.reference[each.is_answer]).double(), own, rtol=1e-6, atol=1e-6
        )


def test_the_documents_of_a_row_ascend_so_that_the_fast_kernels_run(answers):
    pairs = list(zip(answers[::2], answers[1::2], strict=True))
    batch = pack_groups(pairs, 60)
    assert len(batch.ids) < len(pairs), "some rows hold several pairs"
    assert not has_split_document(batch.documents)


@pytest.mark.parametrize("name", ["dpo", "ipo", "simpo", "orpo"])
def test_gradients_of_pairs_do_not_depend_on_how_a_step_is_split(name, chat_model, answers):
    model = exact(chat_model)
    pairs = list(zip(answers[::2], answers[1::2], strict=True))
    objective = PairObjective(PreferenceLossConfig(name=name))
    found = [
        gradient(model, split_batch(pack_groups(pairs, length), parts), objective)
        for length, parts in ((200, 1), (60, 1), (60, 2), (60, 5))
    ]
    for other in found[1:]:
        assert_close(other, found[0], rtol=1e-9, atol=1e-12)


def gradient(model, batches, objective):
    model.zero_grad()
    weight = float(sum(each.weights.sum() for each in batches))
    loss = accumulate_gradients(model, objective, Precision())(batches, weight)
    return torch.cat([p.grad.flatten() for p in model.parameters()]), loss


def test_gradients_of_kto_do_not_depend_on_how_a_step_is_split(chat_model, answers):
    model, config = (
        exact(chat_model),
        DirectConfig(loss=PreferenceLossConfig(name="kto"), max_length=30),
    )
    answers = [
        each._replace(reference=each.reference - 0.1) for each in with_reference(model, answers, 60)
    ]
    pairs = zip(answers, [answers[-1], *answers[:-1]], strict=True)
    made = [
        [own._replace(advantage=np.array(-1.0 if n % 3 else 1.0)), other]
        for n, (own, other) in enumerate(pairs)
    ]
    objective, found = KtoObjective(config.loss), []
    for length, parts in ((2048, 1), (2048, 3), (60, 4)):
        batch = _make_batch(config, made) if length == 2048 else _rows_of_60(config, made)
        model.zero_grad()
        weight = float(batch.weights.sum())
        loss = objective.gradients(model, Precision())(split_batch(batch, parts), weight)
        grads = torch.cat([p.grad.flatten() for p in model.parameters()])
        found.append((grads, torch.tensor(loss)))
        assert weight == len(made)
    for other in found[1:]:
        assert_close(other, found[0], rtol=1e-6, atol=1e-9)
    model.zero_grad()
    whole = objective(model, _make_batch(config, made))
    (whole.total / whole.weight).backward()
    assert_close(torch.cat([p.grad.flatten() for p in model.parameters()]), found[0][0])


def _rows_of_60(config, made):
    class Short(DirectConfig):
        @property
        def row_tokens(self) -> int:
            return 60

    return _make_batch(Short(**config.model_dump()), made)


@pytest.fixture(scope="module")
def preferences(tmp_path_factory) -> Artifact:
    folder = tmp_path_factory.mktemp("preferences")
    rows = [
        {"prompt": f"say {word} {n}", "chosen": word, "rejected": word[::-1]}
        for n in range(12) for word in ("tea", "milk", "salt")
    ]  # fmt: skip
    (folder / "p.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    config = PreferencesConfig(validation_share=0.2)
    return import_preferences(config, [folder / "p.jsonl"], folder / "preferences")


def settings(name="dpo", **changes):
    rate = {"learning_rate": 2e-3, "muon_learning_rate": 5e-3}
    given = {"epochs": 6, "batch_answers": 8, "max_length": 96, "optim": rate}
    return DirectConfig(**{**given, "loss": {"name": name}, **changes})


@pytest.mark.parametrize("name", ["dpo", "simpo"])
def test_training_prefers_the_chosen_answers_of_held_out_prompts(
    name, chat_model, preferences, tmp_path
):
    made = direct(settings(name), chat_model, preferences, tmp_path / name)
    held_out = made.numbers["held_out"]
    assert held_out["preferred"] >= 0.9 and held_out["margin"] > 0 and "mfu" not in made.numbers
    assert load(made.path).config == load(chat_model.path).config
    assert {parent.name for parent in made.parents} == {"model", "preferences"}


def test_the_usual_change_of_kto_is_of_answers_to_other_prompts(chat_model, tmp_path):
    rows = [Preference((Message("user", str(n)),), f"{n} good", f"{n} bad") for n in range(3)]
    config = DirectConfig(loss=PreferenceLossConfig(name="kto"))
    form = load_chat_format(chat_model.path, "")
    found = stage._compared(config, rows, form, "train", Draft(tmp_path, tmp_path, tmp_path))
    said = [
        [form.tokenizer.decode(each.ids[each.is_answer].tolist()) for each in own] for own in found
    ]
    assert len(said) == 6 and all(own[0] != other[0] for own, other in said), said


@pytest.mark.parametrize("name", ["dpo", "kto"])
def test_preferences_that_are_too_long_are_left_out_and_named(name, chat_model, tmp_path):
    asked = [f"Which {number}?" for number in range(3)]
    rows = [Preference((Message("user", text),), "good " * 9**at, "bad") for at, text in
            enumerate(asked)]  # fmt: skip
    config = DirectConfig(max_length=128, loss=PreferenceLossConfig(name=name))
    draft = Draft(tmp_path, tmp_path, tmp_path)
    form = load_chat_format(chat_model.path, "")
    kept = stage._compared(config, rows, form, "train", draft)
    named = (draft.log / "too_long_train.txt").read_text().splitlines()
    assert len(kept) + len(named) == (3 if name == "dpo" else 6)
    assert any(line.startswith("'Which 2?' with an answer has 4") for line in named)
    if name == "dpo":
        assert len(named) == 1


def test_kto_needs_more_than_one_pair(chat_model, tmp_path):
    rows = [Preference((Message("user", "Why?"),), "good", "bad")]
    config = DirectConfig(loss=PreferenceLossConfig(name="kto"))
    form, draft = load_chat_format(chat_model.path, ""), Draft(tmp_path, tmp_path, tmp_path)
    with pytest.raises(DataError, match="of one row; kto needs good and bad ones of several"):
        stage._compared(config, rows, form, "train", draft)


def test_kto_learns_from_single_answers(chat_model, tmp_path):
    rows = [
        {"prompt": f"say {n}", "completion": "yes" if n % 2 else "no", "label": bool(n % 2)}
        for n in range(40)
    ]
    (tmp_path / "p.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    made = import_preferences(PreferencesConfig(), [tmp_path / "p.jsonl"], tmp_path / "preferences")
    trained = direct(settings("kto"), chat_model, made, tmp_path / "out")
    assert trained.numbers["final loss"] < 0.45  # .5 at the start
    one_sided = [row for row in rows if row["label"]]
    (tmp_path / "p.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in one_sided))
    made = import_preferences(PreferencesConfig(), [tmp_path / "p.jsonl"], tmp_path / "good")
    with pytest.raises(DataError, match="answers are of one kind or of one row; kto needs"):
        direct(settings("kto"), chat_model, made, tmp_path / "none")
    with pytest.raises(DataError, match="No train preference fits dpo; give pairs"):
        direct(settings(), chat_model, made, tmp_path / "none")


def test_a_stopped_run_ends_with_the_same_bits(chat_model, preferences, tmp_path, monkeypatch):
    config = settings(epochs=2, checkpoints={"every_seconds": 0.0})
    whole = direct(config, chat_model, preferences, tmp_path / "whole")
    real, calls = stage._make_batch, []

    def killed(*given):
        calls.append(given)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return real(*given)

    monkeypatch.setattr(stage, "_make_batch", killed)
    with pytest.raises(KeyboardInterrupt):
        direct(config, chat_model, preferences, tmp_path / "again")
    monkeypatch.undo()
    again = direct(config, chat_model, preferences, tmp_path / "again")
    assert again.files["model.safetensors"] == whole.files["model.safetensors"]


def test_settings_that_do_not_fit_are_told(chat_model, preferences, tmp_path):
    with pytest.raises(ConfigError, match="max_length=1024 exceeds the model's context_length=256"):
        direct(DirectConfig(max_length=1024), chat_model, preferences, tmp_path / "a")
    assert fit_to(chat_model, DirectConfig()).max_length == 256, "by default as much as fits"
    assert fit_to(chat_model, FinetuneConfig(max_length=9)).max_length == 9
    with pytest.raises(DataError, match="No train preference fits"):
        direct(settings(max_length=4), chat_model, preferences, tmp_path / "a")
    with pytest.raises(ConfigError, match="label_smoothing"):
        direct(settings(label_smoothing=0.1), chat_model, preferences, tmp_path / "a")
