"""Adapters of groundup's models and tokenizers for the harness, with branching KV caches."""

import copy
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from groundup.core import (
    Artifact,
    ArtifactError,
    ConfigError,
    Conversation,
    Tokenizer,
    device,
    digest,
    hash_file,
)
from groundup.model import Cache, Transformer
from groundup.model import load as load_model
from groundup.tokenizer import (
    CHATML_TEMPLATE,
    DOCUMENT_END,
    ChatTemplate,
    ImportedTokenizer,
    load_chat_template,
    load_tokenizer,
    render,
    required_vocab_size,
    template_digest,
)

from .local import DEFAULT_SCORING, LocalModel, ScoringOptions

DIGEST_FILES = ("*.safetensors", "*.json", "*.jinja", "*.model")
"""Files of a model directory that determine its answers."""


@dataclass
class NativeState:
    """The state of a batch: its cache, and each sequence's length without padding."""

    cache: Cache
    lengths: Int[Tensor, " B"]
    has_no_padding: bool = True
    """Whether no sequence has padding."""


class NativeModel:
    """A Transformer that branches; fulfils `BranchingModel`."""

    def __init__(self, model: Transformer) -> None:
        """Wrap a decoder whose logits are hidden states times its head, else ConfigError."""
        output = model.config.output
        if model.config.kind != "decoder" or output.bias or output.softcap is not None:
            raise ConfigError(
                f"Scoring needs a decoder without output bias and soft cap; got kind "
                f"{model.config.kind!r} with output.bias={output.bias} and "
                f"softcap={output.softcap}; use hf:DIR to score it with Transformers."
            )
        self.model = model

    @property
    def training(self) -> bool:
        """Whether the model trains."""
        return self.model.training

    @property
    def head(self) -> Float[Tensor, "V D"]:
        """Output embedding."""
        return self.model.head

    @property
    def context_length(self) -> int:
        """Maximum positions of a sequence."""
        return self.model.config.context_length

    def train(self, mode: bool = True) -> object:
        """Switch between training and scoring."""
        return self.model.train(mode)

    def forward(self, ids: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        """Hidden states of complete sequences, as the head reads them."""
        return self.model.output_states(self.model(ids))

    def begin(self, rows: int, capacity: int) -> NativeState:
        """Empty sequences with room for `capacity` positions."""
        head = self.head
        cache = Cache(self.model.config, rows, capacity, head.dtype, head.device)
        return NativeState(cache, torch.zeros(rows, dtype=torch.long, device=head.device))

    def extend(
        self, state: NativeState, ids: Int[Tensor, "B T"], lengths: Int[Tensor, " B"]
    ) -> Float[Tensor, "B T D"]:
        """Append ids; those beyond a sequence's length are padding, which is never attended."""
        columns = torch.arange(ids.shape[1], device=ids.device)
        is_full = ids.shape[1] == 1 or bool((lengths == ids.shape[1]).all())
        documents = None
        if not is_full:
            documents = (columns < lengths[:, None]).long() - 1  # (B, T): 0, or -1 for padding
        positions = state.lengths[:, None] + columns if not state.has_no_padding else None
        hidden = self.model(ids, positions=positions, cache=state.cache, documents=documents)
        state.lengths = state.lengths + lengths
        state.has_no_padding = state.has_no_padding and is_full
        return self.model.output_states(hidden)

    def branch(self, state: NativeState, indices: Int[Tensor, " b"]) -> NativeState:
        """Copy these sequences."""
        cache = copy.copy(state.cache)  # `select` then replaces the tensors of the copy only
        cache.select(indices)
        return NativeState(cache, state.lengths[indices], state.has_no_padding)

    def join(self, states: Sequence[NativeState], capacity: int) -> NativeState:
        """Concatenate the sequences, padding the shorter ones."""
        lengths = torch.cat([state.lengths for state in states])
        joined = self.begin(len(lengths), capacity)
        cache, start = joined.cache, 0
        longest = max(state.cache.length for state in states)
        documents = torch.full((len(lengths), longest), -1, device=lengths.device)
        for state in states:
            here, old = slice(start, start + len(state.lengths)), state.cache
            for new, source in zip(cache.keys + cache.values, old.keys + old.values, strict=True):
                new[here, :, : old.length] = source[:, :, : old.length]
            old_documents = old.documents
            documents[here, : old.length] = 0 if old_documents is None else old_documents
            start = here.stop
        is_even = bool((documents == 0).all())
        cache.begin(longest, None if is_even else documents)
        cache.advance(longest)
        return NativeState(cache, lengths, is_even)


class NativeTokenizerAdapter:
    """groundup's tokenizer; fulfils `local.TokenizerAdapter`."""

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
        self.tokenizer, self.chat = tokenizer, chat
        specials = tokenizer.specials
        self.end_ids = tuple(end_ids) or tuple(specials.values())
        self.prefix_ids = tokenizer.frame.before if isinstance(tokenizer, ImportedTokenizer) else ()
        self.context_start_id = _context_start_id(tokenizer, self.prefix_ids, self.end_ids)
        self.special_ids = frozenset(specials.values())
        self.special_pattern = re.compile("(" + "|".join(map(re.escape, specials)) + ")")
        self.prefix_text = tokenizer.decode(self.prefix_ids)

    @property
    def vocab_size(self) -> int:
        """Number of ids."""
        return self.tokenizer.vocab_size

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
        """The conversation in the model's chat format, with the generation prompt.

        Raises ConfigError if the model has none.
        """
        if self.template is None:
            raise ConfigError(
                "The model's directory has no chat_template.jinja; omit --chat-template, or tune "
                "the model on conversations."
            )
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
    """Open a groundup model, or a Transformers directory of a supported architecture.

    Raises ArtifactError or DataError for any other.
    """
    model, tokenizer = load_model(path, dtype), load_tokenizer(path)
    if required_vocab_size(tokenizer) > model.config.vocab_size:
        raise ArtifactError(
            f"{path} has a tokenizer of {required_vocab_size(tokenizer)} ids and a model of "
            f"{model.config.vocab_size}; use the tokenizer that the model was trained with."
        )
    network = NativeModel(model.to(device.default_device()))
    ends = read_end_ids(path, tokenizer.vocab_size)
    template = _read_chat_template(path, tokenizer) if chat else None
    codec = NativeTokenizerAdapter(tokenizer, ends, chat=chat, template=template)
    return LocalModel(network, codec, name=str(path), digest=model_digest(path), options=options)


def _read_chat_template(path: Path, tokenizer: Tokenizer) -> ChatTemplate | str | None:
    """A directory's chat template: imported, groundup's own, or None."""
    imported = load_chat_template(path, tokenizer)
    if imported is not None:
        return imported
    has_template = tokenizer.settings.get("chat_template") if isinstance(
        tokenizer, ImportedTokenizer) else (path / "chat_template.jinja").is_file()  # fmt: skip
    return CHATML_TEMPLATE if has_template else None


def read_end_ids(path: Path, vocab_size: int) -> list[int]:
    """The end ids in a directory's configuration; empty if it names none."""
    for name in ("generation_config.json", "config.json"):
        if (path / name).is_file():
            value = json.loads((path / name).read_text(encoding="utf-8")).get("eos_token_id")
            ids = [value] if isinstance(value, int) else value or []
            if ids:
                return [token for token in ids if 0 <= token < vocab_size]
    return []


def model_digest(path: Path) -> str:
    """An artifact's id; for any other directory, the hash of its DIGEST_FILES."""
    if (path / "manifest.json").is_file():
        return Artifact.open(path, "model").id
    files = sorted({file for pattern in DIGEST_FILES for file in path.glob(pattern)})
    return digest([[file.name, hash_file(file)] for file in files])
