"""An imported tokenizer behind the Tokenizer protocol: ids by `tokenizers`, bytes and offsets here.

`tokenizers` matches special tokens in any text. Here each has a random internal name that no text
contains, so a typed `<eos>` is plain text, and delimiters are ids inserted by a renderer (as in
chat.py). Tokens that the file adds without calling them special, such as Qwen's `<think>` or
Gemma's runs of line breaks, do result from text, as everywhere.

Bytes come from spelling.py. Where the ids spell the text, offsets are cumulative lengths. Where a
text is normalised (NFC, lower case) they are the positions of each token's characters: ordered,
inside the text, never overlapping, possibly with gaps.
"""

import json
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import numpy as np
import tokenizers
from jaxtyping import Int

from groundup.core import ConfigError, DataError, Reason, digest

from ..bpe import well_formed
from .content import JsonContent, added_token
from .pieces import AlignedIds, PieceEncoder, mergeable_scores
from .spelling import TokenBytes, flatten_steps, loss_reason, token_bytes

MAX_IDS = 2**24
"""Maximum number of ids: the largest known vocabulary has 2**18."""
ROLES = ("bos", "eos", "pad", "unk", "cls", "sep", "mask")


class SpecialFrame(NamedTuple):
    """Ids that the model expects around a text, such as BERT's [CLS] and [SEP]."""

    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()

    def wrap(self, ids: Iterable[int]) -> list[int]:
        """The ids with those around them.

        >>> SpecialFrame((101,), (102,)).wrap([7])
        [101, 7, 102]
        """
        return [*self.before, *ids, *self.after]


class ImportedTokenizer:
    """A tokenizer.json, or another format converted to one; implements the Tokenizer protocol.

    content   value of tokenizer.json
    settings  value of tokenizer_config.json: names of special tokens, chat template
    extra     value of pieces.json: what the content cannot express, encoded by `PieceEncoder`

    Raises DataError if the content is invalid.
    """

    def __init__(
        self,
        content: JsonContent,
        settings: Mapping[str, Any] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        self.settings, self.extra = dict(settings or {}), dict(extra or {})
        try:
            self.content = _with_specials(content, self.settings)
            self.added = {token["id"]: token["content"] for token in self.content["added_tokens"]}
            self.tokens = _tokens_by_id(self.content["model"])
            special = [token for token in self.content["added_tokens"] if token["special"]]
            self.special_ids = {token["content"]: token["id"] for token in special}
            self.hidden = {name: secrets.token_hex(16) for name in self.special_ids}
            self._encoder = PieceEncoder(self.content, self.extra) if self.extra else None
            inner = self.content | ({"normalizer": None} if "normaliser" in self.extra else {})
            self._library = _build_library_tokenizer(_hide_specials(inner, self.hidden))
            self.spelling = token_bytes(self.content, self.tokens, self.added)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            what = f"No tokenizer ({type(error).__name__}: {str(error)[:200]})"
            raise DataError(f"{what}; expected the value of a tokenizer.json.") from None

    @cached_property
    def names(self) -> dict[int, str]:
        """Text of every id as in the file."""
        return self.tokens | self.added

    @property
    def vocab_size(self) -> int:
        """Number of ids, added and special tokens included: the highest id plus one."""
        return self._vocab_size

    @cached_property
    def _vocab_size(self) -> int:
        return max(self.names, default=-1) + 1

    @property
    def specials(self) -> dict[str, int]:
        """Special token text to id."""
        return dict(self.special_ids)

    @property
    def text_vocab_size(self) -> int:
        """The highest id that text can produce, plus one; templates insert special tokens."""
        return max(self.names.keys() - set(self.special_ids.values()), default=-1) + 1

    @property
    def digest(self) -> str:
        """sha256 hex of everything that determines the ids."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        decides = ("added_tokens", "normalizer", "pre_tokenizer", "model")
        found: list[Any] = [{name: self.content.get(name) for name in decides}, None, ""]
        if self._encoder is not None:
            scores = sorted(mergeable_scores(self._encoder.pieces).items())
            found[1:] = [scores or None, self._encoder.lead]
        return digest([*found, "normaliser"] if "normaliser" in self.extra else found)

    @cached_property
    def loss_reason(self) -> Reason | None:
        """Why some texts are not restored byte for byte; None if every text is."""
        return loss_reason(self.content, self.spelling)

    @cached_property
    def frame(self) -> SpecialFrame:
        """Ids that the file puts around a text; `encode` does not add them."""
        return _find_frame(self.content, self.settings, self.role_ids)

    @cached_property
    def role_ids(self) -> dict[str, int]:
        """Ids by role: bos, eos, pad, unk, cls, sep, mask, where defined.

        >>> from groundup.tokenizer.imported.vocabulary import wordpiece_tokenizer
        >>> tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "cat"]
        >>> wordpiece_tokenizer(tokens).role_ids["mask"]
        4
        """
        names = {role: token_text(self.settings.get(f"{role}_token")) for role in ROLES}
        ids = {name: id for id, name in self.names.items()}
        return {role: ids[name] for role, name in names.items() if name in ids}

    def special_id(self, name: str) -> int:
        """Id of a special token; ConfigError lists the existing ones."""
        if name not in self.special_ids:
            some = ", ".join(list(self.special_ids)[:20]) or "none"
            raise ConfigError(f"The tokenizer has no special token {name!r}; it has {some}.")
        return self.special_ids[name]

    def encode(self, text: str) -> list[int]:
        """Ids of a text without anything around it; special tokens written in it are plain text.

        A lone surrogate counts as U+FFFD.
        """
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of many texts, in order, on all cores."""
        texts = [well_formed(text) for text in texts]
        if self._encoder is not None:
            return self._encoder.encode_batch(texts)
        with _panics_refused():
            batch = self._library.encode_batch_fast(texts, add_special_tokens=False)
        return [encoding.ids for encoding in batch]

    def encode_arrays(self, texts: Sequence[str]) -> list[Int[np.ndarray, "..."]]:
        """Ids of many texts as arrays, in order, on all cores."""
        return [np.array(row, np.int32) for row in self.encode_batch(texts)]

    @cached_property
    def specials_pattern(self) -> "re.Pattern[str]":
        """Pattern of special tokens written in a text, longest first."""
        names = sorted(self.special_ids, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, names)) or r"(?!)")

    def encode_rendered(self, text: str) -> list[int]:
        """Ids of a rendered chat: special tokens written in the text are those tokens.

        >>> from groundup.tokenizer.imported.vocabulary import wordpiece_tokenizer
        >>> tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "cat"]
        >>> wordpiece_tokenizer(tokens).encode_rendered("[CLS] cat")
        [2, 5]
        """
        return self.encode_with_ranges(self.hide_specials(well_formed(text))).ids

    def hide_specials(self, text: str) -> str:
        """The text with special tokens replaced by their internal names."""
        return self.specials_pattern.sub(lambda found: self.hidden[found[0]], text)

    def encode_exactly(self, text: str) -> list[int] | Reason:
        """Ids that spell a text byte for byte, or the reason why there are none."""
        text = well_formed(text)
        ids = self.encode(text)
        if self.decode_bytes(ids) == text.encode():
            return ids
        return self.loss_reason or Reason("changed", "The tokenizer changes this text.")

    def encode_with_ranges(self, text: str) -> AlignedIds:
        """Ids and character ranges of a text with internal names of special tokens.

        Ranges refer to that text.
        """
        if self._encoder is None:
            with _panics_refused():
                found = self._library.encode(text, add_special_tokens=False)
            return AlignedIds(found.ids, found.offsets)
        ids, places, place = list[int](), list[tuple[int, int]](), 0
        by_name = {hidden: self.special_ids[name] for name, hidden in self.hidden.items()}
        for part in self._borders.split(text):  # each span between special tokens separately
            if part in by_name:
                new = AlignedIds([by_name[part]], [(0, len(part))])
            else:
                new = self._encoder.encode_with_ranges(part)
            ids += new.ids
            places += [(place + start, place + end) for start, end in new.places]
            place += len(part)
        return AlignedIds(ids, places)

    @cached_property
    def _borders(self) -> "re.Pattern[str]":
        return re.compile("(" + ("|".join(self.hidden.values()) or r"(?!)") + ")")

    def decode(self, ids: Iterable[int]) -> str:
        """Text of the ids, special tokens included; bytes that are not UTF-8 become U+FFFD."""
        return self.decode_bytes(ids).decode("utf-8", "replace")

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Bytes of the ids; DataError names an id that is not in the vocabulary.

        Tokens without bytes of their own are decoded as the file specifies.
        """
        ids = [int(id) for id in ids]
        wrong = next((id for id in ids if id not in self.names), None)
        if wrong is not None:
            what = f"id {wrong} is not in the vocabulary (0 to {self.vocab_size - 1})"
            raise DataError(f"{what}; were these ids made by another tokenizer?")
        if self.spelling is None:
            names = [self.names[id] for id in ids]
            decoder = self._library.decoder
            return (" ".join(names) if decoder is None else decoder.decode(names)).encode()
        joined = b"".join(map(self.spelling.bytes_of.__getitem__, ids))
        return joined.removeprefix(b" ") if self.spelling.drops_space else joined

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Byte range in the UTF-8 of `well_formed(text)` of each id (see the module)."""
        text = well_formed(text)
        found = self.encode_with_ranges(text)
        if self.spelling is None or self.decode_bytes(found.ids) != text.encode():
            return _offsets_by_character(text, found.places)
        return _offsets_by_length(self.spelling, found.ids, len(text.encode()))


def _offsets_by_length(spelt: TokenBytes, ids: Sequence[int], size: int) -> list[tuple[int, int]]:
    """Byte ranges of tokens that spell a text of `size` bytes, without a prepended space."""
    lengths = [len(spelt.bytes_of[id]) for id in ids]
    if lengths:
        lengths[0] -= sum(lengths) - size
    return list(pairwise(accumulate(lengths, initial=0)))


def _offsets_by_character(text: str, places: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Byte ranges of character ranges, made ordered and disjoint.

    >>> _offsets_by_character("aé b", [(0, 2), (1, 2), (3, 4)])
    [(0, 3), (3, 3), (4, 5)]
    """
    at = list(accumulate((len(character.encode()) for character in text), initial=0))
    found, last = list[tuple[int, int]](), 0
    for start, end in places:
        start = max(at[start], last)
        last = max(at[end], start)
        found.append((start, last))
    return found


def _with_specials(content: JsonContent, settings: Mapping[str, Any]) -> JsonContent:
    """The content with the special tokens that the settings name, as in transformers.

    BPE dropout is for training and switched off.
    """
    wanted = {token_text(settings.get(f"{role}_token")) for role in ROLES}
    for key in ("additional_special_tokens", "extra_special_tokens"):
        more = settings.get(key) or []
        wanted |= {token_text(each) for each in (more.values() if isinstance(more, dict) else more)}
    for token in (settings.get("added_tokens_decoder") or {}).values():
        wanted |= {token["content"]} if token.get("special") else set()
    tokens = [
        token | {"special": bool(token.get("special")) or token["content"] in wanted}
        for token in content.get("added_tokens") or []
    ]
    known = {token["content"] for token in tokens}
    for id, text in _tokens_by_id(content["model"]).items():
        if text in wanted and text not in known:
            tokens.append(added_token(id, text, special=True))
    tokens.sort(key=lambda token: token["id"])
    model = content["model"]
    if model.get("dropout"):
        model = model | {"dropout": None}
    return {**content, "added_tokens": tokens, "model": model}


def token_text(value: Any) -> str | None:
    """The text of a token in tokenizer_config.json, which is a string or an object."""
    text = value.get("content") if isinstance(value, dict) else value
    return text if isinstance(text, str) else None


def _tokens_by_id(model: JsonContent) -> dict[int, str]:
    """Token of each id of a model; ValueError for duplicate or out-of-range ids."""
    vocab = model["vocab"]
    if isinstance(vocab, list):
        return {id: text for id, (text, _) in enumerate(vocab)}
    tokens = {id: text for text, id in vocab.items()}
    if len(tokens) < len(vocab):
        raise ValueError("two tokens have one id")
    if tokens and not 0 <= min(tokens) <= max(tokens) < MAX_IDS:
        raise ValueError(f"ids from {min(tokens)} to {max(tokens)}; expected 0 to {MAX_IDS}")
    return tokens


def _hide_specials(content: JsonContent, hidden: Mapping[str, str]) -> JsonContent:
    """The content with internal names of special tokens, without steps irrelevant to ids."""
    model, without = dict(content["model"]), ("truncation", "padding", "post_processor")
    if isinstance(model["vocab"], list):
        model["vocab"] = [[hidden.get(text, text), score] for text, score in model["vocab"]]
    else:
        model["vocab"] = {hidden.get(text, text): id for text, id in model["vocab"].items()}
    if model.get("unk_token") is not None:
        model["unk_token"] = hidden.get(model["unk_token"], model["unk_token"])
    if "merges" in model:
        pairs = (tuple(m.split(" ", 1) if isinstance(m, str) else m) for m in model["merges"])
        model["merges"] = [pair for pair in pairs if not {*pair, pair[0] + pair[1]} & hidden.keys()]
    tokens = content["added_tokens"]
    added = [one | {"content": hidden.get(one["content"], one["content"])} for one in tokens]
    return {**content, **dict.fromkeys(without), "added_tokens": added, "model": model}


@contextmanager
def _panics_refused() -> Iterator[None]:
    """Context that converts the library's panic, a BaseException, into a DataError.

    It panics if a pattern of tokenizer.json takes too many steps.
    """
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        what = f"The tokenizer cannot split a text: {str(error)[:200]}; a pattern of its"
        raise DataError(f"{what} tokenizer.json does not fit such texts.") from None


def _build_library_tokenizer(content: JsonContent) -> tokenizers.Tokenizer:
    """Build the `tokenizers` tokenizer; ValueError if the library refuses it or changes ids.

    Also ValueError if an added token is matched in normalised text and normalises to nothing: it
    would match everywhere, and the library would fail or exhaust memory.
    """
    try:
        made = tokenizers.Tokenizer.from_str(json.dumps(content))
    except BaseException as error:  # the library panics at some contents, with a BaseException
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            raise
        raise ValueError(f"`tokenizers` says: {error}") from None
    for token in content["added_tokens"]:
        if made.token_to_id(token["content"]) != token["id"]:
            what = f"the added token {token['content'][:40]!r} has id {token['id']}, and the"
            raise ValueError(f"{what} library gives it {made.token_to_id(token['content'])}")
        if token.get("normalized") and made.normalizer is not None:
            if not made.normalizer.normalize_str(token["content"]):
                what = f"the added token {token['content'][:40]!r} is nothing"
                advice = 'after the tokenizer\'s own normalisation; set its "normalized" to false'
                raise ValueError(f"{what} {advice}")
    return made


def _find_frame(
    content: JsonContent, settings: Mapping[str, Any], roles: Mapping[str, int]
) -> SpecialFrame:
    """Ids around a text: from the post-processor, unless the settings say add_bos_token."""
    before, after = list[int](), list[int]()
    for step in flatten_steps(content, "post_processor"):
        if step["type"] == "TemplateProcessing":
            ids, target = step["special_tokens"], before
            for item in step["single"]:
                if "Sequence" in item:
                    target = after
                else:
                    target += ids[item["SpecialToken"]["id"]]["ids"]
        elif step["type"] in ("BertProcessing", "RobertaProcessing"):
            before, after = [step["cls"][1], *before], [*after, step["sep"][1]]
    for key, role, target in (("add_bos_token", "bos", before), ("add_eos_token", "eos", after)):
        if settings.get(key) is True and role in roles and roles[role] not in target:
            target.append(roles[role])
        elif settings.get(key) is False and roles.get(role) in target:
            target.remove(roles[role])
    return SpecialFrame(tuple(before), tuple(after))
