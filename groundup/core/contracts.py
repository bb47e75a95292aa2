"""Contracts between rooms: what a room needs of a later one, it takes as one of these.

Each protocol has one suite of tests that every implementation must pass (tests/core/contracts).
Records that cross rooms (messages, answers, claims, hits, samples, scores) live here too, so that
an evaluation, a reward and a monitor speak of the same thing.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np

from .config import Config

Role = Literal["system", "user", "assistant"]


class Message(NamedTuple):
    """One turn of a conversation."""

    role: Role
    content: str


Conversation = tuple[Message, ...]


class Sampling(Config):
    """How to choose the next token; the order is penalties, temperature, top-k, top-p."""

    temperature: float = 0.0
    """0 is greedy; otherwise logits are divided by it."""
    top_k: int = 0
    """Keep the k most likely tokens; 0 keeps all."""
    top_p: float = 1.0
    """Keep the smallest set of tokens with at least this probability, the crossing one included."""
    max_tokens: int = 256
    """Most tokens to generate, the stop token included."""
    seed: int = 0
    """Seed of this request's own random stream; neighbours in a batch do not move it."""


FinishReason = Literal["stop", "length"]


@dataclass(frozen=True)
class Generation:
    """What a model generated for one request."""

    text: str
    ids: tuple[int, ...]
    """The generated token ids, the stop token included when there was one."""
    logprobs: tuple[float, ...]
    """Log-probability of each generated id under the unmodified distribution, nats."""
    finish_reason: FinishReason


@runtime_checkable
class LanguageModel(Protocol):
    """Anything that continues conversations: the local engine, an endpoint, a test double."""

    def generate(
        self, conversations: Sequence[Conversation], sampling: Sampling
    ) -> list[Generation]:
        """Answer each conversation, in order."""
        ...

    def logprobs(
        self, conversations: Sequence[Conversation], answers: Sequence[str]
    ) -> list[list[float]]:
        """Log-probability in nats of every token of each answer, its stop token included."""
        ...

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """One vector a text, float32 (number of texts, width)."""
        ...


class Reason(NamedTuple):
    """Why there is no number: a typed reason instead of NaN."""

    code: str
    """Short and stable, such as `no_reference` or `empty_answer`."""
    message: str


class Pair(NamedTuple):
    """A text and a continuation of it whose likelihood is asked."""

    context: str
    continuation: str


class Likelihood(NamedTuple):
    """How likely a model finds a text."""

    logprob: float
    """Sum over its tokens, nats."""
    is_greedy: bool
    """Whether each of its tokens is the likeliest one at its place."""
    tokens: int
    """Number of tokens scored."""
    cut: int = 0
    """Tokens left out at the beginning of a context that was too long."""


class Stops(NamedTuple):
    """How to continue a plain text, and what ends it."""

    sampling: Sampling
    until: tuple[str, ...] = ()
    """The text ends before the first of these that it contains; the model's own end always ends."""


class Completion(NamedTuple):
    """A plain text's continuation."""

    text: str
    """Cut before the first of `until`."""
    finish_reason: FinishReason
    tokens: int
    """Number of tokens generated; 0 if the model does not tell."""
    prompt_tokens: int = 0
    cut: int = 0
    """Tokens left out at the beginning of a prompt that was too long."""


@runtime_checkable
class TextModel(Protocol):
    """What a measurement asks of a model: raw text in, likelihoods or text out.

    Answers come as (place of the request, answer) in any order, each as soon as it is known, so
    that a caller can write it down; what fails is a Reason at its place, never an exception that
    loses the others.
    """

    @property
    def name(self) -> str:
        """What people call it: a path, or a server's address and model."""
        ...

    @property
    def digest(self) -> str:
        """Changes when the weights do: an artifact's id, a hash of files, a server's address."""
        ...

    @property
    def signature(self) -> str:
        """What else moves a score: `tokenizer:…|dtype:float32|bos:no|context:2048`."""
        ...

    def render(self, conversation: Conversation) -> str:
        """The conversation in the model's own chat format, up to where its answer begins.

        Raises ConfigError if it has none.
        """
        ...

    def loglikelihood(self, pairs: Sequence[Pair]) -> Iterator[tuple[int, Likelihood | Reason]]:
        """Likelihood of each continuation after its context."""
        ...

    def rolling(self, texts: Sequence[str]) -> Iterator[tuple[int, Likelihood | Reason]]:
        """Likelihood of whole texts, each token scored exactly once."""
        ...

    def complete(
        self, prompts: Sequence[str], stops: Stops
    ) -> Iterator[tuple[int, Completion | Reason]]:
        """Continue each prompt."""
        ...


@runtime_checkable
class Tokenizer(Protocol):
    """Text to ids and back; special tokens never arise from text."""

    @property
    def vocab_size(self) -> int:
        """Number of ids, special tokens included."""
        ...

    @property
    def specials(self) -> dict[str, int]:
        """Special token text to id."""
        ...

    @property
    def digest(self) -> str:
        """sha256 hex of everything that decides the ids; equal digests give equal ids."""
        ...

    def encode(self, text: str) -> list[int]:
        """Ids of the text, special tokens spelt in it taken as plain text."""
        ...

    def decode(self, ids: Iterable[int]) -> str:
        """Text of the ids; bytes that are not UTF-8 become U+FFFD."""
        ...

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Bytes of the ids, exactly."""
        ...

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Byte range in the text's UTF-8 of each id of `encode(text)`."""
        ...


class Quote(NamedTuple):
    """A slice of a file that supports a claim."""

    path: str
    start: int
    """First byte in the file."""
    end: int
    """One past the last byte in the file."""
    text: str
    """The quoted text: the bytes decoded, or their untagged, unescaped text for markup."""
    line: int
    """Line of `start` in the file, counted from 1."""


class Claim(NamedTuple):
    """One statement of an answer with the quotes that prove it."""

    text: str
    quotes: tuple[Quote, ...]


@dataclass(frozen=True)
class Answer:
    """An answer with its proof, or a refusal."""

    text: str
    refused: bool = False
    claims: tuple[Claim, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)
    """Scores, timings and ids that help to explain the answer."""


@dataclass(frozen=True)
class Passage:
    """A slice of a document's text, with its place in the original file."""

    id: str
    document: str
    """Id of the document."""
    path: str
    start: int
    """First character in the document's text."""
    end: int
    """One past the last character in the document's text."""
    text: str
    headings: tuple[str, ...] = ()
    """Titles above the passage, outermost first."""


class Hit(NamedTuple):
    """A passage found, with the retriever's own score (higher is better)."""

    passage: Passage
    score: float


@runtime_checkable
class Retriever(Protocol):
    """A store of passages that finds the ones nearest to a query."""

    def add(self, passages: Iterable[Passage]) -> None:
        """Add passages; one whose id is there already replaces it."""
        ...

    def delete(self, documents: Iterable[str]) -> None:
        """Remove every passage of these documents."""
        ...

    def search(self, query: str, limit: int = 10) -> list[Hit]:
        """The best passages, best first; ties broken by passage id."""
        ...

    def snapshot(self) -> str:
        """Make what was added and deleted durable and visible; return the snapshot's id."""
        ...


@dataclass(frozen=True)
class Sample:
    """One item of a test set or training set, as a scorer sees it."""

    id: str
    conversation: Conversation
    references: tuple[str, ...] = ()
    """Right answers; none when the sample should be refused or has no single truth."""
    group: str = ""
    """What is resampled together in a bootstrap: usually the document it came from."""
    metadata: dict[str, Any] = field(default_factory=dict)


class Score(NamedTuple):
    """A scorer's number for one answer, with the signature that says how it was made."""

    value: float
    signature: str


@runtime_checkable
class Scorer(Protocol):
    """Metrics, rewards, judges, critics and monitors alike."""

    def __call__(self, sample: Sample, answer: Answer) -> Score | Reason:
        """Score one answer to one sample."""
        ...


class Judgement(NamedTuple):
    """A person's vote, a judge's verdict or a rater's label: one record for all."""

    who: str
    when: str
    """ISO 8601, UTC."""
    subject: str
    """Id of what was judged."""
    form: Literal["label", "rating", "choice", "edit"]
    value: str
    reason: str = ""
    shown: tuple[str, ...] = ()
    """For a choice: the names of what was shown, in the order in which it was shown."""
    seconds: float | None = None
    """How long the judge took, where it was measured."""


class Stored(NamedTuple):
    """A row of a store: its place in the order of writing and its content."""

    sequence: int
    content: dict[str, Any]


@runtime_checkable
class Store(Protocol):
    """An append-only table of JSON records by topic: SQLite, or PostgreSQL where it is outgrown."""

    def append(self, topic: str, content: dict[str, Any]) -> int:
        """Write one record durably; return its sequence number."""
        ...

    def read(self, topic: str, after: int = 0) -> Iterator[Stored]:
        """Yield the topic's records with a higher sequence number, in order."""
        ...
