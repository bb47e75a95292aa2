"""What anything that calls itself a tokenizer must do.

Subclass it in the implementation's tests and give the fixture `tokenizer`.
"""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from groundup.core import Tokenizer

TEXTS = st.text(st.characters(codec="utf-8"), max_size=40)


class TokenizerContract:
    """Tests of `groundup.core.Tokenizer`."""

    @pytest.fixture
    def tokenizer(self) -> Tokenizer:
        """The implementation to test."""
        raise NotImplementedError

    def test_it_has_every_method(self, tokenizer):
        assert isinstance(tokenizer, Tokenizer) and len(tokenizer.digest) == 64

    @settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(text=TEXTS)
    def test_text_comes_back_and_ids_are_in_range(self, tokenizer, text):
        ids = tokenizer.encode(text)
        assert tokenizer.decode(ids) == text
        assert tokenizer.decode_bytes(ids) == text.encode()
        assert all(0 <= i < tokenizer.vocab_size for i in ids)

    @settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(text=TEXTS)
    def test_offsets_cut_the_bytes_without_a_gap(self, tokenizer, text):
        offsets = tokenizer.offsets(text)
        assert len(offsets) == len(tokenizer.encode(text))
        ends = [0, *(end for _, end in offsets)]
        assert [start for start, _ in offsets] == ends[:-1] and ends[-1] == len(text.encode())

    def test_special_tokens_never_arise_from_text(self, tokenizer):
        special = set(tokenizer.specials.values())
        for name in tokenizer.specials:
            ids = tokenizer.encode(f"a {name}{name} b")
            assert not special & set(ids)
            assert tokenizer.decode(ids) == f"a {name}{name} b"
