"""What is sampled has the log-probabilities that training computes, to the bit if asked for."""

import json

import pytest
import torch
from torch.testing import assert_close

from groundup.align.direct.batches import PADDING, target_logprobs
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
