"""Requests share a model and its blocks, and each answer is the one that it has alone."""

import math
from functools import cache, partial

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from torch.testing import assert_close

from groundup.core import CapacityError, ConfigError, Reason, Sampling, device
from groundup.generate.batching import scores
from groundup.generate.batching.blocks import BlockPool
from groundup.generate.batching.engine import BatchEngine, DecodeRequest
from groundup.generate.batching.scheduler import SchedulerLimits
from groundup.generate.batching.scores import score_continuations
from groundup.generate.batching.speculative import DraftControl, DraftModel, NgramDrafter
from groundup.generate.cached import CachedTransformer
from groundup.kernels import AttentionPattern
from groundup.model import (
    AttentionConfig,
    FeedForwardConfig,
    ModelConfig,
    NativeDecoder,
)
from tests.generate.tiny import tiny_model
from tests.model.paged import PagedTransformer
from tests.model.shapes import tiny_model as tiny_shape

needs_compiler = pytest.mark.skipif(not device.compiler(), reason="no C++ compiler")
END = 7
SETTINGS = [
    Sampling(max_tokens=30),
    Sampling(max_tokens=30, temperature=1.0, logprobs=2),
    Sampling(max_tokens=30, temperature=0.7, top_k=20),
    Sampling(max_tokens=30, temperature=1.3, top_p=0.8),
    Sampling(max_tokens=30, temperature=1.0, min_p=0.1, min_tokens=5),
    Sampling(max_tokens=30, repetition_penalty=1.3),
    Sampling(max_tokens=30, presence_penalty=0.5, frequency_penalty=0.5, temperature=0.9),
    Sampling(max_tokens=30, logit_bias={5: 2.0}, banned_tokens=(9,)),
    Sampling(max_tokens=30, allowed_tokens=(1, 2, 3, END)),
    Sampling(max_tokens=30, stop=("12",)),
    Sampling(max_tokens=30, stop_tokens=(11, 12), temperature=1.0),
    Sampling(max_tokens=1),
]
SHARED = torch.randint(260, (70,), generator=torch.Generator().manual_seed(3)).tolist()


@cache
def small_model(dtype=torch.float32):
    return tiny_model(dtype, 192)


def decode(ids):
    return "".join(chr(token) for token in ids)


def engine_of(blocks=40, limits=None, drafter=None, decoder=NativeDecoder, dtype=torch.float32):
    limits = limits or SchedulerLimits()
    return BatchEngine(decoder(small_model(dtype), blocks), limits=limits, drafter=drafter)


def requests_of(count):
    generator = torch.Generator().manual_seed(5)
    for number in range(count):
        size = int(torch.randint(1, 60, (1,), generator=generator))
        own = torch.randint(260, (size,), generator=generator).tolist()
        ids = SHARED + own if number % 2 else own
        yield DecodeRequest(
            ids, SETTINGS[number % len(SETTINGS)], seed=number, end_ids=(END,), decode=decode
        )


def answers_of(engine, requests):
    numbers = [engine.add(request) for request in requests]
    found = {}
    while not engine.is_idle:
        found |= ended(engine.step())
        engine.pool.check([each.table for each in engine._sequences.values()])
    engine.pool.check([])
    return [found[number] for number in numbers]


def ended(events):
    """What ended, by request."""
    return {event.request: event.ended for event in events if event.ended is not None}


@cache
def alone():
    return [answers_of(engine_of(), [request])[0] for request in requests_of(24)]


@needs_compiler
@pytest.mark.parametrize(
    ("blocks", "budget", "drafter"),
    [
        (160, 512, None),
        (160, 13, None),
        (9, 60, None),
        (160, 512, NgramDrafter),
        (9, 20, partial(NgramDrafter, longest=3, shortest=1)),
    ],
    ids=["company", "chunks", "pre-emption", "speculation", "all at once"],
)
def test_no_lever_changes_a_byte(blocks, budget, drafter):
    limits = SchedulerLimits(token_budget=budget, max_running=20)
    engine = engine_of(blocks, limits, drafter)
    answers = answers_of(engine, list(requests_of(24)))
    assert answers == alone()  # ids, log-probabilities and alternatives, to the bit
    own = engine.metrics
    assert own.shared_tokens > 0
    assert (blocks == 9) == (own.preemptions > 0)
    assert (drafter is not None) == (own.drafted > 0)  # accepted: by chance of a random model


@needs_compiler
def test_answers_are_those_of_the_plain_forward_pass():
    model = small_model()
    for request, answer in zip(requests_of(6), alone(), strict=False):
        ids = [*request.ids, *answer.ids]
        with torch.inference_mode():
            logits = model.logits(torch.tensor([ids]))[0].log_softmax(-1)
        rows = range(len(request.ids) - 1, len(ids) - 1)
        wanted = [float(logits[row, token]) for row, token in zip(rows, answer.ids, strict=True)]
        assert_close(answer.logprobs, wanted, rtol=1e-4, atol=1e-4)


def test_the_models_own_pass_gives_the_same_answers_in_float64():
    requests = list(requests_of(12))
    wanted = [
        answers_of(engine_of(decoder=PagedTransformer, dtype=torch.float64), [each])[0]
        for each in requests
    ]
    limits = SchedulerLimits(token_budget=17)
    engine = engine_of(12, limits, NgramDrafter, PagedTransformer, torch.float64)
    for got, want in zip(answers_of(engine, requests), wanted, strict=True):
        assert got.ids == want.ids and got.finish_reason == want.finish_reason
        assert_close(got.logprobs, want.logprobs, rtol=0, atol=1e-12)


@needs_compiler
def test_a_prompt_that_was_computed_is_found_but_for_its_last_token():
    engine = engine_of()
    prompt = SHARED[:64]
    for _ in range(2):
        answers_of(engine, [DecodeRequest(prompt, Sampling(max_tokens=1))])
    assert engine.metrics.shared_tokens == 32  # of two full blocks, one is left to compute
    answers_of(engine, [DecodeRequest(prompt, Sampling(max_tokens=1), salt="another tenant")])
    assert engine.metrics.shared_tokens == 32


@needs_compiler
def test_decoding_is_never_held_up_by_a_prompt():
    engine = engine_of(limits=SchedulerLimits(token_budget=8))
    first = engine.add(DecodeRequest([1, 2, 3], Sampling(max_tokens=20, min_tokens=20)))
    engine.step()
    engine.add(DecodeRequest(SHARED, Sampling(max_tokens=2)))
    for _ in range(10):
        assert first in [event.request for event in engine.step()]


@needs_compiler
def test_priority_goes_first_and_waiting_counts():
    limits = SchedulerLimits(max_running=1, aging=3)
    engine = engine_of(limits=limits)
    one = Sampling(max_tokens=1)
    late = engine.add(DecodeRequest([1], one, priority=5))
    order = []
    for step in range(40):
        engine.add(DecodeRequest([step + 2], one))
        order += ended(engine.step())
    assert order[0] != late and late in order  # newer ones overtook it, but not for ever


@needs_compiler
def test_urgent_requests_take_the_blocks_of_others():
    engine = engine_of(blocks=3)
    engine.add(DecodeRequest(SHARED[:60], Sampling(max_tokens=36, min_tokens=36), priority=1))
    engine.step()
    urgent = engine.add(DecodeRequest(SHARED[:50], Sampling(max_tokens=2), priority=0, salt="x"))
    finished = [number for _ in range(4) for number in ended(engine.step())]
    assert urgent in finished
    while not engine.is_idle:
        engine.step()
    assert engine.metrics.preemptions == 1


@needs_compiler
def test_an_aborted_request_frees_its_blocks_at_once():
    engine = engine_of()
    numbers = [engine.add(request) for request in requests_of(6)]
    engine.step()
    for number in numbers:
        assert engine.abort(number) and not engine.abort(number)
    engine.pool.check([])
    assert engine.is_idle and engine.step() == []


@needs_compiler
def test_readers_take_turns_and_lose_nothing():
    engine = engine_of()
    first, second = (engine.stream([engine.add(request)]) for request in requests_of(2))
    tokens = {0: [], 1: []}
    for _ in range(60):
        for row, reader in enumerate((first, second)):
            event = next(reader, None)
            tokens[row] += [] if event is None else [event.id]
    assert [tokens[row] for row in range(2)] == [answer.ids for answer in alone()[:2]]
    engine.stream([engine.add(next(requests_of(1)))]).close()
    assert engine.is_idle, "a stream that nobody read frees its request too"
    third = engine.stream([engine.add(next(requests_of(1)))])
    next(third)
    third.close()
    assert engine.is_idle and not engine._inboxes


@needs_compiler
def test_logits_that_are_not_finite_end_their_request_alone():
    model = tiny_model(torch.float32, 192)
    with torch.no_grad():
        model.embed_tokens.weight[50] = math.nan
    engine = BatchEngine(NativeDecoder(model, 20), vocab_size=50)
    bad, good = answers_of(
        engine, [DecodeRequest([1, 50], SETTINGS[0]), DecodeRequest([1, 2], SETTINGS[0])]
    )
    assert isinstance(bad, Reason) and bad.code == "not_finite" and len(good.ids) > 1


@needs_compiler
def test_what_cannot_be_served_is_refused():
    engine = engine_of(blocks=2, limits=SchedulerLimits(max_waiting=1))
    with pytest.raises(CapacityError, match="needs 3 blocks and the cache has 2"):
        engine.add(DecodeRequest(SHARED, Sampling(max_tokens=10)))
    with pytest.raises(CapacityError, match="has 192 tokens and the context 192"):
        engine.add(DecodeRequest([1] * 192, Sampling()))
    with pytest.raises(ConfigError, match="id outside 0 to 259"):
        engine.add(DecodeRequest([9999], Sampling()))
    with pytest.raises(ConfigError, match=r"\[99\] have ended"):
        engine.stream([99])
    with pytest.raises(CapacityError, match="has 0 tokens"):
        engine.add(DecodeRequest([], Sampling()))
    engine.add(DecodeRequest([1], Sampling(max_tokens=2)))
    with pytest.raises(CapacityError, match="1 requests wait already"):
        engine.add(DecodeRequest([1], Sampling(max_tokens=2)))
    for value in (0, -1):
        with pytest.raises(ConfigError, match=f"token_budget={value} allows no step"):
            engine_of(limits=SchedulerLimits(token_budget=value))
    with pytest.raises(CapacityError, match="0 blocks"):
        BlockPool(0, 32, lambda source, target: None)


class Blocks(RuleBasedStateMachine):
    """Any schedule of tables over a pool: references and free blocks add up, contents stay."""

    def __init__(self):
        super().__init__()
        self.contents = {}
        self.pool = BlockPool(6, 2, self.contents.__setitem__)
        self.pool.copy = lambda source, target: self.contents.update(
            {target: self.contents.get(source)}
        )
        self.tables = []

    @rule(ids=st.lists(st.integers(0, 2), min_size=1, max_size=9), salt=st.sampled_from("ab"))
    def begin(self, ids, salt):
        table = self.pool.share(self.pool.find_prefix(ids, salt))
        known = [self.contents[block] for block in table]
        assert known == [(salt, tuple(ids[: 2 * n + 2])) for n in range(len(table))]
        while len(table) < -(-len(ids) // 2):
            if (block := self.pool.allocate()) is None:
                self.pool.release(table)
                return
            self.contents[block] = (salt, tuple(ids[: 2 * len(table) + 2]))
            table.append(block)
        self.pool.publish(table, ids, salt)
        self.tables.append(table)

    @precondition(lambda self: self.tables)
    @rule(data=st.data())
    def end(self, data):
        table = self.tables.pop(data.draw(st.integers(0, len(self.tables) - 1)))
        self.pool.release(table)

    @precondition(lambda self: self.tables)
    @rule(data=st.data())
    def fork_and_write(self, data):
        table = data.draw(st.sampled_from(self.tables))
        fork = self.pool.share(table)
        own = self.pool.own(fork[-1])
        if own is None:
            self.pool.release(fork)
            return
        assert own != table[-1] and self.contents[own] == self.contents[table[-1]]
        fork[-1], self.contents[own] = own, "written"
        self.tables.append(fork)

    @invariant()
    def adds_up(self):
        self.pool.check(self.tables)


TestBlocks = Blocks.TestCase
TestBlocks.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_ngrams_are_looked_up_longest_and_latest_first():
    assert NgramDrafter([1, 2, 3, 9, 9, 1, 2, 3, 8, 7, 1, 2, 3]).draft(2) == [8, 7]
    assert NgramDrafter([1, 2, 3, 4, 9, 2, 3, 5, 6, 1, 2, 3]).draft(2) == [4, 9]
    assert NgramDrafter([1, 2, 1]).draft(2) == [] and NgramDrafter().draft(2) == []


def test_drafting_pauses_where_it_is_slower_and_tries_again():
    control = DraftControl()
    assert control.length == 0  # nothing to compare with yet
    control.record_plain(1.0)
    assert control.length > 0
    for _ in range(control.PROBE):
        control.record_drafted(2.0, drafts=1, accepted=0)
    assert control.length == 0 and "0.50 of its speed" in control.reason
    for _ in range(control.PAUSE):
        control.record_plain(1.0)
    assert control.length > 0
    for _ in range(60):
        control.record_drafted(1.5, drafts=2, accepted=12)
    assert control.length == control.MOST and control.pauses == 1


@needs_compiler
def test_scores_are_the_samplers_log_probabilities_to_the_bit():
    requests = [each for each in requests_of(24) if each.sampling.max_tokens > 1]
    answers = [answer for answer in alone() if len(answer.ids) > 0]
    pairs = [(each.ids, answer.ids) for each, answer in zip(requests_of(24), answers, strict=True)]
    engine = engine_of(200)
    scores = {score.index: score for score in score_continuations(engine, pairs * 2)}
    engine.pool.check([])
    assert len(scores) == 2 * len(pairs) and requests
    for index, score in scores.items():
        assert [-nats for nats in score.nats] == answers[index % len(pairs)].logprobs


@needs_compiler
def test_what_was_sampled_is_scored_on_the_same_engine():
    """The sampler's blocks reach beyond the context, whose last token is computed again."""
    engine = engine_of()
    request = DecodeRequest(SHARED[:40], Sampling(max_tokens=60))
    answer = answers_of_one(engine, request)
    (score,) = score_continuations(engine, [(request.ids, answer.ids)])
    assert [-nats for nats in score.nats] == answer.logprobs


@needs_compiler
def test_a_context_of_many_continuations_is_scored_in_parts(monkeypatch):
    """They need more blocks together than there are."""
    monkeypatch.setattr(scores, "BATCH_TOKENS", 400)
    pairs = [(SHARED[:40], [token, token + 1, 3]) for token in range(60)]
    pairs += [(SHARED[:9], [token]) for token in range(20)]
    found = {score.index: score for score in score_continuations(engine_of(24), pairs)}
    for index, pair in enumerate(pairs):
        (alone,) = score_continuations(engine_of(24), [pair])
        assert found[index] == alone._replace(index=index)


@needs_compiler
def test_scores_are_the_plain_ones():
    model = small_model()
    contexts = [SHARED[:size] for size in (1, 31, 32, 33, 64, 65)]
    pairs = [(context, SHARED[40 : 40 + size]) for context in contexts for size in (1, 2, 40)]
    for score in score_continuations(engine_of(200), pairs):
        context, rest = pairs[score.index]
        logprobs = model.logits(torch.tensor([[*context, *rest]]))[0].log_softmax(-1)
        logprobs = logprobs[len(context) - 1 : -1].detach()
        wanted = logprobs[torch.arange(len(rest)), torch.tensor(rest)]
        assert_close(torch.tensor(score.nats).float(), -wanted, rtol=1e-4, atol=1e-4)
        assert score.is_greedy == (logprobs.argmax(-1).tolist() == rest)


@needs_compiler
def test_a_window_holds_its_own_blocks_alone():
    torch.manual_seed(0)
    attention = AttentionConfig(
        heads=4, kv_heads=2, head_dim=8, patterns=(AttentionPattern("window", 40),)
    )
    model = tiny_shape(
        ModelConfig(
            vocab_size=29, width=32, layers=2, context_length=256, attention=attention,
            feedforward=FeedForwardConfig(width=48),
        ),
        torch.float32,
    )  # fmt: skip
    request = DecodeRequest([at % 29 for at in range(100)], Sampling(max_tokens=120))
    whole = BatchEngine(NativeDecoder(model, 8))
    held = BatchEngine(NativeDecoder(model, 8), limits=SchedulerLimits(token_budget=30))
    held.add(request)
    most, found = 0, {}
    while not held.is_idle:
        found |= ended(held.step())
        most = max(most, 8 - len(held.pool.free))
        tables = [each.table[each.dropped :] for each in held._sequences.values()]
        held.pool.check(tables)
    assert most <= 4  # of 7 blocks: those of 40 tokens, and of those that are computed
    assert found[0].ids == answers_of_one(whole, request).ids
    wanted = model.logits(torch.tensor([[*request.ids, *found[0].ids]]))[0, 99:-1].argmax(-1)
    assert wanted.tolist() == found[0].ids


def answers_of_one(engine, request):
    (answer,) = (event.ended for event in engine.stream([engine.add(request)]) if event.ended)
    return answer


@needs_compiler
@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_a_draft_model_changes_no_byte_and_is_accepted_where_it_agrees(noise):
    small = tiny_model(torch.float32, 192)
    with torch.no_grad():
        for weight in small.parameters():
            weight += noise * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))
    model = DraftModel(NativeDecoder(small, 200), 260)
    engine = engine_of(160, drafter=model)
    engine.drafting.LONGEST_PAUSE = 1  # it pays here or not; it is tried at every step
    assert answers_of(engine, list(requests_of(24))) == alone()
    model.pool.check([])
    share = engine.metrics.accepted / engine.metrics.drafted
    assert share > 0.95 if noise == 0 else 0 < share < 0.95
    with pytest.raises(ConfigError, match="has 260 ids and the vocabulary 300"):
        DraftModel(NativeDecoder(small, 4), 300)
    with pytest.raises(ConfigError, match="drafts 100 ids, not 260"):
        engine_of(160, drafter=DraftModel(NativeDecoder(small, 4), 100))


@needs_compiler
def test_a_cache_of_no_block_and_bits_that_no_stack_packs_are_refused():
    for blocks in (0, -1):
        with pytest.raises(ConfigError, match="num_blocks=.* must be at least 1"):
            NativeDecoder(small_model(), blocks)
    with pytest.raises(ConfigError, match="bits=8 needs the native stack"):
        CachedTransformer(small_model(torch.float64), bits=8)


@needs_compiler
def test_a_draft_model_whose_weights_are_damaged_drafts_nothing():
    broken = small_model()
    broken.head.data.fill_(torch.nan)
    engine = engine_of(160, drafter=DraftModel(NativeDecoder(broken, 40), 260))
    requests = list(requests_of(4))
    assert answers_of(engine, requests) == alone()[:4] and engine.metrics.drafted == 0


@needs_compiler
def test_a_draft_model_without_room_drafts_nothing():
    model = DraftModel(NativeDecoder(small_model(), 1), 260)
    assert answers_of(engine_of(160, drafter=model), list(requests_of(24))) == alone()
