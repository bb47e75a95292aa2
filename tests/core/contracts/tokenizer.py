"""What anything that calls itself a tokenizer must do.

Subclass it in the implementation's tests and give the fixture `tokenizer`. One that cannot give
every text back says in `keeps` of which texts it promises it; the rest holds for any text.
"""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from groundup.core import Tokenizer

TEXTS = st.text(st.characters(codec="utf-8"), max_size=40)
SHARED = [HealthCheck.function_scoped_fixture, HealthCheck.differing_executors]
"""Every implementation has its own subclass and fixture; the examples are texts alone."""


class TokenizerContract:
    """Tests of `groundup.core.Tokenizer`."""

    @pytest.fixture
    def tokenizer(self) -> Tokenizer:
        """The implementation to test."""
        raise NotImplementedError

    def keeps(self, text: str) -> bool:
        """Whether this text must come back byte for byte."""
        return True

    def test_it_has_every_method(self, tokenizer):
        assert isinstance(tokenizer, Tokenizer) and len(tokenizer.digest) == 64

    @settings(max_examples=60, suppress_health_check=SHARED)
    @given(text=TEXTS)
    def test_text_comes_back_and_ids_are_in_range(self, tokenizer, text):
        ids = tokenizer.encode(text)
        assert all(0 <= i < tokenizer.vocab_size for i in ids)
        assert tokenizer.decode_bytes(ids).decode("utf-8", "replace") == tokenizer.decode(ids)
        if self.keeps(text):
            assert tokenizer.decode(ids) == text
            assert tokenizer.decode_bytes(ids) == text.encode()

    @settings(max_examples=60, suppress_health_check=SHARED)
    @given(text=TEXTS)
    def test_offsets_cut_the_bytes_without_a_gap(self, tokenizer, text):
        offsets = tokenizer.offsets(text)
        assert len(offsets) == len(tokenizer.encode(text))
        flat = [0, *(place for pair in offsets for place in pair), len(text.encode())]
        assert flat == sorted(flat)
        if self.keeps(text):
            assert flat[::2] == flat[1::2]

    def test_special_tokens_never_arise_from_text(self, tokenizer):
        special = set(tokenizer.specials.values())
        for name in tokenizer.specials:
            text = f"a {name}{name} b"
            ids = tokenizer.encode(text)
            if self.keeps(text):
                assert not special & set(ids)
                assert tokenizer.decode(ids) == text
            else:  # a token that says "unknown" is the one special that text may give
                assert tokenizer.specials[name] not in ids or "unk" in name.lower()
