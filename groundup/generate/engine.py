"""The engine: a model and its tokenizer as one that continues text and answers conversations.

Requests are sorted by length and run in batches over the plain cache, padded on the left; padding
is attended by nobody and positions count from each row's first token, so a row computes what it
would compute alone. Rows that have ended leave the batch. Every special token ends an answer. An
encoder–decoder's prompts are sources: it reads each whole and writes its own text. A
decoder that was trained on prefixes reads its prompts both ways, and what it writes in order.
Knows no HTTP and no terminal; see talk.py for the verbs and beam.py for beam search.
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
    Rendered,
    ids_needed,
    load_tokenizer,
    render,
    template_of,
)

from .batches import batches, right_padded
from .decoding import Decoding, Frame, evaluating, frame_of, logprobs_of
from .sampling import check_sampling, draw, generators_of, pick
from .text import Pieces, text_of

COMPACT_BELOW = 0.75
"""Finished rows are dropped when at most this share still runs: dropping copies the cache."""

TOLD_FROM = 16
"""Number of prompts from which progress is shown."""


class Step(NamedTuple):
    """One new token of each row that still runs."""

    rows: Int[Tensor, " n"]
    """Places of the rows in the batch as it began."""
    ids: Int[Tensor, " n"]
    logprobs: Float[Tensor, " n"]


class Piece(NamedTuple):
    """One token of an answer and the text that became whole with it."""

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
        frame: Frame | None = None,
        template: ChatTemplate | None = None,
    ) -> None:
        """Put a model and its tokenizer together.

        end_ids  tokens that end an answer; default: every special token
        frame    what stands around an encoder–decoder's texts; default: ends of text
        template  how conversations are rendered where it is not our way

        Raises ArtifactError if the tokenizer has more ids than the model, or none that ends;
        ConfigError if the model is an encoder.
        """
        if model.config.kind == "encoder":
            raise ConfigError(
                "An encoder cannot generate: each of its tokens sees those after it; use a decoder "
                "or an encoder_decoder."
            )
        ends = tuple(tokenizer.specials.values()) if end_ids is None else tuple(end_ids)
        if ids_needed(tokenizer) > model.config.vocab_size:
            raise ArtifactError(
                f"The tokenizer has {ids_needed(tokenizer)} ids and the model "
                f"{model.config.vocab_size}: they were not made for each other; use the tokenizer "
                "that the model was trained with."
            )
        if wrong := [end for end in ends if not 0 <= end < tokenizer.vocab_size]:
            raise ArtifactError(
                f"The end tokens {wrong} are not ids of the tokenizer, which has "
                f"{tokenizer.vocab_size}; use the model's own tokenizer."
            )
        self.model, self.tokenizer, self.end_ids = model, tokenizer, ends
        end = tokenizer.specials.get(DOCUMENT_END, ends[0] if ends else 0)
        has_source = model.config.kind == "encoder_decoder"
        self.frame = frame or Frame(end, after=(end,)) if has_source else None
        self.template = template
        self.before = tokenizer.frame.before if isinstance(tokenizer, ImportedTokenizer) else ()

    @classmethod
    def open(cls, path: Path | str) -> "Engine":
        """Open a model directory with the tokenizer that lies in it.

        Raises ArtifactError if either is missing, damaged or does not fit the other.
        """
        path = Path(path)
        tokenizer = load_tokenizer(path)
        template = template_of(path, tokenizer)
        return cls(load_model(path), tokenizer, frame=frame_of(path), template=template)

    @property
    def context_length(self) -> int:
        """Most tokens of prompt and answer together."""
        return self.model.config.context_length

    def generate(
        self, conversations: Sequence[Conversation], sampling: Sampling
    ) -> list[Generation]:
        """Answer each conversation, in order; every request draws from `sampling.seed`.

        So an answer depends on its conversation and `sampling` alone; for several answers to one
        question use several seeds. It ends early where the context ends.

        Raises CapacityError if a conversation leaves no room for an answer (see `recent`).
        """
        return self.continue_ids([self.prompt(each) for each in conversations], sampling)

    def continue_text(self, prompt: str, sampling: Sampling) -> Generation:
        """Continue a plain text; ConfigError if it is empty."""
        return self.continue_ids([self.plain(prompt)], sampling)[0]

    def stream(self, conversation: Conversation, sampling: Sampling) -> Iterator[str]:
        """Yield an answer's text as it comes; joined, it is `generate`'s text."""
        for piece in self.pieces(self.prompt(conversation), sampling):
            if piece.text:
                yield piece.text

    def pieces(self, prompt: Sequence[int], sampling: Sampling) -> Iterator[Piece]:
        """Yield a continuation's tokens as they come, each with the text that it completes."""
        pieces = Pieces(self.tokenizer)
        for step in self.steps([prompt], sampling):
            token = int(step.ids[0])
            yield Piece(pieces.add(token), token)

    def prompt(self, conversation: Conversation) -> list[int]:
        """Ids of a conversation up to where the answer begins."""
        if not conversation:
            raise ConfigError("The conversation is empty; give at least one user message.")
        if self.frame is not None:
            raise ConfigError(
                "An encoder_decoder reads a source and holds no conversation; give it a plain text."
            )
        if self.template is not None:
            return self.template.ids(conversation, add_generation_prompt=True)
        return render(self.tokenizer, conversation, add_generation_prompt=True).ids

    def rendered(self, conversation: Conversation) -> Rendered:
        """Ids of a whole conversation, and which of them are answers."""
        if self.template is not None:
            return self.template.render(conversation)
        return render(self.tokenizer, conversation)

    def plain(self, prompt: str) -> list[int]:
        """Ids of a plain text, a prompt or a source; ConfigError if it is empty."""
        if not prompt:
            raise ConfigError("The prompt is empty; give at least one character to continue.")
        ids = self.tokenizer.encode(prompt)
        return [*self.before, *ids] if self.frame is None else self.frame.source(ids)

    def recent(self, conversation: Conversation, reserve: int) -> Conversation:
        """Drop the oldest turns until `reserve` tokens are free for the answer.

        A system message stays, and so does the last message. Raises CapacityError if these alone
        do not fit.
        """
        kept = list(conversation)
        first = 1 if kept and kept[0].role == "system" else 0
        while len(self.prompt(tuple(kept))) + reserve > self.context_length:
            if len(kept) <= first + 1:
                raise CapacityError(
                    f"The last message and {reserve} tokens for the answer exceed the context of "
                    f"{self.context_length} tokens; shorten the message."
                )
            del kept[first]
            while len(kept) > first + 1 and kept[first].role == "assistant":
                del kept[first]
        return tuple(kept)

    def continue_ids(
        self, prompts: Sequence[Sequence[int]], sampling: Sampling, seeds: Sequence[int] = ()
    ) -> list[Generation]:
        """Continue prompts of ids, in order; `seeds`, one a prompt, replace `sampling.seed`."""
        for prompt in prompts:
            self.room(prompt, sampling)
        seeds = seeds or [sampling.seed] * len(prompts)
        answers: dict[int, Generation] = {}
        bar = record.progress("generate", len(prompts), "answers")
        with bar if len(prompts) >= TOLD_FROM else nullcontext() as told:
            for chosen in self.batches(prompts, sampling.max_tokens):
                made = self.batch(
                    [prompts[i] for i in chosen], sampling, [seeds[i] for i in chosen]
                )
                answers.update(zip(chosen, made, strict=True))
                if told:
                    told.advance(len(chosen))
        return [answers[i] for i in range(len(prompts))]

    def batch(
        self, prompts: Sequence[Sequence[int]], sampling: Sampling, seeds: Sequence[int]
    ) -> list[Generation]:
        """Continue the prompts of one batch; Python touches rows once, at the end."""
        size = (len(prompts), sampling.max_tokens)
        ids, logprobs = torch.full(size, -1), torch.zeros(size, dtype=torch.float64)
        for t, step in enumerate(self.steps(prompts, sampling, seeds)):
            rows = step.rows.cpu()
            ids[rows, t] = step.ids.cpu()
            logprobs[rows, t] = step.logprobs.double().cpu()
        counts = (ids >= 0).sum(1).tolist()
        return [
            self.generation(row[:count], numbers[:count])
            for row, numbers, count in zip(ids.tolist(), logprobs.tolist(), counts, strict=True)
        ]

    def generation(self, ids: list[int], logprobs: list[float]) -> Generation:
        """Make the record of one answer."""
        has_end = bool(ids) and ids[-1] in self.end_ids
        text = text_of(ids[:-1] if has_end else ids, self.tokenizer)
        return Generation(text, tuple(ids), tuple(logprobs), "stop" if has_end else "length")

    @torch.inference_mode()
    def steps(
        self, prompts: Sequence[Sequence[int]], sampling: Sampling, seeds: Sequence[int] = ()
    ) -> Iterator[Step]:
        """Yield the new tokens of one batch, step by step, until every row has ended.

        Prompts of different lengths must all leave room for `max_tokens`; see `batches`.
        """
        limit = min(self.room(prompt, sampling) for prompt in prompts)
        uniforms = None
        if sampling.temperature > 0:
            seeds = seeds or [sampling.seed] * len(prompts)
            uniforms = draw(generators_of(seeds), limit).to(self.model.head.device)
        ends = torch.tensor(self.end_ids, dtype=torch.long, device=self.model.head.device)
        with evaluating(self.model):
            decoding = self.decoding(prompts, limit)
            rows = torch.arange(len(prompts), device=ends.device)
            runs = rows >= 0
            for t in range(limit):
                logits = decoding.logits
                ids = pick(logits, sampling, None if uniforms is None else uniforms[rows, t])
                yield Step(rows[runs], ids[runs], logprobs_of(logits, ids)[runs])
                runs = runs & ~torch.isin(ids, ends)
                left = int(runs.sum())
                if left == 0 or t + 1 == limit:
                    return
                if left <= COMPACT_BELOW * len(rows):
                    kept = runs.nonzero()[:, 0]
                    decoding.select(kept)
                    rows, ids, runs = rows[kept], ids[kept], runs[kept]
                decoding.write(ids)

    def decoding(self, prompts: Sequence[Sequence[int]], limit: int) -> Decoding:
        """Read prompts or sources, ready to write `limit` tokens after each."""
        known = self.tokenizer.vocab_size
        if self.frame is None:
            return Decoding.after_prompts(self.model, prompts, limit, known)
        return Decoding.of_sources(self.model, prompts, self.frame.start, limit, known)

    def batches(self, prompts: Sequence[Sequence[int]], new_tokens: int) -> Iterator[list[int]]:
        """Yield the places of prompts that run together; sources take no room from answers."""
        lengths = [len(prompt) for prompt in prompts]
        new = new_tokens if self.frame is None else 0
        return batches(lengths, new, self.context_length)

    def room(self, prompt: Sequence[int], sampling: Sampling) -> int:
        """Number of tokens that an answer may have: `max_tokens`, or what the context leaves."""
        check_sampling(sampling)
        if not prompt:
            raise ConfigError("The prompt has no tokens; give at least one to continue.")
        if self.frame is not None:
            return self.room_beside(len(prompt), sampling)
        left = self.context_length - len(prompt)
        if left < 1:
            raise CapacityError(
                f"The prompt has {len(prompt)} tokens and the context {self.context_length}, so "
                "none is left for the answer; shorten the prompt or drop its oldest turns."
            )
        return min(sampling.max_tokens, left)

    def room_beside(self, source: int, sampling: Sampling) -> int:
        """Number of tokens of an answer to a source of so many: each side has a whole context."""
        if source > self.context_length:
            raise CapacityError(
                f"The source has {source} tokens and the context {self.context_length}; shorten "
                "or split it."
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
            raise DataError(f"{len(conversations)} conversations have {len(answers)} answers.")
        rows, scored, read = [], [], []
        for conversation, answer in zip(conversations, answers, strict=True):
            whole = self.rendered((*conversation, Message("assistant", answer)))
            start = len(self.prompt(conversation))
            rows.append(whole.ids)
            read.append(start)
            scored.append([i for i in range(start, len(whole.ids)) if whole.mask[i]])
        found: dict[int, list[float]] = {}
        for chosen, hidden in self.hidden(rows, read):
            for row, i in enumerate(chosen):
                places = torch.tensor(scored[i])
                logits = self.model.project(hidden[row, places - 1])
                logits = logits[:, : self.tokenizer.vocab_size]
                answer = torch.tensor(rows[i])[places].to(logits.device)
                found[i] = logprobs_of(logits, answer).tolist()
        return [found[i] for i in range(len(rows))]

    @torch.inference_mode()
    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Mean of the last hidden states over each text's tokens, float32 (texts, width).

        A text longer than the context is cut; an empty one gives zeros.
        """
        rows = [self.tokenizer.encode(text)[: self.context_length] for text in texts]
        vectors = np.zeros((len(texts), self.model.config.width), dtype=np.float32)
        for chosen, hidden in self.hidden(rows, [len(row) for row in rows]):
            for row, i in enumerate(chosen):
                if rows[i]:
                    vectors[i] = hidden[row, : len(rows[i])].mean(0).float().cpu().numpy()
        return vectors

    def hidden(
        self, rows: Sequence[Sequence[int]], read: Sequence[int]
    ) -> Iterator[tuple[list[int], Float[Tensor, "B T D"]]]:
        """Yield each batch's places and hidden states; what is right of a row's end is junk.

        read  tokens at the start of each row that are its prompt
        """
        for chosen in batches([len(row) for row in rows], 0, self.context_length):
            longest = max(len(rows[i]) for i in chosen)
            if longest > self.context_length:
                raise CapacityError(
                    f"A row has {longest} tokens and the context {self.context_length}; shorten it."
                )
            if longest:
                ids = right_padded([rows[i] for i in chosen]).to(self.model.head.device)
                with evaluating(self.model):
                    hidden = self.model(ids, prefix=self.prefix(ids, [read[i] for i in chosen]))
                yield chosen, hidden

    def prefix(self, ids: Int[Tensor, "B T"], read: Sequence[int]) -> Bool[Tensor, "B T"] | None:
        """The tokens of each row's prompt, where the model reads prompts both ways."""
        if not self.model.config.prefix:
            return None
        lengths = torch.tensor(read, device=ids.device)
        return torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]
