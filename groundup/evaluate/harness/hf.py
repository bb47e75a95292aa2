"""Adapters of Transformers models and tokenizers, for architectures that groundup cannot load.

The network gives hidden states and its cache keeps keys and values; everything else is the same
code as for groundup's models. Opening a directory tests what scoring relies on: logits are hidden
states times the head, attention is causal, and branched and padded sequences compute what each
computes alone. A model that fails a test is rejected.
"""

import copy
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import pad

from groundup.core import ArtifactError, ConfigError, Conversation, MissingExtra, device, hash_file
from groundup.generate import CachedModel, read_eos_ids

from .local import DEFAULT_SCORING, LocalModel, ScoringOptions, model_digest

SERVE_HINT = "serve it and evaluate the server: groundup evaluate http://HOST/v1#NAME."
CONTEXT_LENGTH_FIELDS = ("n_positions", "max_position_embeddings", "n_ctx", "max_seq_len")
"""Configuration fields of the context length, in lm-eval's order."""
DEFAULT_CONTEXT_LENGTH = 2048
"""Default where the configuration has none."""
RELATIVE_TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-6}
"""Tolerance of the tests relative to the largest value; 0.05 for other dtypes."""


@dataclass
class HFState:
    """The state of a batch."""

    cache: Any
    mask: Int[Tensor, "B S"]
    """1, or 0 for padding."""
    lengths: Int[Tensor, " B"]


class HFModel(CachedModel):
    """A causal Transformers model."""

    def __init__(self, model: Any, context_length: int) -> None:
        self.model, self.body, self.context_length = model, model.base_model, context_length
        self.parameters = inspect.signature(self.body.forward).parameters.keys()
        self.cache_argument = (
            "cache" if "cache" in self.parameters else "past_key_values"
        )  # by version

    @property
    def head(self) -> Float[Tensor, "V D"]:
        """Output embedding."""
        return self.model.get_output_embeddings().weight

    def forward(self, ids: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        return self.body(input_ids=ids, use_cache=False).last_hidden_state

    def begin(self, num_sequences: int, capacity: int) -> HFState:
        """Empty sequences; the cache grows as needed."""
        from transformers import DynamicCache

        empty = torch.zeros(num_sequences, 0, dtype=torch.long, device=self.head.device)
        return HFState(DynamicCache(), empty, empty.sum(1))

    def extend(
        self, state: HFState, ids: Int[Tensor, "B T"], lengths: Int[Tensor, " B"]
    ) -> Float[Tensor, "B T D"]:
        """Append ids; those beyond a sequence's length are padding, which is never attended."""
        columns = torch.arange(ids.shape[1], device=ids.device)
        state.mask = torch.cat([state.mask, (columns < lengths[:, None]).long()], dim=1)
        more = {self.cache_argument: state.cache}
        if "position_ids" in self.parameters:
            more["position_ids"] = state.lengths[:, None] + columns
        out = self.body(input_ids=ids, attention_mask=state.mask, use_cache=True, **more)
        state.lengths = state.lengths + lengths
        return out.last_hidden_state

    def branch(self, state: HFState, indices: Int[Tensor, " b"]) -> HFState:
        """Copy the cache."""
        cache = copy.copy(state.cache)
        cache.layers = [copy.copy(layer) for layer in cache.layers]
        if cache.layers:
            cache.batch_select_indices(indices)  # replaces the tensors of the copies only
        return HFState(cache, state.mask[indices], state.lengths[indices])

    def join(self, states: Sequence[HFState], capacity: int) -> HFState:
        """Concatenate the sequences, padding the shorter ones."""
        joined = self.begin(0, capacity)
        longest = max(state.mask.shape[1] for state in states)
        for layer in range(len(states[0].cache.layers)):
            parts = [(state.cache.layers[layer].keys, state.cache.layers[layer].values)
                     for state in states]  # fmt: skip
            keys, values = (
                torch.cat([pad(t, (0, 0, 0, longest - t.shape[2])) for t in tensors])
                for tensors in zip(*parts, strict=True)
            )
            joined.cache.update(keys, values, layer)
        masks = [pad(state.mask, (0, longest - state.mask.shape[1])) for state in states]
        return HFState(joined.cache, torch.cat(masks), torch.cat([each.lengths for each in states]))


class HFTokenizerAdapter:
    """A Transformers tokenizer as lm-eval uses it; fulfils `TokenizerAdapter`."""

    def __init__(self, tokenizer: Any, path: Path, vocab_size: int) -> None:
        """Wrap a tokenizer; ArtifactError if it has neither bos nor eos."""
        self.tokenizer, self.vocab_size, self.path = tokenizer, vocab_size, path
        first = tokenizer.bos_token_id
        self.context_start_id = tokenizer.eos_token_id if first is None else first
        if self.context_start_id is None:
            raise ArtifactError(
                f"{path} has neither a bos nor an eos token; one must start each text."
            )
        ends = read_eos_ids(path, vocab_size)
        self.end_ids = tuple(ends or [tokenizer.eos_token_id or self.context_start_id])
        self.prefix_text = tokenizer.decode([self.context_start_id])

    @property
    def signature(self) -> str:
        """What affects the ids of a text."""
        file = self.path / "tokenizer.json"
        name = hash_file(file)[:12] if file.is_file() else type(self.tokenizer).__name__
        begins = len(self.encode("a")) - len(self.encode("a", add_special_tokens=False))
        return f"tokenizer:{name}|specials:read|begins:{begins}"

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        """Ids of a text; special tokens are not added twice."""
        has_prefix = bool(self.prefix_text) and text.startswith(self.prefix_text)
        return self.tokenizer.encode(text, add_special_tokens=add_special_tokens and not has_prefix)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of the ids, without special tokens."""
        return self.tokenizer.decode(list(ids), skip_special_tokens=True)

    def render(self, conversation: Conversation) -> str:
        """The conversation in the directory's chat template; ConfigError if it has none."""
        if not self.tokenizer.chat_template:
            raise ConfigError(f"{self.path} has no chat template; omit --chat-template.")
        messages = [message._asdict() for message in conversation]
        return self.tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True
        )


def open_hf(
    path: Path, *, dtype: torch.dtype | None = None, options: ScoringOptions = DEFAULT_SCORING
) -> LocalModel:
    """Open a causal model with Transformers: safetensors only, no remote code.

    Raises MissingExtra without Transformers and ArtifactError for a model that cannot be scored.
    """
    try:
        import transformers
    except ImportError:
        raise MissingExtra("transformers", "transformers") from None
    try:
        # Without trust_remote_code=False, Transformers asks on the terminal whether to run code.
        config = transformers.AutoConfig.from_pretrained(
            path, local_files_only=True, trust_remote_code=False
        )
        model = transformers.AutoModelForCausalLM.from_pretrained(
            path, dtype=dtype or "auto", local_files_only=True, use_safetensors=True,
            trust_remote_code=False,
        ).eval()  # fmt: skip
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            path, local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError, ImportError) as error:
        message = " ".join(str(error).split())[:300]
        raise ArtifactError(f"Transformers cannot open {path}: {message}") from None
    network = HFModel(model.to(device.default_device()), _read_context_length(config, tokenizer))
    codec = HFTokenizerAdapter(tokenizer, path, network.head.shape[0])
    _check_assumptions(network, path, config, options)
    return LocalModel(network, codec, name=f"hf:{path}", digest=model_digest(path), options=options)


def _read_context_length(config: Any, tokenizer: Any) -> int:
    config = getattr(config, "get_text_config", lambda: config)()
    values = [getattr(config, name, None) for name in CONTEXT_LENGTH_FIELDS]
    values += [getattr(tokenizer, "model_max_length", None)]
    return next((int(n) for n in values if n and n < 10**9), DEFAULT_CONTEXT_LENGTH)


@torch.inference_mode()
def _check_assumptions(network: HFModel, path: Path, config: Any, options: ScoringOptions) -> None:
    """Test what scoring relies on; ArtifactError naming what fails."""
    is_sliding = getattr(config, "use_sliding_window", True) and not options.invariant
    window = getattr(config, "sliding_window", None)
    if is_sliding and window and window < network.context_length:
        raise ArtifactError(
            f"{path} has a sliding window of {window}; set invariant=true, or {SERVE_HINT}"
        )
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(network.head.shape[0], (2, 12), generator=generator).to(network.head.device)
    hidden = network.forward(ids)
    logits = network.model(input_ids=ids, use_cache=False).logits
    if not _is_close(hidden @ network.head.T, logits):
        raise ArtifactError(
            f"The logits of {path} are not its hidden states times its head (a bias, a scale or a "
            f"cap); {SERVE_HINT}"
        )
    changed = ids.clone()
    changed[:, -1] = (ids[:, -1] + 1) % network.head.shape[0]
    if not _is_close(network.forward(changed)[:, :-1], hidden[:, :-1]):
        raise ArtifactError(f"{path} is not causal: its tokens attend to later ones.")
    try:
        is_exact = _branches_exactly(network, ids)
    except Exception:  # another cache implementation may raise anything
        is_exact = False
    if not is_exact:
        raise ArtifactError(
            f"Padded sequences of {path} do not compute what each computes alone; {SERVE_HINT}"
        )


def _branches_exactly(network: HFModel, ids: Int[Tensor, "2 12"]) -> bool:
    state = network.begin(1, 12)
    network.extend(state, ids[:1, :5], torch.tensor([5], device=ids.device))
    zeros, lengths = (torch.tensor(row, device=ids.device) for row in ([0, 0], [2, 4]))
    branched = network.branch(state, zeros)
    network.extend(branched, ids[:1, 5:9].expand(2, 4), lengths)
    branched = network.join([network.branch(branched, zeros[:1] + row) for row in (0, 1)], 12)
    more = network.extend(branched, ids[:, 9:], torch.tensor([3, 3], device=ids.device))
    rows = [torch.cat([ids[0, : 5 + n], ids[row, 9:]]) for row, n in enumerate((2, 4))]
    alone = torch.cat([network.forward(row[None])[:, -3:] for row in rows])
    return _is_close(more, alone)


def _is_close(found: Tensor, expected: Tensor) -> bool:
    error = (found - expected).abs().max()
    largest = RELATIVE_TOLERANCE.get(found.dtype, 0.05)
    return bool(error <= largest * expected.abs().max().clamp(min=1e-6))
