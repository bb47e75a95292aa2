"""What is sampled has the log-probabilities that training computes, to the bit if asked for."""

import json
from functools import partial

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from groundup.align.packing import PADDING, target_logprobs, with_reference
from groundup.align.policy.losses import PolicyLossConfig
from groundup.align.policy.rewards import Reward, RewardConfig, read_tasks
from groundup.align.policy.rollouts import RolloutPlan, sample_rollouts
from groundup.core import device
from groundup.generate import Engine, ExactForward
from tests.serve.servers import write_chat_model

PLAN = RolloutPlan(answers=4, max_tokens=8, row_tokens=256, seed=0)


@pytest.mark.skipif(not device.compiler(), reason="no C++ compiler")
def test_the_trainers_log_probabilities_are_the_samplers(tmp_path):
    engine = Engine.open(write_chat_model(tmp_path / "model", 256))
    (tmp_path / "t.jsonl").write_text(json.dumps({"prompt": "1+1", "answer": "2"}))
    loss, reward = PolicyLossConfig(), Reward.of(RewardConfig(number=0, ended=1))
    tasks = read_tasks(tmp_path / "t.jsonl")
    batch = sample_rollouts(engine, tasks, 0, PLAN, reward=reward, loss=loss).batch(loss, PLAN)
    is_answer = batch.targets != PADDING
    exact = ExactForward(engine.model.train(), vocab_size=engine.tokenizer.vocab_size)
    found = exact.log_probs(
        batch.ids, batch.targets.clamp(min=0), documents=batch.documents, wanted=is_answer
    )
    assert torch.equal(found[is_answer], batch.sampled[is_answer]), "the ratio is exactly 1"
    plain = target_logprobs(engine.model, batch, engine.tokenizer.vocab_size)
    assert_close(plain, batch.sampled[is_answer], rtol=1e-4, atol=1e-4)


def test_ppo_takes_the_divergence_off_each_token_and_values_what_is_left(tmp_path):
    engine = Engine.open(write_chat_model(tmp_path / "model", 256))
    other = Engine.open(write_chat_model(tmp_path / "model", 256)).model
    with torch.no_grad():
        other.head.mul_(0.5)  # a reference that differs
    (tmp_path / "t.jsonl").write_text(json.dumps({"prompt": "1+1", "answer": "2"}))
    tasks, ended = read_tasks(tmp_path / "t.jsonl"), Reward.of(RewardConfig(number=0, ended=1))
    loss = PolicyLossConfig(name="ppo", beta=0.5, decay=1.0)
    made = sample_rollouts(
        engine, tasks, 0, PLAN, reward=ended, loss=loss, reference=partial(with_reference, other),
        token_values=lambda answers: [np.full(len(each.ids), 0.25) for each in answers],
    )  # fmt: skip
    assert made.divergence != 0 and made.beta == 0.5
    for each, score in zip(made.answers, made.rewards.flatten(), strict=True):
        own = each.is_answer
        paid = -0.5 * (each.sampled - each.reference)[own].astype(float)
        paid[-1] += score
        left = np.cumsum(paid[::-1])[::-1]  # without decay: all that is still to come
        assert np.allclose(each.returns[own], left) and (each.advantage[~own] == 0).all()
    gains = np.concatenate([each.advantage[each.is_answer] for each in made.answers])
    assert abs(gains.mean()) < 1e-9 and abs(gains.std(ddof=1) - 1) < 1e-6


def test_a_reference_that_is_the_policy_itself_is_no_divergence(tmp_path):
    engine = Engine.open(write_chat_model(tmp_path / "model", 256))
    (tmp_path / "t.jsonl").write_text(json.dumps({"prompt": "1+1", "answer": "2"}))
    tasks, ended = read_tasks(tmp_path / "t.jsonl"), Reward.of(RewardConfig(number=0, ended=1))
    assert engine.tokenizer.vocab_size < len(engine.model.head), "some ids are never drawn"
    same = partial(with_reference, engine.model, vocab_size=engine.tokenizer.vocab_size)
    loss = PolicyLossConfig(beta=0.1)
    made = sample_rollouts(engine, tasks, 0, PLAN, reward=ended, loss=loss, reference=same)
    assert abs(made.divergence) < 1e-4
