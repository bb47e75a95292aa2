"""The engine: a model and its tokenizer, which continue text and answer conversations.

Requests are sorted by length and run in left-padded batches over a contiguous cache. Padding is
never attended and positions count from each sequence's first token, so a sequence computes what it
would compute alone. Finished sequences leave the batch. Every special token ends an answer. The
prompts of an encoder–decoder are its sources. A prefix LM attends to its prompts bidirectionally.
No HTTP and no terminal here; see talk.py for the verbs and beam.py for beam search.
"""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from groundup.core import (
    ArtifactError,
    CapacityError,
    ConfigError,
    Conversation,
    DataError,
    Generation,
    Message,
    Sampling,
    Tokenizer,
    record,
)
from groundup.model import Transformer
from groundup.model import load as load_model
from groundup.tokenizer import (
    DOCUMENT_END,
    ChatTemplate,
    ImportedTokenizer,
    RenderedChat,
    load_chat_template,
    load_tokenizer,
    render,
    required_vocab_size,
)

from .batches import batch_by_length, right_padded
from .decoding import DecodingBatch, SourceFrame, eval_mode, gather_logprobs, read_source_frame
from .sampling import check_sampling, draw_uniforms, make_generators, sample_from_uniforms
from .text import IncrementalDetokenizer, decode_text

COMPACT_BELOW = 0.75
"""Drop finished sequences once at most this share still runs: dropping copies the cache."""

PROGRESS_FROM = 16
"""Show progress from this many prompts."""


class DecodingStep(NamedTuple):
    """One new token of each running sequence."""

    indices: Int[Tensor, " n"]
    """Indices into the batch's prompts."""
    ids: Int[Tensor, " n"]
    logprobs: Float[Tensor, " n"]


class StreamedToken(NamedTuple):
    """One token of an answer and the text that it completes."""

    text: str
    id: int


class Engine:
    """A language model on this machine; fulfils `groundup.core.LanguageModel`."""

    def __init__(
        self,
        model: Transformer,
        tokenizer: Tokenizer,
        *,
        end_ids: Sequence[int] | None = None,
        frame: SourceFrame | None = None,
        template: ChatTemplate | None = None,
    ) -> None:
        """Combine a model and its tokenizer.

        end_ids   tokens that end an answer; default: every special token
        frame     special ids around an encoder–decoder's source; default: the end-of-text token
        template  the model's own chat template; default: groundup's

        Raises ArtifactError if the tokenizer does not fit the model, ConfigError for an encoder.
        """
        if model.config.kind == "encoder":
            raise ConfigError(
                "An encoder cannot generate: its attention is bidirectional; use a decoder or an "
                "encoder_decoder."
            )
        ends = tuple(tokenizer.specials.values()) if end_ids is None else tuple(end_ids)
        if required_vocab_size(tokenizer) > model.config.vocab_size:
            raise ArtifactError(
                f"The tokenizer has {required_vocab_size(tokenizer)} ids and the model "
                f"{model.config.vocab_size}; use the tokenizer that the model was trained with."
            )
        if wrong := [end for end in ends if not 0 <= end < tokenizer.vocab_size]:
            raise ArtifactError(
                f"The end tokens {wrong} are not among the tokenizer's {tokenizer.vocab_size} ids; "
                "use the model's own tokenizer."
            )
        self.model, self.tokenizer, self.end_ids = model, tokenizer, ends
        end = tokenizer.specials.get(DOCUMENT_END, ends[0] if ends else 0)
        has_source = model.config.kind == "encoder_decoder"
        self.source_frame = frame or SourceFrame(end, after=(end,)) if has_source else None
        self.template = template
        self.prefix_ids = tokenizer.frame.before if isinstance(tokenizer, ImportedTokenizer) else ()

    @classmethod
    def open(cls, path: Path | str) -> "Engine":
        """Open a model directory with its tokenizer.

        Raises ArtifactError if either is missing, damaged or does not fit the other.
        """
        path = Path(path)
        tokenizer = load_tokenizer(path)
        template = load_chat_template(path, tokenizer)
        return cls(load_model(path), tokenizer, frame=read_source_frame(path), template=template)

    @property
    def context_length(self) -> int:
        """Maximum tokens of prompt and answer together."""
        return self.model.config.context_length

    def generate(
        self, conversations: Sequence[Conversation], sampling: Sampling
    ) -> list[Generation]:
        """Answer each conversation, in order; every request draws from `sampling.seed`.

        So an answer depends on its conversation and `sampling` alone; for several answers to one
        question use several seeds. An answer ends early where the context ends.

        Raises CapacityError if a conversation leaves no room; see `truncate_history`.
        """
        return self.continue_ids([self.prompt_ids(each) for each in conversations], sampling)

    def continue_text(self, prompt: str, sampling: Sampling) -> Generation:
        """Continue a plain text; ConfigError if it is empty."""
        return self.continue_ids([self.encode_prompt(prompt)], sampling)[0]

    def stream(self, conversation: Conversation, sampling: Sampling) -> Iterator[str]:
        """Yield an answer's text as it comes; joined, it is `generate`'s text."""
        for piece in self.stream_tokens(self.prompt_ids(conversation), sampling):
            if piece.text:
                yield piece.text

    def stream_tokens(self, prompt: Sequence[int], sampling: Sampling) -> Iterator[StreamedToken]:
        """Yield a continuation's tokens as they come, each with the text that it completes."""
        pieces = IncrementalDetokenizer(self.tokenizer)
        for step in self.decode_steps([prompt], sampling):
            token = int(step.ids[0])
            yield StreamedToken(pieces.add(token), token)

    def prompt_ids(self, conversation: Conversation) -> list[int]:
        """Ids of a conversation, ending with the generation prompt."""
        if not conversation:
            raise ConfigError("The conversation is empty; give at least one user message.")
        if self.source_frame is not None:
            raise ConfigError(
                "An encoder_decoder has no chat format; give it a plain text as its source."
            )
        if self.template is not None:
            return self.template.ids(conversation, add_generation_prompt=True)
        return render(self.tokenizer, conversation, add_generation_prompt=True).ids

    def render_ids(self, conversation: Conversation) -> RenderedChat:
        """Ids of a conversation and the mask of its answers."""
        if self.template is not None:
            return self.template.render(conversation)
        return render(self.tokenizer, conversation)

    def encode_prompt(self, prompt: str) -> list[int]:
        """Ids of a prompt or source given as plain text; ConfigError if it is empty."""
        if not prompt:
            raise ConfigError("The prompt is empty; give at least one character to continue.")
        ids = self.tokenizer.encode(prompt)
        return (
            [*self.prefix_ids, *ids] if self.source_frame is None else self.source_frame.wrap(ids)
        )

    def truncate_history(self, conversation: Conversation, reserved_tokens: int) -> Conversation:
        """Drop the oldest turns until the reserved tokens are free for the answer.

        The system message and the last message are kept; CapacityError if these alone do not fit.
        """
        kept = list(conversation)
        first = 1 if kept and kept[0].role == "system" else 0
        while len(self.prompt_ids(tuple(kept))) + reserved_tokens > self.context_length:
            if len(kept) <= first + 1:
                raise CapacityError(
                    f"The last message and {reserved_tokens} tokens for the answer exceed the "
                    f"context of "
                    f"{self.context_length} tokens; shorten the message."
                )
            del kept[first]
            while len(kept) > first + 1 and kept[first].role == "assistant":
                del kept[first]
        return tuple(kept)

    def continue_ids(
        self, prompts: Sequence[Sequence[int]], sampling: Sampling, seeds: Sequence[int] = ()
    ) -> list[Generation]:
        """Continue tokenized prompts; `seeds`, one per prompt, replace `sampling.seed`."""
        for prompt in prompts:
            self.max_new_tokens(prompt, sampling)
        seeds = seeds or [sampling.seed] * len(prompts)
        answers: dict[int, Generation] = {}
        bar = record.progress("generate", len(prompts), "answers")
        with bar if len(prompts) >= PROGRESS_FROM else nullcontext() as progress:
            for indices in self.batch_prompts(prompts, sampling.max_tokens):
                generations = self.generate_batch(
                    [prompts[i] for i in indices], sampling, [seeds[i] for i in indices]
                )
                answers.update(zip(indices, generations, strict=True))
                if progress:
                    progress.advance(len(indices))
        return [answers[i] for i in range(len(prompts))]

    def generate_batch(
        self, prompts: Sequence[Sequence[int]], sampling: Sampling, seeds: Sequence[int]
    ) -> list[Generation]:
        """Continue the prompts of one batch; ids become Python lists once, at the end."""
        size = (len(prompts), sampling.max_tokens)
        ids, logprobs = torch.full(size, -1), torch.zeros(size, dtype=torch.float64)
        for t, step in enumerate(self.decode_steps(prompts, sampling, seeds)):
            rows = step.indices.cpu()
            ids[rows, t] = step.ids.cpu()
            logprobs[rows, t] = step.logprobs.double().cpu()
        counts = (ids >= 0).sum(1).tolist()
        return [
            self.build_generation(row[:count], numbers[:count])
            for row, numbers, count in zip(ids.tolist(), logprobs.tolist(), counts, strict=True)
        ]

    def build_generation(self, ids: list[int], logprobs: list[float]) -> Generation:
        """Build the Generation of one answer."""
        has_end = bool(ids) and ids[-1] in self.end_ids
        text = decode_text(ids[:-1] if has_end else ids, self.tokenizer)
        return Generation(text, tuple(ids), tuple(logprobs), "stop" if has_end else "length")

    @torch.inference_mode()
    def decode_steps(
        self, prompts: Sequence[Sequence[int]], sampling: Sampling, seeds: Sequence[int] = ()
    ) -> Iterator[DecodingStep]:
        """Yield the new tokens of one batch, step by step, until every sequence has ended.

        Prompts of different lengths must all leave room for `max_tokens`; see `batch_prompts`.
        """
        limit = min(self.max_new_tokens(prompt, sampling) for prompt in prompts)
        uniforms = None
        if sampling.temperature > 0:
            seeds = seeds or [sampling.seed] * len(prompts)
            uniforms = draw_uniforms(make_generators(seeds), limit).to(self.model.head.device)
        ends = torch.tensor(self.end_ids, dtype=torch.long, device=self.model.head.device)
        with eval_mode(self.model):
            decoding = self.prefill(prompts, limit)
            rows = torch.arange(len(prompts), device=ends.device)
            is_running = rows >= 0
            for t in range(limit):
                logits = decoding.logits
                ids = sample_from_uniforms(
                    logits, sampling, None if uniforms is None else uniforms[rows, t]
                )
                yield DecodingStep(
                    rows[is_running], ids[is_running], gather_logprobs(logits, ids)[is_running]
                )
                is_running = is_running & ~torch.isin(ids, ends)
                num_running = int(is_running.sum())
                if num_running == 0 or t + 1 == limit:
                    return
                if num_running <= COMPACT_BELOW * len(rows):
                    kept = is_running.nonzero()[:, 0]
                    decoding.select(kept)
                    rows, ids, is_running = rows[kept], ids[kept], is_running[kept]
                decoding.append(ids)

    def prefill(self, prompts: Sequence[Sequence[int]], limit: int) -> DecodingBatch:
        """Prefill prompts or sources, with room for `limit` tokens after each."""
        vocab_size = self.tokenizer.vocab_size
        if self.source_frame is None:
            return DecodingBatch.prefill_prompts(self.model, prompts, limit, vocab_size)
        return DecodingBatch.prefill_sources(
            self.model, prompts, self.source_frame.start, limit, vocab_size
        )

    def batch_prompts(
        self, prompts: Sequence[Sequence[int]], new_tokens: int
    ) -> Iterator[list[int]]:
        """Yield the indices of each batch's prompts; a source uses no context of the decoder."""
        lengths = [len(prompt) for prompt in prompts]
        new = new_tokens if self.source_frame is None else 0
        return batch_by_length(lengths, new, self.context_length)

    def max_new_tokens(self, prompt: Sequence[int], sampling: Sampling) -> int:
        """Token limit of an answer: `max_tokens`, or what the context leaves."""
        check_sampling(sampling)
        if not prompt:
            raise ConfigError("The prompt has no tokens; give at least one to continue.")
        if self.source_frame is not None:
            return self._max_target_tokens(len(prompt), sampling)
        left = self.context_length - len(prompt)
        if left < 1:
            raise CapacityError(
                f"The prompt has {len(prompt)} tokens and the context {self.context_length}, which "
                "leaves none for the answer; shorten the prompt or drop its oldest turns."
            )
        return min(sampling.max_tokens, left)

    def _max_target_tokens(self, source_length: int, sampling: Sampling) -> int:
        """Token limit of an answer to a source: encoder and decoder each have a full context."""
        if source_length > self.context_length:
            raise CapacityError(
                f"The source has {source_length} tokens and the context {self.context_length}; "
                f"split it."
            )
        return min(sampling.max_tokens, self.context_length)

    @torch.inference_mode()
    def logprobs(
        self, conversations: Sequence[Conversation], answers: Sequence[str]
    ) -> list[list[float]]:
        """Log-probability in nats of every token of each answer, its stop token included.

        Raises DataError if conversations and answers differ in number, CapacityError if one is
        longer than the context.
        """
        if len(conversations) != len(answers):
            raise DataError(
                f"{len(conversations)} conversations need as many answers; got {len(answers)}."
            )
        sequences, positions, prompt_lengths = [], [], []
        for conversation, answer in zip(conversations, answers, strict=True):
            rendered = self.render_ids((*conversation, Message("assistant", answer)))
            start = len(self.prompt_ids(conversation))
            sequences.append(rendered.ids)
            prompt_lengths.append(start)
            positions.append([i for i in range(start, len(rendered.ids)) if rendered.mask[i]])
        logprobs: dict[int, list[float]] = {}
        for indices, hidden in self.hidden_batches(sequences, prompt_lengths):
            for row, i in enumerate(indices):
                answer_positions = torch.tensor(positions[i])
                logits = self.model.project(hidden[row, answer_positions - 1])
                logits = logits[:, : self.tokenizer.vocab_size]
                answer = torch.tensor(sequences[i])[answer_positions].to(logits.device)
                logprobs[i] = gather_logprobs(logits, answer).tolist()
        return [logprobs[i] for i in range(len(sequences))]

    @torch.inference_mode()
    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Mean of the last hidden states over each text's tokens, float32 (texts, width).

        A text longer than the context is truncated; an empty one gives zeros.
        """
        sequences = [self.tokenizer.encode(text)[: self.context_length] for text in texts]
        vectors = np.zeros((len(texts), self.model.config.width), dtype=np.float32)
        for indices, hidden in self.hidden_batches(sequences, [len(row) for row in sequences]):
            for row, i in enumerate(indices):
                if sequences[i]:
                    vectors[i] = hidden[row, : len(sequences[i])].mean(0).float().cpu().numpy()
        return vectors

    def hidden_batches(
        self, sequences: Sequence[Sequence[int]], prompt_lengths: Sequence[int]
    ) -> Iterator[tuple[list[int], Float[Tensor, "B T D"]]]:
        """Yield each batch's indices and hidden states, which are undefined in the padding.

        prompt_lengths  lengths of the prompts, to which a prefix LM attends bidirectionally
        """
        for indices in batch_by_length([len(row) for row in sequences], 0, self.context_length):
            longest = max(len(sequences[i]) for i in indices)
            if longest > self.context_length:
                raise CapacityError(
                    f"A text of {longest} tokens exceeds the context of {self.context_length}."
                )
            if longest:
                ids = right_padded([sequences[i] for i in indices]).to(self.model.head.device)
                with eval_mode(self.model):
                    hidden = self.model(
                        ids, prefix=self.prefix_mask(ids, [prompt_lengths[i] for i in indices])
                    )
                yield indices, hidden

    def prefix_mask(
        self, ids: Int[Tensor, "B T"], prompt_lengths: Sequence[int]
    ) -> Bool[Tensor, "B T"] | None:
        """Mask of each sequence's prompt for a prefix LM; None for any other model."""
        if not self.model.config.prefix:
            return None
        lengths = torch.tensor(prompt_lengths, device=ids.device)
        return torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]
