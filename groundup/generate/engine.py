"""The engine: a model and its tokenizer, which continue text and answer conversations.

The prompts of an encoder–decoder are its sources. A prefix LM attends to its prompts
bidirectionally. No HTTP and no terminal here; see talk.py for the verbs, decoding.py and scoring.py
for the batches, beam.py for beam search.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from groundup.adapt import load_adapted
from groundup.core import (
    ArtifactError,
    CapacityError,
    ConfigError,
    Conversation,
    DataError,
    Generation,
    Message,
    Reason,
    Sampling,
    Tokenizer,
    TokenLogprob,
    record,
)
from groundup.kernels import BLOCK_TOKENS
from groundup.model import Bits, Transformer
from groundup.tokenizer import (
    DOCUMENT_END,
    ChatTemplate,
    required_vocab_size,
)

from .batching.answers import DecodedSequence
from .batching.contiguous import ContiguousDecoder
from .batching.engine import BatchEngine, Observer
from .batching.scheduler import SchedulerLimits
from .batching.text import TextStream, decode_text, stop_position
from .cached import (
    CachedTransformer,
    batch_similar_lengths,
    default_batch_tokens,
    eval_mode,
    pad_right,
)
from .decoding import UNBOUNDED, DecodingOptions, begin_decoding, decode_prompts
from .directory import (
    PromptEncoder,
    SourceFrame,
    read_model_text,
)
from .grammar.compiling import compile_grammar
from .sampling import top_logprobs
from .scoring import CHUNK_LOGITS, TokenPair, score_pairs

NOT_FINITE_MESSAGE = (
    "The model's logits are not finite: its weights are damaged or overflow their dtype; train or "
    "import it again, or open it in float32."
)
PROGRESS_FROM = 16
"""Show progress from this many prompts."""


class StreamedToken(NamedTuple):
    """One token of an answer and the text that it completes."""

    text: str
    id: int


class PromptScores(NamedTuple):
    """How likely a prompt is."""

    logprobs: list[float]
    """Of each token after the first, nats."""
    alternatives: list[tuple[TokenLogprob, ...]]
    """The most likely tokens at those places, if they were asked for."""


class Engine(PromptEncoder):
    """A language model on this machine; fulfils `groundup.core.LanguageModel`."""

    def __init__(
        self,
        model: Transformer,
        tokenizer: Tokenizer,
        *,
        end_ids: Sequence[int] | None = None,
        frame: SourceFrame | None = None,
        template: ChatTemplate | None = None,
        bits: Bits | None = None,
    ) -> None:
        """Combine a model and its tokenizer.

        end_ids   tokens that end an answer; default: every special token
        frame     special ids around an encoder–decoder's source; default: the end-of-text token
        template  the model's own chat template; default: groundup's
        bits      of the weights on the native stack; default: the model's

        Raises ArtifactError if the tokenizer does not fit the model, ConfigError for an encoder.
        """
        self.cached = CachedTransformer(model, bits=bits)
        ends = tuple(tokenizer.specials.values()) if end_ids is None else tuple(end_ids)
        if required_vocab_size(tokenizer) > model.config.vocab_size:
            raise ArtifactError(
                f"The tokenizer has {required_vocab_size(tokenizer)} ids and the model "
                f"{model.config.vocab_size}; use the tokenizer that the model was trained with."
            )
        if wrong := [end for end in ends if not 0 <= end < tokenizer.vocab_size]:
            raise ArtifactError(
                f"The end tokens {wrong} are not ids of the tokenizer; use the model's own."
            )
        first, size = () if frame is None else (frame.start, *frame.forced), model.config.vocab_size
        if wrong := [each for each in first if type(each) is not int or not 0 <= each < size]:
            raise ArtifactError(
                f"The decoder begins with the ids {wrong}, which the model lacks; mend "
                "decoder_start_token_id or forced_bos_token_id in its generation_config.json."
            )
        end = tokenizer.specials.get(DOCUMENT_END, ends[0] if ends else 0)
        has_source = model.config.kind == "encoder_decoder"
        source_frame = frame or SourceFrame(end, after=(end,)) if has_source else None
        super().__init__(tokenizer, template, source_frame)
        self.model, self.end_ids = model, ends
        if source_frame is not None:
            self.cached.start, self.cached.forced = source_frame.start, source_frame.forced

    @classmethod
    def open(
        cls, path: Path | str, *, dtype: torch.dtype | None = None, bits: Bits | None = None
    ) -> "Engine":
        """Open a model directory with its tokenizer, or an adapter's with its model.

        Raises ArtifactError if either is missing, damaged or does not fit the other.
        """
        tokenizer, template, ends, frame = read_model_text(Path(path))
        return cls(
            load_adapted(path, dtype), tokenizer, end_ids=ends, frame=frame, bits=bits,
            template=template if isinstance(template, ChatTemplate) else None,
        )  # fmt: skip

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
        self.max_new_tokens(prompt, sampling)
        text = TextStream(self.tokenizer, sampling)
        for token, is_last in self._stream_ids(list(prompt), sampling):
            yield StreamedToken(text.add(token, is_last), token)

    def _stream_ids(self, prompt: list[int], sampling: Sampling) -> Iterator[tuple[int, bool]]:
        """A continuation's tokens as they come, and whether each is the last."""
        options = self._options(sampling)
        [running] = begin_decoding(self.cached, [prompt], options)
        for event in running.events:
            if event.ended is not None:
                self.build_generation(_unwrap(event.ended), sampling)
            yield event.id, event.ended is not None

    def truncate_history(self, conversation: Conversation, reserved_tokens: int) -> Conversation:
        """Drop the oldest turns until the reserved tokens are free for the answer.

        The system message and the last message are kept; CapacityError if these alone do not fit.
        """
        kept = list(conversation)
        first = 1 if kept and kept[0].role == "system" else 0
        while len(self.prompt_ids(tuple(kept))) + reserved_tokens > self.context_length:
            if len(kept) <= first + 1:
                raise CapacityError(
                    f"The last message leaves no {reserved_tokens} tokens of the context of "
                    f"{self.context_length} for the answer; shorten the message."
                )
            del kept[first]
            while len(kept) > first + 1 and kept[first].role == "assistant":
                del kept[first]
        return tuple(kept)

    def continue_ids(
        self, prompts: Sequence[Sequence[int]], sampling: Sampling, seeds: Sequence[int] = (), *,
        shows_progress: bool = True,
    ) -> list[Generation]:  # fmt: skip
        """Continue tokenized prompts; `seeds`, one per prompt, replace `sampling.seed`."""
        if seeds and len(seeds) != len(prompts):
            raise DataError(f"{len(prompts)} prompts need as many seeds; got {len(seeds)}.")
        for prompt in prompts:
            self.max_new_tokens(prompt, sampling)
        answers: dict[int, Generation] = {}
        bar = record.progress("generate", len(prompts), "answers")
        is_long = shows_progress and len(prompts) >= PROGRESS_FROM
        with bar if is_long else nullcontext() as progress:
            rows = [list(prompt) for prompt in prompts]
            for index, answer in decode_prompts(self.cached, rows, self._options(sampling), seeds):
                answers[index] = self.build_generation(_unwrap(answer), sampling)
                if progress:
                    progress.advance(1)
        return [answers[i] for i in range(len(prompts))]

    def best_of(self, prompt: Sequence[int], sampling: Sampling, count: int) -> list[Generation]:
        """Several answers to one prompt, those with the highest mean log-probability first.

        The seeds are `sampling.seed` and those after it. ConfigError for less than one answer, or
        for several at temperature 0, which would be equal.
        """
        if count < 1 or (count > 1 and sampling.temperature == 0):
            what = f"best_of={count} at temperature={sampling.temperature:g}"
            raise ConfigError(f"{what} gives nothing to choose from; raise the lower of both.")
        seeds = [sampling.seed + number for number in range(count)]
        answers = self.continue_ids([prompt] * count, sampling, seeds)
        return sorted(answers, key=lambda each: -sum(each.logprobs) / len(each.logprobs))

    def continue_observed(
        self, prompt: Sequence[int], sampling: Sampling, observe: Observer
    ) -> Generation:
        """Continue one prompt; `observe` is given the logits and the sampler of each token."""
        self.max_new_tokens(prompt, sampling)
        options, row = self._options(sampling), list(prompt)
        [(_, answer)] = decode_prompts(self.cached, [row], options, observe=observe)
        return self.build_generation(_unwrap(answer), sampling)

    def build_generation(
        self, answer: DecodedSequence, sampling: Sampling | None = None
    ) -> Generation:
        """The answer of some ids: its text ends before what ended it.

        Raises DataError if it ended by itself and is not what `sampling` constrains it to.
        """
        sampling, ids = sampling or Sampling(), answer.ids
        has_end = bool(ids) and ids[-1] in {*self.end_ids, *sampling.stop_tokens}
        shown = ids[:-1] if has_end else ids
        text = self.decode_text(shown)
        text = text[: stop_position(shown, sampling, self.decode_text)]
        if answer.finish_reason == "stop" and (
            grammar := compile_grammar(sampling, self.tokenizer, self.end_ids)
        ):
            grammar.validate(ids, text)
        return Generation(
            text, tuple(ids),
            tuple(answer.logprobs), answer.finish_reason, tuple(answer.alternatives),
        )  # fmt: skip

    def decode_text(self, ids: Iterable[int]) -> str:
        """Text of an answer's ids; special tokens have none."""
        return decode_text(ids, self.tokenizer)

    def _options(self, sampling: Sampling) -> DecodingOptions:
        batch_tokens = default_batch_tokens(self.model.head.device)
        return DecodingOptions(
            sampling, self.end_ids, self.tokenizer.vocab_size, batch_tokens,
            self.decode_text,
            grammar=compile_grammar(sampling, self.tokenizer, self.end_ids),
        )  # fmt: skip

    def max_new_tokens(self, prompt: Sequence[int], sampling: Sampling) -> int:
        """Token limit of an answer: `max_tokens`, or what the context leaves.

        Raises CapacityError if it leaves none, ConfigError for an empty prompt or tokens that the
        vocabulary has not. Encoder and decoder have a full context each.
        """
        self._check_tokens(sampling)
        if not prompt:
            raise ConfigError("The prompt has no tokens; give at least one to continue.")
        size, context = len(prompt), self.context_length
        if self.source_frame is not None:
            if size > context:
                raise CapacityError(
                    f"The source has {size} tokens and the context {context}; split it."
                )
            return min(sampling.max_tokens, context)
        if size >= context:
            raise CapacityError(
                f"The prompt has {size} tokens and the context {context}, which leaves none for "
                "the answer; shorten the prompt or drop its oldest turns."
            )
        return min(sampling.max_tokens, context - size)

    def _check_tokens(self, sampling: Sampling) -> None:
        for name in ("logit_bias", "allowed_tokens", "banned_tokens", "stop_tokens"):
            wrong = [
                id for id in getattr(sampling, name) or ()
                if not 0 <= id < self.tokenizer.vocab_size
            ]  # fmt: skip
            if wrong:
                size = self.tokenizer.vocab_size
                raise ConfigError(
                    f"Sampling.{name} has {wrong[:5]}; the vocabulary has {size} ids."
                )

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
        pairs, masks = [], []
        for conversation, answer in zip(conversations, answers, strict=True):
            rendered = self.render_ids((*conversation, Message("assistant", answer)))
            ids, start = rendered.ids, len(self.prompt_ids(conversation))
            if len(ids) > self.context_length:
                raise CapacityError(
                    f"A text of {len(ids)} tokens exceeds the context of {self.context_length}."
                )
            pairs.append(TokenPair(ids[:start], ids[start:]))
            masks.append(rendered.mask[start:])
        batch_tokens = default_batch_tokens(self.model.head.device)
        scores = score_pairs(
            self.cached, pairs, batch_tokens=batch_tokens, vocab_size=self.tokenizer.vocab_size
        )
        values = {score.index: score.token_nats for score in scores}
        if not all(map(math.isfinite, chain.from_iterable(values.values()))):
            raise ArtifactError(NOT_FINITE_MESSAGE)
        return [
            [-nats for nats, is_own in zip(values[i], mask, strict=True) if is_own]
            for i, mask in enumerate(masks)
        ]

    def open_batch(self, cache_tokens: int, max_running: int) -> BatchEngine:
        """A batch for requests that come and go, with a cache of so many tokens.

        On the native stack it is the one that `generate` uses too. Elsewhere prompts are computed
        whole, and each request needs a salt of its own.
        """
        vocab_size = self.tokenizer.vocab_size
        engine = self.cached.native.with_room([cache_tokens], vocab_size)
        if engine is not None:
            return engine
        decoder = ContiguousDecoder(
            self.cached, -(-cache_tokens // BLOCK_TOKENS), vocab_size=vocab_size,
            batch_tokens=default_batch_tokens(self.model.head.device),
        )  # fmt: skip
        limits = SchedulerLimits(UNBOUNDED, max_running)
        return BatchEngine(decoder, vocab_size=vocab_size, limits=limits)

    @torch.inference_mode()
    def score_prompt(self, ids: Sequence[int], top: int) -> PromptScores:
        """Log-probability in nats of every token of a prompt after the first.

        top  how many of the most likely tokens are reported at each place

        Raises ConfigError for an encoder–decoder, and what `max_new_tokens` raises.
        """
        self.max_new_tokens(ids[:-1] or ids, Sampling())
        if self.source_frame is not None:
            raise ConfigError("An encoder_decoder does not score its source; leave out `echo`.")
        rows = torch.tensor([list(ids)], device=self.model.head.device)
        project = self.cached.projection(self.tokenizer.vocab_size, exact=True)
        logprobs, alternatives = list[float](), list[tuple[TokenLogprob, ...]]()
        with eval_mode(self.model):
            hidden = self.cached.forward(rows)[0, :-1]
        size = max(1, CHUNK_LOGITS // self.tokenizer.vocab_size)
        for first in range(0, len(hidden), size):
            exact = project(hidden[first : first + size]).log_softmax(-1)
            targets = rows[0, 1 + first : 1 + first + len(exact), None]
            logprobs += exact.gather(1, targets)[:, 0].tolist()
            alternatives += (top_logprobs(row, top) for row in (exact if top else ()))
        return PromptScores(logprobs, alternatives)

    @torch.inference_mode()
    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Mean of the last hidden states over each text's tokens, float32 (texts, width).

        A text longer than the context is truncated; an empty one gives zeros.
        """
        rows = [self.tokenizer.encode(text)[: self.context_length] for text in texts]
        vectors = np.zeros((len(texts), self.model.config.width), dtype=np.float32)
        order = sorted((i for i, ids in enumerate(rows) if ids), key=lambda i: -len(rows[i]))
        device = self.model.head.device
        budget = default_batch_tokens(device)
        with eval_mode(self.model):
            for indices in batch_similar_lengths(order, lambda i: len(rows[i]), budget):
                ids, lengths = pad_right([rows[i] for i in indices], device)
                state = self.cached.begin(len(indices), ids.shape[1])
                hidden = self.cached.extend(state, ids, lengths)
                for row, i in enumerate(indices):
                    vectors[i] = hidden[row, : len(rows[i])].mean(0).float().cpu().numpy()
        return vectors


def _unwrap(answer: DecodedSequence | Reason) -> DecodedSequence:
    if isinstance(answer, Reason):
        is_damaged = answer.code == "not_finite"
        raise ArtifactError(NOT_FINITE_MESSAGE) if is_damaged else ConfigError(answer.message)
    return answer
