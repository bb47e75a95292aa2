"""Grammars: only tokens that can be continued to a valid answer may be chosen.

    json_schema  JSON that the schema accepts; schema.py says what is refused
    regex        a text that the regular expression matches from beginning to end
    choices      one of the texts
    grammar      a text of a context-free grammar in Lark's syntax

A token is allowed if some text of the grammar begins with the answer's bytes and the token's, and
an end of the answer is allowed where the answer is complete. Special tokens have no bytes. The
model chooses the tokenization: bytes that are certain are not forced to be the tokenizer's ids.

llguidance computes the masks with an Earley parser over regular expressions' derivatives, along a
trie of the vocabulary; tests/generate/grammar/automaton.py does the same readably for regex and
choices.
Source: https://github.com/guidance-ai/llguidance; Earley 1970, doi:10.1145/362007.362035.
"""

import json
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import NamedTuple
from weakref import ReferenceType, ref

import llguidance
import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from groundup.core import ConfigError, DataError, Sampling, Tokenizer
from groundup.tokenizer import ImportedTokenizer

from .checking import GrammarChecker
from .lark import LibraryVocabulary, compile_lark, read_tokens

MAX_GRAMMARS, MAX_VOCABULARIES = 16, 4
"""How many are kept."""


class VocabularyBytes(NamedTuple):
    """What each token adds to a text."""

    tokens: tuple[bytes, ...]
    """Empty for special tokens and ids without a token."""
    led_by_space: tuple[int, ...]
    """Ids whose leading space is dropped at the beginning of a text; empty if none is dropped."""


def vocabulary_bytes(tokenizer: Tokenizer) -> VocabularyBytes:
    """The bytes of every token after another one.

    Raises ConfigError if they depend on the token before, as WordPiece's do.
    """
    if isinstance(tokenizer, ImportedTokenizer) and tokenizer.spelling is None:
        raise ConfigError(
            "This tokenizer's tokens have no bytes of their own: it takes no grammar."
        )
    specials, before = set(tokenizer.specials.values()), tokenizer.encode("a")[-1:]
    size, tokens, led_by_space = len(tokenizer.decode_bytes(before)), list[bytes](), list[int]()
    for token in range(tokenizer.vocab_size):
        try:
            after = tokenizer.decode_bytes([*before, token])[size:]
            first = tokenizer.decode_bytes([token])
        except DataError:  # an id without a token
            after = first = b""
        tokens.append(b"" if token in specials else after)
        if first != after and token not in specials:
            led_by_space.append(token)
    return VocabularyBytes(tuple(tokens), tuple(led_by_space))


class GrammarVocabulary:
    """A tokenizer and the ends of its answers, as llguidance reads them."""

    def __init__(self, tokenizer: Tokenizer, end_ids: Sequence[int]) -> None:
        self.tokens, self.led_by_space = vocabulary_bytes(tokenizer)
        names = {id: name for name, id in tokenizer.specials.items()}
        names |= {id: names.get(id, f"<end {id}>") for id in end_ids}
        self.special_token_ids = sorted(names)
        marked = {id: b"\xff" + name.encode() for id, name in names.items()}
        tokens = [marked.get(id, each) for id, each in enumerate(self.tokens)]
        self.library = LibraryVocabulary(tokens, sorted(names), list(end_ids))
        self.compiled = read_tokens(self.library)


class Grammar:
    """A compiled constraint; `matcher` begins a sequence."""

    def __init__(self, sampling: Sampling, vocabulary: GrammarVocabulary, ends: Sequence[int]):
        """Compile; see `compile_grammar`."""
        self.name, self.vocabulary, self.ends = sampling.constraint, vocabulary, frozenset(ends)
        self._parser = compile_lark(sampling, vocabulary.compiled)

    def matcher(self) -> "Matcher":
        """A matcher of a new answer."""
        return Matcher(self, self._parser.deep_copy())

    def validate(self, ids: Sequence[int], text: str) -> None:
        """Check an answer that ended by itself: its ids are matched again, and JSON is parsed.

        Raises DataError if it is not valid or its ids do not spell it.
        """
        matcher, tokens = self.matcher(), self.vocabulary.tokens
        is_valid = all([matcher.accept(id) for id in ids]) and matcher.is_complete
        spelt = b"".join(tokens[id] for id in ids if id not in self.ends)
        if self.name == "json_schema" and is_valid:
            try:
                json.loads(text)
            except ValueError:
                is_valid = False
        if not is_valid or spelt.decode("utf-8", "replace") != text:
            raise DataError(f"The answer {text[:80]!r} does not fit Sampling.{self.name}.")


class Matcher:
    """Follows one answer through a grammar."""

    def __init__(self, grammar: Grammar, parser: llguidance.LLMatcher) -> None:
        """Begin; see `Grammar.matcher`."""
        self.grammar, self._parser = grammar, parser
        self.ids: list[int] = []
        """The answer so far."""

    def mask(self, size: int) -> Bool[Tensor, " V"]:
        """Which of the first `size` ids may be next; none where no token fits."""
        allowed, parser = torch.zeros(size, dtype=torch.bool), self._parser
        packed = np.frombuffer(parser.compute_bitmask(), np.uint8)
        if parser.is_stopped() and not parser.is_accepting():  # errors included
            return allowed
        bits = np.unpackbits(packed, bitorder="little", count=len(self.grammar.vocabulary.tokens))
        allowed[: len(bits)] = torch.from_numpy(bits[:size].view(bool))
        if not self.ids and self.grammar.vocabulary.led_by_space:
            allowed[list(self.grammar.vocabulary.led_by_space)] = False
        return allowed

    def accept(self, token: int) -> bool:
        """Add a token to the answer; False, and nothing is added, if it does not fit."""
        is_end = token in self.grammar.ends
        if self.is_ended or (is_end and not self.is_complete):
            return False
        if not is_end and self._parser.try_consume_tokens([token]) != 1:
            return False
        self.ids.append(token)
        return True

    def rollback(self, count: int) -> None:
        """Remove the last tokens of the answer.

        Raises ValueError if there are fewer.
        """
        if not 0 <= count <= len(self.ids):
            raise ValueError(f"Expected at most {len(self.ids)} tokens to remove; got {count}.")
        consumed = count - self.is_ended if count else 0
        if consumed:
            self._parser.rollback(consumed)
        del self.ids[len(self.ids) - count :]

    @property
    def is_ended(self) -> bool:
        """Whether the answer has its end token."""
        return bool(self.ids) and self.ids[-1] in self.grammar.ends

    @property
    def is_complete(self) -> bool:
        """Whether the answer may end here."""
        return self._parser.is_accepting()

    @property
    def is_finished(self) -> bool:
        """Whether nothing but an end can follow."""
        return self.is_ended or self._parser.is_stopped()


@dataclass(frozen=True)
class _HashedTokenizer:
    """A tokenizer as a key: equal digests give equal ids."""

    digest: str
    tokenizer: ReferenceType[Tokenizer] = field(compare=False)


@lru_cache(MAX_VOCABULARIES)
def _read_vocabulary(tokenizer: _HashedTokenizer, ends: tuple[int, ...]) -> GrammarVocabulary:
    alive = tokenizer.tokenizer()
    assert alive is not None, "the caller has the tokenizer"
    return GrammarVocabulary(alive, ends)


@lru_cache(MAX_GRAMMARS)
def _compile(
    name: str, value: str | tuple[str, ...], tokenizer: _HashedTokenizer, ends: tuple[int, ...]
) -> Grammar:
    return Grammar(Sampling.model_validate({name: value}), _read_vocabulary(tokenizer, ends), ends)


def compile_grammar(
    sampling: Sampling, tokenizer: Tokenizer, end_ids: Iterable[int]
) -> Grammar | None:
    """Compile the constraint of the settings, or return it if it was compiled lately.

    None if there is no constraint. `end_ids` and `sampling.stop_tokens` end an answer and are no
    part of it.

    Raises ConfigError for what cannot be compiled: an invalid grammar, a JSON schema's keyword that
    is not supported, a model without an end, a tokenizer whose tokens have no bytes.
    """
    name = sampling.constraint
    if not name:
        return None
    ends = tuple(sorted({*end_ids, *sampling.stop_tokens}))
    if not ends:
        raise ConfigError(f"Sampling.{name} needs an end token; the model has none.")
    return _compile(name, getattr(sampling, name), _hashed(tokenizer), ends)


def _hashed(tokenizer: Tokenizer) -> _HashedTokenizer:
    return _HashedTokenizer(tokenizer.digest, ref(tokenizer))


class GrammarCompiler:
    """Compiles in a thread, so that a loop of sequences does not wait for a grammar.

    Each is tried in a process of its own first, so that none takes this one down: see checking.py.
    """

    def __init__(self, tokenizer: Tokenizer, end_ids: Sequence[int]) -> None:
        self.tokenizer, self.end_ids = tokenizer, end_ids
        self.threads = ThreadPoolExecutor(1, "grammar")
        self._try = lru_cache(MAX_GRAMMARS)(self._try_once)

    @cached_property
    def checker(self) -> GrammarChecker:
        """The process; its vocabulary is the one that `compile_grammar` compiles for."""
        ends, key = tuple(sorted(self.end_ids)), _hashed(self.tokenizer)
        return GrammarChecker(_read_vocabulary(key, ends).library)

    def _try_once(self, name: str, value: str | tuple[str, ...]) -> None:
        self.checker.check(Sampling.model_validate({name: value}))

    def start(self, sampling: Sampling) -> Future[Grammar | None]:
        """Begin to compile; `done()` says whether it is ready, and `result()` raises its errors."""
        return self.threads.submit(self._compile, sampling)

    def _compile(self, sampling: Sampling) -> Grammar | None:
        if self.end_ids and (name := sampling.constraint):
            self._try(name, getattr(sampling, name))
        return compile_grammar(sampling, self.tokenizer, self.end_ids)

    def close(self) -> None:
        """Drop what waits."""
        self.threads.shutdown(wait=False, cancel_futures=True)
        if "checker" in self.__dict__:
            self.checker.close()
