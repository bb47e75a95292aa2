"""What anything that calls itself a language model must do.

Subclass it in the implementation's tests and give the fixture `model`.
"""

import numpy as np
import pytest

from groundup.core import LanguageModel, Message, Sampling

QUESTIONS = [
    (Message("user", "What is a file?"),),
    (Message("user", "Ünïcode, 語 and ✓?"), Message("assistant", "Yes."), Message("user", "Why?")),
    (Message("user", "!"),),
]


class LanguageModelContract:
    """Tests of `groundup.core.LanguageModel`."""

    @pytest.fixture
    def model(self) -> LanguageModel:
        """The implementation to test."""
        raise NotImplementedError

    def test_it_has_every_method(self, model):
        assert isinstance(model, LanguageModel)

    def test_nothing_asked_is_nothing_answered(self, model):
        assert model.generate([], Sampling()) == []
        assert model.logprobs([], []) == []

    def test_answers_are_in_order_and_do_not_depend_on_neighbours(self, model):
        sampling = Sampling(max_tokens=8)
        together = model.generate(QUESTIONS, sampling)
        alone = [model.generate([each], sampling)[0] for each in QUESTIONS]
        assert [found.text for found in together] == [found.text for found in alone]

    def test_the_same_request_gives_the_same_answer_greedy_or_by_seed(self, model):
        for sampling in (Sampling(max_tokens=8), Sampling(temperature=1.0, max_tokens=8, seed=5)):
            first, again = (model.generate(QUESTIONS, sampling) for _ in range(2))
            assert [found.text for found in first] == [found.text for found in again]

    def test_an_answer_keeps_to_its_length_and_says_why_it_ended(self, model):
        for found in model.generate(QUESTIONS, Sampling(max_tokens=3)):
            assert 1 <= len(found.ids) <= 3 and len(found.logprobs) == len(found.ids)
            assert found.finish_reason in ("stop", "length")
            assert found.finish_reason == "stop" or len(found.ids) == 3
            assert all(value <= 1e-6 for value in found.logprobs)

    def test_every_token_of_an_answer_has_a_log_probability(self, model):
        values = model.logprobs(QUESTIONS, ["Something.", "", "ß"])
        assert len(values) == len(QUESTIONS)
        for row in values:  # the stop token is scored too, so an empty answer has one
            assert row and all(np.isfinite(value) and value <= 1e-6 for value in row)

    def test_a_longer_answer_costs_more_tokens(self, model):
        short, long = model.logprobs([QUESTIONS[0]] * 2, ["a b", "a b c d e f g"])
        assert len(short) < len(long)

    def test_texts_become_vectors_of_one_width(self, model):
        vectors = model.embed(["one", "two words", "ü"])
        assert vectors.dtype == np.float32 and vectors.ndim == 2 and len(vectors) == 3
        assert np.isfinite(vectors).all()
        assert np.allclose(vectors[1], model.embed(["two words"])[0], atol=1e-4)
