"""What anything that is measured on plain text must do.

Subclass it in the implementation's tests and give the fixture `model`; set `has_likelihood` or
`has_chat` to False for a model that lacks one, and the suite checks that it says so. `is_raw` is
False for a model that answers a prompt as a user's message instead of continuing it.
"""

import math

import pytest

from groundup.core import (
    Completion,
    ConfigError,
    Likelihood,
    LoglikelihoodRequest,
    Message,
    Reason,
    Sampling,
    TextModel,
)

PAIRS = [
    LoglikelihoodRequest("The capital of France is", " Paris"),
    LoglikelihoodRequest("The capital of France is", " a city of many words"),
    LoglikelihoodRequest("Ünïcode, 語 and ✓", " — ça va?"),
    LoglikelihoodRequest("Ends in a space ", "then goes on"),
    LoglikelihoodRequest("One", "\nTwo"),
]
TEXTS = ["One line.", "Two lines,\nof which this is the second: ü ✓.", "a b c d e f g h"]
PROMPTS = ["Once upon", "Ünïcode, 語", "def f(x):\n"]
GREEDY = Sampling(max_tokens=12)
NOT_TEXT = "half \ud800 of a pair"  # a lone surrogate: JSON can carry it, UTF-8 cannot


class TextModelContract:
    """Tests of `groundup.core.TextModel`."""

    has_likelihood = True
    has_chat = True
    is_raw = True

    @pytest.fixture
    def model(self) -> TextModel:
        """The implementation to test."""
        raise NotImplementedError

    def test_it_has_every_method_and_says_what_it_is(self, model):
        assert isinstance(model, TextModel)
        for told in (model.name, model.digest, model.signature):
            assert isinstance(told, str) and told and "\n" not in told
        assert (model.digest, model.signature) == (model.digest, model.signature)

    def test_nothing_asked_is_nothing_answered(self, model):
        assert list(model.loglikelihood([])) == []
        assert list(model.rolling([])) == []
        assert list(model.complete([], GREEDY)) == []

    def test_every_place_is_answered_once(self, model):
        assert sorted(place for place, _ in model.loglikelihood(PAIRS)) == list(range(len(PAIRS)))
        assert sorted(place for place, _ in model.rolling(TEXTS)) == list(range(len(TEXTS)))
        assert sorted(p for p, _ in model.complete(PROMPTS, GREEDY)) == list(range(len(PROMPTS)))

    def test_a_likelihood_is_a_sum_of_log_probabilities_or_a_reason(self, model):
        answers = [*model.loglikelihood(PAIRS), *model.rolling(TEXTS)]
        for _, found in answers:
            if not self.has_likelihood:
                assert isinstance(found, Reason) and found.code == "no_logprobs", found
                continue
            assert isinstance(found, Likelihood), found
            assert math.isfinite(found.logprob) and found.logprob <= 1e-6
            assert found.tokens >= 1 and isinstance(found.is_greedy, bool)

    def test_neighbours_and_order_do_not_move_a_likelihood(self, model):
        if not self.has_likelihood:
            pytest.skip("this model gives no likelihoods")
        together = dict(model.loglikelihood(PAIRS))
        turned = dict(model.loglikelihood(PAIRS[::-1]))
        for i, pair in enumerate(PAIRS):
            (_, alone), *_ = model.loglikelihood([pair])
            for other in (alone, turned[len(PAIRS) - 1 - i]):
                assert other.tokens == together[i].tokens
                assert other.logprob == pytest.approx(together[i].logprob, abs=1e-3)

    def test_a_longer_text_has_more_tokens_and_none_is_scored_twice(self, model):
        if not self.has_likelihood:
            pytest.skip("this model gives no likelihoods")
        found = dict(model.rolling([TEXTS[0], f"{TEXTS[0]}\n{TEXTS[0]}"]))
        assert found[0].tokens < found[1].tokens <= 2 * found[0].tokens + 2
        pairs = [
            LoglikelihoodRequest(TEXTS[0], "\n"),
            LoglikelihoodRequest(TEXTS[0], f"\n{TEXTS[0]}"),
        ]
        found = dict(model.loglikelihood(pairs))
        assert found[0].tokens < found[1].tokens

    def test_what_a_greedy_answer_begins_with_is_the_likeliest_token(self, model):
        if not (self.has_likelihood and self.is_raw):
            pytest.skip("this model gives no likelihoods of what it continues")
        one = dict(model.complete(PROMPTS, Sampling(max_tokens=1)))
        pairs = [
            LoglikelihoodRequest(PROMPTS[place], found.text) for place, found in sorted(one.items())
        ]
        whole = [pair for pair in pairs if pair.continuation and "\ufffd" not in pair.continuation]
        for _, found in model.loglikelihood(whole):
            assert found.is_greedy or found.tokens > 1

    def test_a_completion_keeps_to_its_length_and_comes_again(self, model):
        first, again = (dict(model.complete(PROMPTS, GREEDY)) for _ in range(2))
        for place, found in first.items():
            assert isinstance(found, Completion), found
            assert found.finish_reason in ("stop", "length") and found.tokens <= 12
            assert found.text == again[place].text

    def test_a_seed_decides_a_sampled_completion(self, model):
        stops = Sampling(temperature=1.0, max_tokens=12, seed=5)
        first, again = (dict(model.complete(PROMPTS, stops)) for _ in range(2))
        assert {i: found.text for i, found in first.items()} == {
            i: found.text for i, found in again.items()
        }

    def test_a_completion_is_cut_before_the_first_stop_however_many_there_are(self, model):
        whole = dict(model.complete(PROMPTS, GREEDY))
        for place, found in whole.items():
            if len(found.text) < 3:
                continue
            stop = found.text[1:3]
            until = (*(f"<never {i}>" for i in range(6)), stop)
            (_, cut), *_ = model.complete(
                [PROMPTS[place]], GREEDY.model_copy(update={"stop": until})
            )
            assert cut.text == found.text[: found.text.index(stop)]
            assert cut.finish_reason == "stop"

    def test_what_cannot_be_answered_is_a_reason_that_loses_no_other(self, model):
        bad = [LoglikelihoodRequest("", ""), LoglikelihoodRequest(NOT_TEXT, "a")]
        for answers in (
            dict(model.complete([PROMPTS[0], "", NOT_TEXT, PROMPTS[1]], GREEDY)),
            dict(model.rolling([TEXTS[0], "", NOT_TEXT, TEXTS[1]])),
            dict(model.loglikelihood([PAIRS[0], *bad, PAIRS[1]])),
        ):
            assert sorted(answers) == [0, 1, 2, 3]
            assert isinstance(answers[2], Reason) and answers[2].code and answers[2].message
            assert type(answers[0]) is type(answers[3])
            scored = [found for found in answers.values() if isinstance(found, Likelihood)]
            assert all(math.isfinite(found.logprob) for found in scored)

    def test_a_reader_may_leave_early(self, model):
        place, _ = next(iter(model.complete(PROMPTS, GREEDY)))
        assert place in range(len(PROMPTS))
        assert len(list(model.complete(PROMPTS, GREEDY))) == len(PROMPTS)

    def test_a_conversation_becomes_a_prompt_or_it_is_said_that_it_cannot(self, model):
        conversation = (Message("system", "Be brief."), Message("user", "Why ✓ is it so?"))
        if not self.has_chat:
            with pytest.raises(ConfigError):
                model.render(conversation)
            return
        prompt = model.render(conversation)
        assert "Why ✓ is it so?" in prompt and prompt == model.render(conversation)
        (_, found), *_ = model.complete([prompt], GREEDY)
        assert isinstance(found, Completion), found
