"""The whole way in a few seconds: text, tokenizer, model, training, generation.

Run on every commit; when this fails, look here before anything else.
"""

import torch

from groundup.core import Message, Sampling
from groundup.generate import Engine
from groundup.kernels import LossSum
from groundup.model import AttentionConfig, FeedForwardConfig, ModelConfig, Transformer
from groundup.tokenizer import FastTokenizer, render, train_bpe
from groundup.train import (
    LoopOptions,
    MicroBatch,
    OptimConfig,
    Optimizer,
    causal_loss,
    make_lr_schedule,
    train,
)

CHAT = (
    Message("user", "What is the capital of the country that lies west of here?"),
    Message("assistant", "The documents do not say which country is meant, so I cannot tell."),
)


def tokenizer() -> FastTokenizer:
    texts = [message.content for message in CHAT]
    return FastTokenizer(train_bpe(texts, 280))


def tiny_model(vocab_size: int) -> Transformer:
    config = ModelConfig(
        vocab_size=vocab_size,
        width=32,
        layers=2,
        context_length=256,
        attention=AttentionConfig(heads=2, kv_heads=1, head_dim=16),
        feedforward=FeedForwardConfig(width=64),
    )
    return Transformer(config, seed=0)


def batch_of(words: FastTokenizer) -> MicroBatch:
    rendered = render(words, CHAT)
    ids = torch.tensor([rendered.ids])
    weights = torch.tensor([rendered.mask], dtype=torch.float32)
    return MicroBatch(ids[:, :-1], ids[:, 1:], weights[:, 1:], None, ("chat",))


def test_a_model_learns_its_answer_by_heart_and_says_it():
    words = tokenizer()
    model, batch = tiny_model(words.vocab_size), batch_of(words)
    optim = OptimConfig(warmup=0.0, learning_rate=1e-2)
    optimizer = Optimizer(model.named_parameters(), optim)
    rate = make_lr_schedule(optim, 60)
    losses = [
        s.loss
        for s in train(model, lambda step: [batch], causal_loss, optimizer, rate, LoopOptions(60))
    ]
    assert losses[0] > 5 > 0.1 > losses[-1]
    answer = Engine(model, words).generate([CHAT[:1]], Sampling(max_tokens=100))[0]
    assert answer.text == CHAT[1].content
    assert answer.finish_reason == "stop"


def test_a_loss_is_a_sum_with_its_weight():
    words = tokenizer()
    batch = batch_of(words)
    found = causal_loss(tiny_model(words.vocab_size), batch)
    assert isinstance(found, LossSum)
    assert found.weight == batch.weights.sum()
