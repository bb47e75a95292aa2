"""Our models as measurements ask them; the suite of every TextModel, and lm-eval's rule of ids."""

import importlib.util
import json
import math
from pathlib import Path

import pytest
import torch

from groundup.core import (
    ArtifactError,
    Completion,
    ConfigError,
    Likelihood,
    LoglikelihoodRequest,
    Message,
    Reason,
    Sampling,
)
from groundup.evaluate.harness.hf import open_hf
from groundup.evaluate.harness.local import (
    DEFAULT_SCORING,
    LocalModel,
    NativeTokenizerAdapter,
    ScoringOptions,
    TokenizerAdapter,
    model_digest,
    open_native,
)
from groundup.evaluate.likelihood import disjoint_windows, sliding_windows
from groundup.generate import CachedTransformer, Engine, read_eos_ids
from groundup.model import load, save
from groundup.tokenizer import (
    ChatTemplate,
    FastTokenizer,
    ImportedTokenizer,
    load_tokenizer,
    save_tokenizer,
    template_digest,
)
from tests.align.imported import TURNS, bytes_with_turns, directory_of
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
    network = CachedTransformer(tiny(tokenizer.vocab_size, dtype))
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
    pairs = [LoglikelihoodRequest(context, "some text") for context in ("", "  ")]
    found = dict(model.loglikelihood(pairs))
    assert found[0].logprob == pytest.approx(logprob(model, [first], ids))
    assert found[1].logprob == pytest.approx(
        logprob(model, [first], TOKENIZER.encode("  some text"))
    )
    assert dict(model.rolling(["some text"]))[0].logprob == pytest.approx(found[0].logprob)


def test_a_long_context_is_cut_at_its_beginning_and_told():
    model = local(tokenizer=FastTokenizer([]), dtype=torch.float64)  # an id a byte
    text = "".join(chr(97 + n % 26) for n in range(400))
    pairs = [(text, "xyz"), ("ab", "c" * 256), ("a", text)]
    found = dict(model.loglikelihood([LoglikelihoodRequest(*pair) for pair in pairs]))
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
    sampling = Sampling(max_tokens=4)
    texts = [pair.context * 3 for pair in PAIRS[::3]]
    found = []
    for batch_tokens in (1, 50, 5000):
        model = local(ScoringOptions(batch_tokens=batch_tokens, invariant=True))
        assert "batch:alone|threads:" in model.signature
        parts = [PAIRS[:5], PAIRS[5:]] if batch_tokens == 50 else [PAIRS]
        likelihoods = [one for part in parts for _, one in sorted(model.loglikelihood(part))]
        rolled = [one for _, one in sorted(model.rolling(texts))]
        said = [one for _, one in sorted(model.complete(texts, sampling))]
        found.append((likelihoods, rolled, said))
    assert found[0] == found[1] == found[2]
    assert "batch:shared" in local().signature


def test_shared_answers_are_those_computed_alone():
    together, alone = local(), local(ScoringOptions(invariant=True))
    for ask in ("loglikelihood", "rolling", "complete"):
        asked = PAIRS if ask == "loglikelihood" else [pair.context * 3 for pair in PAIRS]
        more = (Sampling(max_tokens=10, stop=("e", "zz")),) if ask == "complete" else ()
        one, two = (dict(getattr(model, ask)(asked, *more)) for model in (together, alone))
        for place in one:
            if ask == "complete":
                assert one[place] == two[place]
            else:
                assert one[place].logprob == pytest.approx(two[place].logprob, abs=1e-4)
                assert one[place].tokens == two[place].tokens


def test_a_completion_ends_at_its_stop_its_end_or_its_length():
    model = local()
    ((_, whole),) = model.complete(["Once upon a time"], Sampling(max_tokens=30))
    assert isinstance(whole, Completion) and whole.finish_reason == "length" and whole.tokens == 30
    stop = whole.text[5:8]
    ((_, cut),) = model.complete(["Once upon a time"], Sampling(max_tokens=30, stop=(stop,)))
    assert cut.text == whole.text[: whole.text.index(stop)] and cut.finish_reason == "stop"
    assert cut.tokens < 30
    model.tokenizer.end_ids = tuple(range(TOKENIZER.vocab_size))
    ((_, ended),) = model.complete(["Once upon a time"], Sampling(max_tokens=30))
    assert (ended.text, ended.finish_reason, ended.tokens) == ("", "stop", 1)


def test_a_prompt_without_room_is_cut_and_told():
    model = local(tokenizer=FastTokenizer([]))
    prompt = "".join(chr(97 + n % 26) for n in range(300))
    (_, found), (_, same) = sorted(model.complete([prompt, prompt[-246:]], sampling(10)))
    assert (found.truncated_tokens, same.truncated_tokens) == (54, 0) and found.text == same.text
    ((_, none),) = model.complete(["a"], sampling(256))
    assert isinstance(none, Reason) and none.code == "too_long"
    with pytest.raises(ConfigError, match="Sampling.max_tokens: "):
        list(model.complete(["a"], sampling(0)))


def sampling(tokens: int) -> Sampling:
    return Sampling(max_tokens=tokens)


def test_broken_weights_are_a_reason_everywhere():
    model = local()
    torch.nn.init.constant_(model.network.model.norm.weight, float("nan"))
    for answers in (
        model.loglikelihood(PAIRS), model.rolling(["some text"]),
        model.complete(["a b"], sampling(3)),
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
    network = CachedTransformer(load(LM_EVAL / "model"))
    codec = NativeTokenizerAdapter(TOKENIZER, read_eos_ids(LM_EVAL / "model", 400))
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
        sampling = Sampling(max_tokens=peer["new"], stop=tuple(until))
        ((_, found),) = model.complete([prompt], sampling)
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


@pytest.fixture
def directory(tmp_path):
    save_tokenizer(TOKENIZER, tmp_path / "t")
    save(tiny(TOKENIZER.vocab_size, torch.float32), tmp_path / "m", tmp_path / "t", chat=True)
    return tmp_path / "m"


def test_a_directory_becomes_a_model_that_ends_as_it_says(directory):
    model = open_native(directory, dtype=torch.float32)
    specials = TOKENIZER.specials
    assert model.tokenizer.end_ids == (specials["<|im_end|>"], specials["<|endoftext|>"])
    assert model.name == str(directory) and len(model.digest) == 64
    ((_, found),) = model.loglikelihood([LoglikelihoodRequest("a", " b")])
    assert found.tokens == len(TOKENIZER.encode("a b")) - 1
    assert "dtype:float32|context:256" in model.signature
    rough = open_native(directory, dtype=torch.bfloat16)
    assert "dtype:bfloat16" in rough.signature
    ((_, other),) = rough.loglikelihood([LoglikelihoodRequest("a", " b")])
    assert other.logprob == pytest.approx(found.logprob, rel=0.05)
    assert dict(rough.complete(["a b"], Sampling(max_tokens=3)))[0].tokens <= 3


def test_the_digest_is_of_what_decides_the_answers(directory):
    before = model_digest(directory)
    (directory / "notes.txt").write_text("nothing")
    assert model_digest(directory) == before
    (directory / "generation_config.json").write_text(json.dumps({"eos_token_id": 3}))
    assert model_digest(directory) != before
    assert read_eos_ids(directory, 400) == [3] and read_eos_ids(directory, 2) == []


def test_a_chat_has_the_directory_s_own_template(directory):
    talk = (Message("user", "Why?"),)
    model = open_native(directory, chat=True)
    assert "<|im_start|>user" in model.render(talk)
    assert model.render(talk).endswith("<|im_start|>assistant\n")
    assert f"|template:{template_digest()[:12]}" in model.signature
    (directory / "chat_template.jinja").write_text("{{ messages }}")
    with pytest.raises(ArtifactError, match="not the chat format that groundup renders"):
        open_native(directory, chat=True)
    (directory / "chat_template.jinja").unlink()
    base = open_native(directory, chat=True)  # such as a base model beside what was tuned from it
    assert base.render(talk) == model.render(talk)


def test_another_models_template_is_used_and_read_as_tokens(tmp_path):
    tokenizer = bytes_with_turns(chat_template=TURNS)
    directory = directory_of(tmp_path / "theirs", tokenizer, ends=[1])
    talk = (Message("user", "Why <stop>?"),)
    model = open_native(directory, chat=True)
    shown = model.render(talk)
    assert shown == "<|begin|><turn>user\nWhy <stop>?<stop>\n<turn>assistant\n"
    assert f"|template:{template_digest(TURNS)[:12]}" in model.signature
    ids = model.tokenizer.encode(shown)
    specials = tokenizer.specials
    assert ids.count(specials["<turn>"]) == 2 and ids.count(specials["<stop>"]) == 2
    assert ids.count(0) == 1, "the template's own <|begin|>, and no second one"
    assert model.tokenizer.encode("Why?")[0] == 0 and 0 not in model.tokenizer.encode(
        "Why?", add_special_tokens=False
    )
    typed = (Message("user", "Why?"),)
    rendered = ChatTemplate.from_tokenizer(tokenizer).ids(typed, add_generation_prompt=True)
    assert model.tokenizer.encode(model.render(typed)) == rendered
    assert open_native(directory).tokenizer.encode("<stop>").count(specials["<stop>"]) == 0


@pytest.mark.parametrize("adds", [True, False])
def test_a_bos_stands_for_an_empty_context_though_texts_do_not_begin_with_it(tmp_path, adds):
    """As in lm-eval, whose prefix is the tokenizer's bos, or its eos where it has none."""
    tokenizer = bytes_with_turns(add_bos_token=adds)
    model = open_native(directory_of(tmp_path / "theirs", tokenizer, ends=[1]))
    roles = tokenizer.role_ids
    assert model.tokenizer.context_start_id == roles["bos"] != roles["eos"]
    assert (model.tokenizer.encode("Why?")[0] == roles["bos"]) == adds
    if importlib.util.find_spec("transformers"):
        assert (
            open_hf(tmp_path / "theirs").tokenizer.context_start_id
            == model.tokenizer.context_start_id
        )
    none = ImportedTokenizer(tokenizer.content, {"eos_token": "<stop>", "add_bos_token": False})
    other = open_native(directory_of(tmp_path / "none", none, ends=[1]))
    assert other.tokenizer.context_start_id == none.role_ids["eos"] != 1


def test_a_template_in_the_tokenizers_settings_counts(tmp_path):
    tokenizer = bytes_with_turns(chat_template=TURNS)
    directory = directory_of(tmp_path / "theirs", tokenizer)
    (directory / "chat_template.jinja").unlink()
    asked = (Message("user", "Why?"),)
    assert open_native(directory, chat=True).render(asked) == "<|begin|>User: Why?\nAssistant:"
    file = directory / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"chat_template": TURNS}))
    assert "<turn>user" in open_native(directory, chat=True).render(asked)
    assert Engine.open(directory).template.source == TURNS


def test_a_tokenizer_of_another_model_is_refused(directory, tmp_path):
    save_tokenizer(FastTokenizer([], specials=[f"<{n}>" for n in range(300)]), directory)
    with pytest.raises(ArtifactError, match="use the tokenizer that the model was trained with"):
        open_native(directory)
