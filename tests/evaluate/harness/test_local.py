"""Our models as measurements ask them; the suite of every TextModel, and lm-eval's rule of ids."""

import json
import math
from pathlib import Path

import pytest
import torch

from groundup.core import (
    Completion,
    ConfigError,
    Likelihood,
    LoglikelihoodRequest,
    Reason,
    Sampling,
    StopCriteria,
)
from groundup.evaluate.harness.local import (
    DEFAULT_SCORING,
    LocalModel,
    ScoringOptions,
    TokenizerAdapter,
)
from groundup.evaluate.harness.native import NativeModel, NativeTokenizerAdapter, read_end_ids
from groundup.evaluate.likelihood import disjoint_windows, sliding_windows
from groundup.model import load
from groundup.tokenizer import FastTokenizer, load_tokenizer
from tests.core.contracts.text_model import TextModelContract
from tests.evaluate.test_likelihood import tiny

FIXTURES = Path(__file__).parents[2] / "fixtures"
TOKENIZER = load_tokenizer(FIXTURES / "tokenizer")
LM_EVAL = FIXTURES / "lm_eval"
PAIRS = [
    LoglikelihoodRequest(f"A question of {n} words?", f" answer {o}")
    for n in range(4)
    for o in "abc"
]


def local(
    reading: ScoringOptions = DEFAULT_SCORING, tokenizer: FastTokenizer = TOKENIZER, *,
    dtype: torch.dtype = torch.float32, chat: bool = False,
) -> LocalModel:  # fmt: skip
    network = NativeModel(tiny(tokenizer.vocab_size, dtype))
    codec = NativeTokenizerAdapter(tokenizer, chat=chat)
    return LocalModel(network, codec, name="tiny", digest="0" * 64, options=reading)


class TestContract(TextModelContract):
    @pytest.fixture
    def model(self) -> LocalModel:
        return local(chat=True)


class TestContractAlone(TextModelContract):
    @pytest.fixture
    def model(self) -> LocalModel:
        return local(ScoringOptions(invariant=True))


def logprob(model: LocalModel, context: list[int], ids: list[int]) -> float:
    with torch.no_grad():
        logits = model.network.model.logits(torch.tensor([context + ids]))[0].log_softmax(-1)
    return sum(float(logits[len(context) + i - 1, token]) for i, token in enumerate(ids))


@pytest.mark.parametrize(
    ("pair", "context", "text"),
    [
        (LoglikelihoodRequest("one two", " three"), "one two", "one two three"),
        (LoglikelihoodRequest("one two ", "three"), "one two", "one two three"),
        (LoglikelihoodRequest("one two\n\n", "three"), "one two", "one two\n\nthree"),
        (LoglikelihoodRequest("on", "e more"), "on", "one more"),
    ],
)
def test_a_pair_is_encoded_together_and_parted_by_its_contexts_length(pair, context, text):
    model = local(dtype=torch.float64)
    before, whole = TOKENIZER.encode(context), TOKENIZER.encode(text)
    ((_, found),) = model.loglikelihood([pair])
    ids = whole[len(before) :]
    assert found.tokens == len(ids)
    assert found.logprob == pytest.approx(logprob(model, before, ids))


def test_no_context_is_the_first_id():
    model = local(dtype=torch.float64)
    first = TOKENIZER.specials["<|endoftext|>"]
    ids = TOKENIZER.encode("some text")
    found = dict(
        model.loglikelihood(
            [LoglikelihoodRequest("", "some text"), LoglikelihoodRequest("  ", "some text")]
        )
    )
    assert found[0].logprob == pytest.approx(logprob(model, [first], ids))
    assert found[1].logprob == pytest.approx(
        logprob(model, [first], TOKENIZER.encode("  some text"))
    )
    assert dict(model.rolling(["some text"]))[0].logprob == pytest.approx(found[0].logprob)


def test_a_long_context_is_cut_at_its_beginning_and_told():
    model = local(tokenizer=FastTokenizer([]), dtype=torch.float64)  # an id a byte
    text = "".join(chr(97 + n % 26) for n in range(400))
    found = dict(
        model.loglikelihood(
            [
                LoglikelihoodRequest(text, "xyz"),
                LoglikelihoodRequest("ab", "c" * 256),
                LoglikelihoodRequest("a", text),
            ]
        )
    )
    context = model.tokenizer.encode(text)[-(256 + 1 - 3) :]
    assert found[0].truncated_tokens == 400 - len(context)
    row = context + model.tokenizer.encode("xyz")
    with torch.no_grad():
        logits = model.network.model.logits(torch.tensor([row[:-1]]))[0].log_softmax(-1)
    expected = sum(float(logits[len(context) - 1 + i, row[len(context) + i]]) for i in range(3))
    assert found[0].logprob == pytest.approx(expected)
    assert found[1].truncated_tokens == 1 and found[1].tokens == 256
    assert isinstance(found[2], Reason) and found[2].code == "too_long"


def test_rolling_windows_are_lm_evals_or_overlap_as_the_signature_says():
    tokenizer = FastTokenizer([])
    text = "a long text of bytes " * 5
    row = [tokenizer.specials["<|endoftext|>"], *tokenizer.encode(text)]

    def by_hand(model: LocalModel, parts) -> float:
        total = 0.0
        for start, end, first in parts:
            with torch.no_grad():
                logits = model.network.model.logits(torch.tensor([row[start:end]]))[0]
            for target in range(first, end + 1):
                total += float(logits.log_softmax(-1)[target - 1 - start, row[target]])
        return total

    for reading, parts in (
        (ScoringOptions(window=32), disjoint_windows(len(row), 32)),
        (ScoringOptions(window=32, stride=8), sliding_windows(len(row), 32, 8)),
        (ScoringOptions(), disjoint_windows(len(row), 256)),
    ):
        model = local(reading, tokenizer, dtype=torch.float64)
        ((_, found),) = model.rolling([text])
        assert found.logprob == pytest.approx(by_hand(model, parts))
        assert found.tokens == len(text)
        stride = reading.stride or "disjoint"
        assert f"window:{reading.window or 256}|stride:{stride}" in model.signature


def test_alone_batches_cannot_move_a_bit_and_the_signature_says_so():
    stops = StopCriteria(Sampling(max_tokens=10))
    texts = [pair.context * 3 for pair in PAIRS]
    found = []
    for batch_tokens in (1, 50, 5000):
        model = local(ScoringOptions(batch_tokens=batch_tokens, invariant=True))
        assert "batch:alone|threads:" in model.signature
        parts = [PAIRS[:5], PAIRS[5:]] if batch_tokens == 50 else [PAIRS]
        likelihoods = [one for part in parts for _, one in sorted(model.loglikelihood(part))]
        rolled = [one for _, one in sorted(model.rolling(texts))]
        said = [one for _, one in sorted(model.complete(texts, stops))]
        found.append((likelihoods, rolled, said))
    assert found[0] == found[1] == found[2]
    assert "batch:shared" in local().signature


def test_shared_answers_are_those_computed_alone():
    together, alone = local(), local(ScoringOptions(invariant=True))
    for ask in ("loglikelihood", "rolling", "complete"):
        asked = PAIRS if ask == "loglikelihood" else [pair.context * 3 for pair in PAIRS]
        more = (StopCriteria(Sampling(max_tokens=10), ("e", "zz")),) if ask == "complete" else ()
        one, two = (dict(getattr(model, ask)(asked, *more)) for model in (together, alone))
        for place in one:
            if ask == "complete":
                assert one[place] == two[place]
            else:
                assert one[place].logprob == pytest.approx(two[place].logprob, abs=1e-4)
                assert one[place].tokens == two[place].tokens


def test_a_completion_ends_at_its_stop_its_end_or_its_length():
    model = local()
    ((_, whole),) = model.complete(["Once upon a time"], StopCriteria(Sampling(max_tokens=30)))
    assert isinstance(whole, Completion) and whole.finish_reason == "length" and whole.tokens == 30
    stop = whole.text[5:8]
    ((_, cut),) = model.complete(
        ["Once upon a time"], StopCriteria(Sampling(max_tokens=30), (stop,))
    )
    assert cut.text == whole.text[: whole.text.index(stop)] and cut.finish_reason == "stop"
    assert cut.tokens < 30
    model.tokenizer.end_ids = tuple(range(TOKENIZER.vocab_size))
    ((_, ended),) = model.complete(["Once upon a time"], StopCriteria(Sampling(max_tokens=30)))
    assert (ended.text, ended.finish_reason, ended.tokens) == ("", "stop", 1)


def test_a_prompt_without_room_is_cut_and_told():
    model = local(tokenizer=FastTokenizer([]))
    prompt = "".join(chr(97 + n % 26) for n in range(300))
    (_, found), (_, same) = sorted(model.complete([prompt, prompt[-246:]], stops(10)))
    assert (found.truncated_tokens, same.truncated_tokens) == (54, 0) and found.text == same.text
    ((_, none),) = model.complete(["a"], stops(256))
    assert isinstance(none, Reason) and none.code == "too_long"
    with pytest.raises(ConfigError, match="max_tokens must be 1 or more"):
        list(model.complete(["a"], stops(0)))


def stops(tokens: int) -> StopCriteria:
    return StopCriteria(Sampling(max_tokens=tokens))


def test_broken_weights_are_a_reason_everywhere():
    model = local()
    torch.nn.init.constant_(model.network.model.norm.weight, float("nan"))
    for answers in (
        model.loglikelihood(PAIRS), model.rolling(["some text"]), model.complete(["a b"], stops(3))
    ):  # fmt: skip
        for _, found in answers:
            assert isinstance(found, Reason) and found.code == "not_finite"


def test_special_tokens_spelt_in_a_text_are_read_only_in_chats():
    plain, chat = local(), local(chat=True)
    assert isinstance(plain.tokenizer, TokenizerAdapter)
    text = "a<|im_end|>\nb"
    end = TOKENIZER.specials["<|im_end|>"]
    assert end in chat.tokenizer.encode(text) and end not in plain.tokenizer.encode(text)
    assert "specials:read" in chat.signature and "specials:plain" in plain.signature
    assert chat.tokenizer.decode([end, *TOKENIZER.encode("x")]) == "x"


def test_what_cannot_be_read_with_is_refused():
    with pytest.raises(ConfigError, match="window=300 does not fit the model's context_length=256"):
        local(ScoringOptions(window=300))
    with pytest.raises(ConfigError, match="stride=300 must lie between 1 and window=256"):
        local(ScoringOptions(stride=300))
    assert math.isfinite(dict(local().rolling(["x"]))[0].logprob)
    assert isinstance(dict(local().rolling(["x"]))[0], Likelihood)


@pytest.fixture(scope="module")
def peer() -> dict:
    return json.loads((LM_EVAL / "scores.json").read_text())


def as_lm_eval(reading: ScoringOptions = DEFAULT_SCORING) -> LocalModel:
    network = NativeModel(load(LM_EVAL / "model"))
    codec = NativeTokenizerAdapter(TOKENIZER, read_end_ids(LM_EVAL / "model", 400))
    return LocalModel(network, codec, name="tiny", digest="0" * 64, options=reading)


@pytest.mark.parametrize(
    "reading", [DEFAULT_SCORING, ScoringOptions(invariant=True), ScoringOptions(batch_tokens=20)]
)
def test_every_answer_is_lm_evals(peer, reading):
    model = as_lm_eval(reading)
    asked = [LoglikelihoodRequest(context, option) for context, option, *_ in peer["pairs"]]
    for place, found in model.loglikelihood(asked):
        *_, logprob, is_greedy = peer["pairs"][place]
        assert found.logprob == pytest.approx(logprob, abs=1e-4), asked[place]
        assert found.is_greedy == is_greedy
    for place, found in model.rolling([text for text, _ in peer["texts"]]):
        assert found.logprob == pytest.approx(peer["texts"][place][1], abs=1e-3)
    for prompt, until, text in peer["answers"]:
        stops = StopCriteria(Sampling(max_tokens=peer["new"]), tuple(until))
        ((_, found),) = model.complete([prompt], stops)
        assert found.text == text, (prompt, until)


def test_what_lm_eval_cuts_is_cut_and_told(peer):
    model = as_lm_eval()
    pairs = [LoglikelihoodRequest(context, option) for context, option, *_ in peer["pairs"]]
    cut = {
        pairs[place].context
        for place, found in model.loglikelihood(pairs)
        if found.truncated_tokens
    }
    assert len(cut) == 1 and "import self" in cut.pop()
