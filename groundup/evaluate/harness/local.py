"""Local models for evaluation: text in, likelihoods or text out.

Text is tokenized as in lm-eval's Hugging Face backend, so that scores are equal:

    pair        trailing spaces of a context move to the continuation; both are encoded together,
                and the ids after the context's own are the continuation's
    no context  bos, else eos, is the context
    too long    a context is truncated on the left, and the answer says by how many ids
    rolling     the same first id, then windows of the context's length: disjoint ones, of which the
                last is full, or overlapping ones that start `stride` ids apart

`invariant` computes every request alone and without padding: scores do not depend on batching.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import torch

from groundup.adapt import load_adapted
from groundup.core import (
    Artifact,
    Completion,
    ConfigError,
    Conversation,
    Likelihood,
    LoglikelihoodRequest,
    Reason,
    Sampling,
    Tokenizer,
    device,
    digest,
    hash_file,
    record,
)
from groundup.generate import (
    NOT_FINITE,
    CachedModel,
    DecodingOptions,
    Engine,
    PairScore,
    TokenPair,
    decode_prompts,
    default_batch_tokens,
    find_stop,
    read_model_text,
    score_pairs,
)
from groundup.tokenizer import (
    CHATML_TEMPLATE,
    DOCUMENT_END,
    PLAIN_TEMPLATE,
    ChatTemplate,
    ImportedTokenizer,
    render,
    template_digest,
)

from ..likelihood import check_stride, disjoint_windows, score_windows, sliding_windows

DIGEST_FILES = ("*.safetensors", "*.json", "*.jinja", "*.model")
"""Files of a model directory that determine its answers."""


@runtime_checkable
class TokenizerAdapter(Protocol):
    """What evaluation needs of a tokenizer."""

    end_ids: tuple[int, ...]
    """Ids that end a text."""
    vocab_size: int
    """Ids from this one on are never chosen."""
    context_start_id: int
    """Id that replaces an empty context."""

    @property
    def signature(self) -> str:
        """What affects the ids: `tokenizer:…|specials:plain`."""
        ...

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        """Ids of a text, by default with the special tokens that the tokenizer puts before it."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """Text of the ids, without special tokens."""
        ...

    def render(self, conversation: Conversation) -> str:
        """The conversation in the model's chat format; ConfigError if it has none."""
        ...


class ScoringOptions(NamedTuple):
    """How a local model computes scores."""

    batch_tokens: int = 0
    """Tokens computed at a time; 0 chooses by device."""
    invariant: bool = False
    """Compute every request alone, so that scores do not depend on batching."""
    window: int = 0
    """Window of `rolling` in ids; 0 is the model's context."""
    stride: int = 0
    """Ids between the starts of overlapping windows; 0 is disjoint windows."""


DEFAULT_SCORING = ScoringOptions()


class LocalModel:
    """A network and its tokenizer; fulfils `groundup.core.TextModel`."""

    def __init__(
        self, network: CachedModel, tokenizer: TokenizerAdapter, *, name: str, digest: str,
        options: ScoringOptions = DEFAULT_SCORING,
    ) -> None:  # fmt: skip
        """Combine them; ConfigError for a window or stride that does not fit the model."""
        context = network.context_length
        if not 0 <= options.window <= context:
            raise ConfigError(
                f"window={options.window} does not fit the model's context_length={context}."
            )
        if options.stride:
            check_stride(options.window or context, options.stride)
        self.network, self.tokenizer, self.name, self.digest = network, tokenizer, name, digest
        self.options = options
        self.batch_tokens = options.batch_tokens or default_batch_tokens(network.head.device)
        self.sharing: Literal["prefix", "none"] = "none" if options.invariant else "prefix"

    @property
    def signature(self) -> str:
        """What else affects a score."""
        context, reading = self.network.context_length, self.options
        dtype = str(self.network.head.dtype).removeprefix("torch.")
        batch = f"alone|threads:{torch.get_num_threads()}" if reading.invariant else "shared"
        return (
            f"{self.tokenizer.signature}|dtype:{dtype}|context:{context}|too_long:cut_left|"
            f"window:{reading.window or context}|stride:{reading.stride or 'disjoint'}|"
            f"first:{self.tokenizer.context_start_id}|batch:{batch}"
        )

    def render(self, conversation: Conversation) -> str:
        """The conversation in the model's own chat format, with the generation prompt."""
        return self.tokenizer.render(conversation)

    def loglikelihood(
        self, pairs: Sequence[LoglikelihoodRequest]
    ) -> Iterator[tuple[int, Likelihood | Reason]]:
        """Likelihood of each continuation after its context."""
        encode, limit = _memoized_encode(self.tokenizer), self.network.context_length
        items, owners = list[TokenPair](), list[tuple[int, int]]()
        for index, request in enumerate(pairs):
            pair = self.encode_pair(request, encode)
            if isinstance(pair, Reason):
                yield index, pair
                continue
            context, ids = pair
            num_truncated = max(0, len(context) + len(ids) - limit - 1)
            items.append(TokenPair(context[num_truncated:], ids))
            owners.append((index, num_truncated))
        for score in score_pairs(
            self.network, items, batch_tokens=self.batch_tokens, sharing=self.sharing
        ):
            index, num_truncated = owners[score.index]
            yield index, _likelihood(score, num_truncated)

    def encode_pair(self, pair: LoglikelihoodRequest, encode: "Encode") -> TokenPair | Reason:
        """Ids of a pair; a Reason if the continuation has none or too many."""
        context, continuation = pair
        stripped = context.rstrip()
        continuation, context = context[len(stripped) :] + continuation, stripped
        if not _is_encodable(context + continuation):
            return NOT_TEXT
        if context:
            context_ids = encode(context)
            ids = self.tokenizer.encode(context + continuation)[len(context_ids) :]
        else:
            context_ids = [self.tokenizer.context_start_id]
            ids = self.tokenizer.encode(continuation, add_special_tokens=False)
            ids = ids[1:] if ids[:1] == context_ids else ids
        if not context_ids or not ids:
            return Reason("empty_continuation", "The continuation has no ids of its own to score.")
        if len(ids) > self.network.context_length:
            return self._too_long(f"The continuation has {len(ids)} tokens")
        return TokenPair(context_ids, ids)

    def rolling(self, texts: Sequence[str]) -> Iterator[tuple[int, Likelihood | Reason]]:
        """Likelihood of complete texts, each token scored exactly once."""
        rows: dict[int, list[int]] = {}
        for index, text in enumerate(texts):
            if ids := self.tokenizer.encode(text) if _is_encodable(text) else []:
                rows[index] = [self.tokenizer.context_start_id, *ids]
            else:
                yield index, NOT_TEXT if text else Reason("empty_text", "The text is empty.")
        window, stride = self.options.window or self.network.context_length, self.options.stride
        overlapping = partial(sliding_windows, window=window, stride=stride)
        disjoint, indices = partial(disjoint_windows, window=window), list(rows)
        for score in score_windows(
            self.network, list(rows.values()), overlapping if stride else disjoint,
            batch_tokens=self.batch_tokens, sharing=self.sharing,
        ):  # fmt: skip
            yield indices[score.index], _likelihood(score)

    def complete(
        self, prompts: Sequence[str], sampling: Sampling
    ) -> Iterator[tuple[int, Completion | Reason]]:
        """Complete each prompt, truncated on the left to leave room for `max_tokens`."""
        new, context = sampling.max_tokens, self.network.context_length
        rows, owners = list[list[int]](), list[tuple[int, int]]()
        for index, prompt in enumerate(prompts):
            if not _is_encodable(prompt):
                yield index, NOT_TEXT
            elif new >= context:
                yield index, self._too_long(f"An answer of max_tokens={new}", context - 1)
            else:
                ids = self.tokenizer.encode(prompt) or [self.tokenizer.context_start_id]
                rows.append(ids[new - context :])
                owners.append((index, len(ids) - len(rows[-1])))
        options = DecodingOptions(
            sampling, self.tokenizer.end_ids, self.tokenizer.vocab_size, self.batch_tokens,
            self.tokenizer.decode, invariant=self.options.invariant,
        )  # fmt: skip
        for row, answer in decode_prompts(self.network, rows, options):
            index, num_truncated = owners[row]
            if isinstance(answer, Reason):
                yield index, answer
                continue
            ids = answer.ids[:-1] if answer.ids[-1] in self.tokenizer.end_ids else answer.ids
            text = self.tokenizer.decode(ids)
            yield index, Completion(
                text[: find_stop(text, sampling.stop)], answer.finish_reason, len(answer.ids),
                len(rows[row]), num_truncated,
            )  # fmt: skip

    def _too_long(self, what: str, limit: int | None = None) -> Reason:
        limit = limit or self.network.context_length
        return Reason("too_long", f"{what} and the model reads {limit}; shorten it.")


def _likelihood(score: PairScore, truncated_tokens: int = 0) -> Likelihood | Reason:
    if not isfinite(score.nats):
        return NOT_FINITE
    return Likelihood(-score.nats, score.is_greedy, len(score.token_nats), truncated_tokens)


Encode = Callable[[str], list[int]]

NOT_TEXT = Reason("not_text", "The text has a lone surrogate, which UTF-8 cannot encode.")


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _memoized_encode(tokenizer: TokenizerAdapter) -> Encode:
    """A memoized `encode`: options share their context."""
    cache: dict[str, list[int]] = {}

    def encode(text: str) -> list[int]:
        if text not in cache:
            if len(cache) >= 64:
                cache.pop(next(iter(cache)))
            cache[text] = tokenizer.encode(text)
        return cache[text]

    return encode


class NativeTokenizerAdapter:
    """groundup's tokenizer; fulfils `TokenizerAdapter`."""

    def __init__(
        self, tokenizer: Tokenizer, end_ids: Sequence[int] = (), *, chat: bool = False,
        template: ChatTemplate | str | None = CHATML_TEMPLATE,
    ) -> None:  # fmt: skip
        """Wrap a tokenizer.

        end_ids   ids that end a text; default: every special token
        chat      whether special tokens spelled in a text are parsed, as a rendered chat needs
        template  the model's chat template, imported or groundup's own; None if it has none
        """
        self.template = template
        self.tokenizer, self.chat, self.vocab_size = tokenizer, chat, tokenizer.vocab_size
        specials = tokenizer.specials
        self.end_ids = tuple(end_ids) or tuple(specials.values())
        self.prefix_ids = tokenizer.frame.before if isinstance(tokenizer, ImportedTokenizer) else ()
        self.context_start_id = _context_start_id(tokenizer, self.prefix_ids, self.end_ids)
        self.special_ids = frozenset(specials.values())
        self.special_pattern = re.compile("(" + "|".join(map(re.escape, specials)) + ")")
        self.prefix_text = tokenizer.decode(self.prefix_ids)

    @property
    def signature(self) -> str:
        """What affects the ids of a text."""
        specials = "read" if self.chat else "plain"
        ids = f"tokenizer:{self.tokenizer.digest[:12]}|specials:{specials}"
        ids += f"|begins:{len(self.prefix_ids)}" if self.prefix_ids else ""
        if not self.chat:
            return ids
        source = self.template.source if isinstance(self.template, ChatTemplate) else self.template
        return f"{ids}|template:{template_digest(source)[:12] if source else 'none'}"

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        """Ids of a text, by default with the tokenizer's prefix, unless the text spells it."""
        if not self.chat:
            ids = self.tokenizer.encode(text)
            return [*self.prefix_ids, *ids] if add_special_tokens else ids
        if isinstance(self.tokenizer, ImportedTokenizer):
            begins = add_special_tokens and not (
                self.prefix_ids and text.startswith(self.prefix_text)
            )
            return [*(self.prefix_ids if begins else ()), *self.tokenizer.encode_rendered(text)]
        ids = []
        for part in filter(None, self.special_pattern.split(text)):
            special = self.tokenizer.specials.get(part)
            ids += self.tokenizer.encode(part) if special is None else [special]
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Text of the ids, without special tokens."""
        return self.tokenizer.decode(token for token in ids if token not in self.special_ids)

    def render(self, conversation: Conversation) -> str:
        """The conversation in the model's chat format, with the generation prompt."""
        if isinstance(self.template, ChatTemplate):
            return self.template.text(conversation, add_generation_prompt=True)
        return render(self.tokenizer, conversation, add_generation_prompt=True).text


def _context_start_id(tokenizer: Tokenizer, before: Sequence[int], ends: Sequence[int]) -> int:
    """The id of an empty context; for an imported tokenizer bos, else eos, as in lm-eval."""
    if not isinstance(tokenizer, ImportedTokenizer):
        return tokenizer.specials.get(DOCUMENT_END, ends[0])
    roles = tokenizer.role_ids
    return roles.get("bos", roles.get("eos", (*before, *ends)[0]))


def open_native(
    path: Path, *, dtype: torch.dtype | None = None, chat: bool = False,
    options: ScoringOptions = DEFAULT_SCORING,
) -> LocalModel:  # fmt: skip
    """Open a groundup model, an adapter with its model, or a Transformers directory.

    chat  conversations are rendered; a base model, which has no chat template, reads
          plain turns, or ChatML's where the tokenizer is groundup's

    Raises ArtifactError or DataError for any other, ConfigError unless it is a decoder.
    """
    tokenizer, template, ends, _ = read_model_text(path, needs_template=chat)
    engine = Engine(load_adapted(path, dtype), tokenizer)
    if engine.source_frame is not None:
        raise ConfigError(f"{path} is an encoder_decoder, which cannot be scored; use a decoder.")
    engine.model.to(device.default_device())
    if chat and template is None:
        is_imported = isinstance(tokenizer, ImportedTokenizer)
        template = ChatTemplate(PLAIN_TEMPLATE, tokenizer) if is_imported else CHATML_TEMPLATE
        turns = "plain turns" if is_imported else "ChatML's turns"
        record.log(f"{path} has no chat template; it is asked in {turns}.")
    codec = NativeTokenizerAdapter(tokenizer, ends, chat=chat, template=template if chat else None)
    return LocalModel(
        engine.cached, codec, name=str(path), digest=model_digest(path), options=options
    )


def model_digest(path: Path) -> str:
    """An artifact's id; for any other directory, the hash of its DIGEST_FILES."""
    if (path / "manifest.json").is_file():
        return Artifact.open(path).id
    files = sorted({file for pattern in DIGEST_FILES for file in path.glob(pattern)})
    return digest([[file.name, hash_file(file)] for file in files])
