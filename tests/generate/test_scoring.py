"""Sharing what requests begin with moves no score, and computes it once."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from groundup.generate import CachedModel, CachedTransformer, TokenPair, score_pairs, scoring
from groundup.generate.cached import find_shared_prefix, pad_right, prefill, prefill_prefix
from groundup.generate.scoring import score_targets
from tests.evaluate.test_likelihood import tiny
from tests.model.shapes import DECODERS, tiny_model

MODEL = CachedTransformer(tiny())  # float64, 64 ids, context 256
IDS = st.integers(0, 63)


def expected(pair: TokenPair) -> tuple[float, bool]:
    """By definition: one pass, all logits."""
    ids = torch.tensor([pair.context + pair.continuation[:-1]])
    with torch.no_grad():
        logits = MODEL.model.logits(ids)[0, len(pair.context) - 1 :]
    targets = torch.tensor(pair.continuation)
    logprobs = logits.log_softmax(-1)[torch.arange(len(targets)), targets]
    return -float(logprobs.sum()), bool((logits.argmax(-1) == targets).all())


def check(pairs: list[TokenPair], batch_tokens: int = 64) -> None:
    for sharing in ("prefix", "batch", "none"):
        found = list(score_pairs(MODEL, pairs, batch_tokens=batch_tokens, sharing=sharing))
        assert sorted(one.index for one in found) == list(range(len(pairs)))
        for one in found:
            nats, is_greedy = expected(pairs[one.index])
            assert one.nats == pytest.approx(nats, abs=1e-9)
            assert one.is_greedy == is_greedy and len(one.token_nats) == len(
                pairs[one.index].continuation
            )


@st.composite
def requests(draw) -> list[TokenPair]:
    root = draw(st.lists(IDS, max_size=24))
    contexts = draw(st.lists(st.lists(IDS, min_size=1, max_size=20), min_size=1, max_size=4))
    continuations = st.lists(IDS, min_size=1, max_size=6)
    return [
        TokenPair(root * draw(st.booleans()) + context, draw(continuations))
        for context in contexts
        for _ in range(draw(st.integers(1, 4)))
    ]


@settings(max_examples=15)
@given(requests(), st.sampled_from([1, 30, 500]))
def test_any_requests_are_scored_as_by_definition(pairs, batch_tokens):
    check(pairs, batch_tokens)


def options(documents: int, root: list[int]) -> list[TokenPair]:
    generator = torch.Generator().manual_seed(4)
    draw = lambda n: torch.randint(64, (n,), generator=generator).tolist()  # noqa: E731
    contexts = [root + draw(10 + number) for number in range(documents)]
    return [TokenPair(context, draw(1 + n)) for context in contexts for n in (0, 3, 3, 5)]


def test_few_shot_examples_and_contexts_are_read_once(monkeypatch):
    root, read = list(range(40)), []
    pairs = options(6, root)
    extend, forward = CachedTransformer.extend, CachedTransformer.forward
    monkeypatch.setattr(
        CachedTransformer, "forward", lambda *a: pytest.fail("nothing is read twice")
    )

    def counted(self, state, ids, lengths):
        read.append(int(lengths.sum()))
        return extend(self, state, ids, lengths)

    monkeypatch.setattr(CachedTransformer, "extend", counted)
    list(score_pairs(MODEL, pairs, batch_tokens=4096))
    contexts = sum(10 + number for number in range(6))
    assert sum(read) == len(root) + contexts + 6 * (3 + 3 + 5)
    monkeypatch.setattr(CachedTransformer, "forward", forward)
    monkeypatch.setattr(CachedTransformer, "extend", extend)
    check(pairs)


def test_what_does_not_begin_like_the_others_is_scored_beside_them():
    odd = [TokenPair([63], [1, 2]), TokenPair(list(range(40)), [5]), TokenPair([9] * 30, [4, 4])]
    check(options(5, list(range(40))) + odd + odd)


def test_a_likely_continuation_is_greedy():
    with torch.no_grad():
        context = list(range(12))
        for _ in range(3):
            context.append(int(MODEL.model.logits(torch.tensor([context]))[0, -1].argmax()))
    pairs = [TokenPair(context[:12], context[12:]), TokenPair(context[:12], [0, 0, 0])]
    found = {one.index: one.is_greedy for one in score_pairs(MODEL, pairs, batch_tokens=99)}
    assert found == {0: True, 1: False}


def test_contexts_as_long_as_the_model_reads():
    long = torch.randint(64, (256,)).tolist()
    pairs = [
        TokenPair(long[:250], [3] * 7), TokenPair(long[:250], [4]),
        TokenPair(long[:256], [5]), TokenPair(long[:256], [6]),
        TokenPair(long[:30], [1] * 226), TokenPair(long[:30], [2] * 226),
    ]  # fmt: skip
    check(pairs, batch_tokens=10_000)


def test_alone_no_other_request_moves_a_bit():
    model = CachedTransformer(tiny(dtype=torch.float32))
    pairs = options(5, list(range(20)))
    together = {o.index: o for o in score_pairs(model, pairs, batch_tokens=4096, sharing="none")}
    for batch_tokens in (1, 100):
        for place, pair in enumerate(pairs):
            (one,) = score_pairs(model, [pair], batch_tokens=batch_tokens, sharing="none")
            assert one.nats == together[place].nats


def test_a_root_is_what_nearly_all_begin_with():
    assert isinstance(MODEL, CachedModel)
    rows = [[7] * 20 + [n] for n in range(40)]
    assert find_shared_prefix(rows) == [7] * 20
    assert find_shared_prefix([*rows, [1], [63] * 50]) == [7] * 20
    assert (
        find_shared_prefix(rows[:1])
        == find_shared_prefix([])
        == find_shared_prefix([[1] * 15 + [n] for n in range(9)])
        == []
    )


def test_token_scores_are_log_softmax_and_argmax_in_any_chunk(monkeypatch):
    hidden, head = torch.randn(11, 6, dtype=torch.float64), torch.randn(9, 6, dtype=torch.float64)
    targets = torch.randint(0, 9, (11,))
    targets[4] = (hidden @ head.T)[4].argmax()
    for limit in (1, 20, 1000):
        monkeypatch.setattr(scoring, "CHUNK_LOGITS", limit)
        for rows in (None, torch.tensor([0, 0, 0, 1, 4, 4, 7, 7, 9, 10, 10])):
            logits = (hidden @ head.T)[torch.arange(11) if rows is None else rows]
            found = score_targets(hidden, lambda h: h @ head.T, targets, rows)
            assert_close(found.nats, -logits.log_softmax(-1)[torch.arange(11), targets])
            assert found.is_greedy.tolist() == (logits.argmax(-1) == targets).tolist()
            assert found.is_greedy[4]


@pytest.mark.parametrize("kind", DECODERS)
def test_contexts_of_unlike_length_move_no_score_whatever_the_positions(kind):
    model = CachedTransformer(tiny_model(DECODERS[kind]).double())
    long, short = list(range(1, 15)), list(range(5, 15))
    pairs = [TokenPair(c, [n, 3, n + 1]) for c in (long, short) for n in (2, 9)]
    shared, alone = (
        {score.index: score.nats for score in score_pairs(model, pairs, batch_tokens=64, sharing=s)}
        for s in ("prefix", "none")
    )
    assert shared == pytest.approx(alone, abs=1e-9)


def test_sequences_that_branch_leave_the_old_state_as_it_was():
    model = CachedTransformer(tiny())
    with torch.no_grad():
        ids = torch.randint(64, (1, 9))
        state = model.begin(1, 20)
        model.extend(state, ids[:, :4], torch.tensor([4]))
        for _ in range(2):  # the second time finds nothing of the first
            branches = model.branch(state, torch.tensor([0, 0]))
            hidden = model.extend(branches, ids[:, 4:].expand(2, 5), torch.tensor([5, 5]))
            assert_close(hidden[1], model.forward(ids)[0, 4:])
        assert state.cache.length == 4


@pytest.mark.parametrize("kind", sorted(set(DECODERS) - {"dynamic"}))  # whose capacity counts
def test_joined_sequences_go_on_as_each_does_alone(kind):
    """Distances are those of sequences without padding: windows and biases depend on them."""
    model = CachedTransformer(tiny_model(DECODERS[kind]).double())
    size = min(model.model.config.vocab_size, 30)
    random = torch.Generator().manual_seed(1)
    rows = [torch.randint(size, (n,), generator=random).tolist() for n in (9, 8, 5, 3)]
    rows = [[1, 2, 3] + row for row in rows]
    with torch.no_grad():
        for prefix in ([], [1, 2, 3]):
            shared = prefill_prefix(model, prefix, 12)
            state, last = prefill(model, rows, 4, 16, shared)
            more = torch.tensor([[4, 5, 6]]).expand(4, 3)
            hidden = model.extend(state, more, torch.full((4,), 3))
            state = model.join([model.branch(state, torch.tensor([2, 0]))], 16)
            one = model.extend(state, torch.tensor([[7], [7]]), torch.ones(2, dtype=torch.long))
            for at, row in enumerate(rows):
                alone = model.forward(torch.tensor([row + [4, 5, 6, 7]]))[0]
                assert_close(last[at], alone[len(row) - 1])
                assert_close(hidden[at], alone[len(row) : -1])
                if at in (0, 2):
                    assert_close(one[0 if at == 2 else 1, 0], alone[-1])


def test_right_padding_begins_every_row_in_the_first_column():
    assert pad_right([[5, 6, 7], [8], []])[0].tolist() == [[5, 6, 7], [8, 0, 0], [0, 0, 0]]
