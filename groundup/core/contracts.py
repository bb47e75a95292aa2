"""Protocols and records shared by all rooms, so that a room need not import a later one.

Each protocol has one test suite that every implementation must pass (tests/core/contracts).
Records that cross rooms (messages, answers, claims, hits, samples, scores) are defined here too, so
that evaluation, rewards and monitoring use the same types.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, runtime_checkable

from pydantic import Field, field_validator, model_validator

from .config import Config
from .errors import ConfigError

if TYPE_CHECKING:
    import numpy

LINE_BREAKERS = re.compile(r"[\0-\x1f\x7f-\x9f\u2028\u2029]")

Role = Literal["system", "user", "assistant"]


class Message(NamedTuple):
    """One turn of a conversation."""

    role: Role
    content: str


Conversation = tuple[Message, ...]

CONSTRAINTS = ("json_schema", "regex", "choices", "grammar")
"""Settings of sampling that constrain the text of an answer, of which one may be set."""


class Sampling(Config):
    """How tokens are chosen; the order of the operations is in `groundup/generate/sampling.py`."""

    temperature: float = Field(default=0.0, ge=0)
    """Logits are divided by it; 0 takes the most likely token."""
    top_k: int = Field(default=0, ge=0)
    """Keep the k most likely tokens; 0 keeps all."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Keep the smallest set of tokens whose probability sums to at least this value."""
    min_p: float = Field(default=0.0, ge=0, le=1)
    """Keep tokens at least this many times as likely as the most likely one."""
    repetition_penalty: float = Field(default=1.0, ge=1e-3, le=1e3)
    """Divides positive logits of tokens in prompt or answer, and multiplies negative ones."""
    presence_penalty: float = Field(default=0.0, ge=-1e6, le=1e6)
    """Subtracted from the logits of tokens in the answer."""
    frequency_penalty: float = Field(default=0.0, ge=-1e6, le=1e6)
    """Subtracted from the logits of tokens in the answer, once for each time that they occur."""
    logit_bias: dict[int, float] = {}
    """Added to the logits of these tokens, as in {"5": -2.0}; at most a million either way."""
    allowed_tokens: tuple[int, ...] | None = None
    """The only tokens that may be chosen, the ends of an answer included; None: all."""
    banned_tokens: tuple[int, ...] = ()
    """Tokens that are never chosen."""
    min_tokens: int = Field(default=0, ge=0)
    """An answer does not end before it has so many tokens; stop strings begin to count then."""
    max_tokens: int = Field(default=256, ge=1)
    """Maximum number of tokens to generate, including the stop token."""
    stop: tuple[str, ...] = ()
    """Strings that end an answer, which they are no part of; the model's own end always does."""
    stop_tokens: tuple[int, ...] = ()
    """Tokens that end an answer, besides the model's own."""
    json_schema: str = ""
    """JSON schema, as JSON text or as a table, of the JSON that an answer must be."""
    regex: str = ""
    """Regular expression that an answer must match from beginning to end."""
    choices: tuple[str, ...] | None = None
    """Texts of which an answer must be one; None: any text."""
    grammar: str = ""
    """Context-free grammar in Lark's syntax, as llguidance reads it, that an answer must follow."""
    logprobs: int = Field(default=0, ge=0)
    """How many of the most likely tokens are reported beside each chosen one."""
    seed: int = Field(default=0, ge=-(2**63), lt=2**64)
    """Seed of this request's own random stream, independent of the rest of the batch."""

    @model_validator(mode="after")
    def check(self) -> "Sampling":
        """Check that an answer may be long enough, and that stop strings have a character."""
        if self.min_tokens > self.max_tokens:
            least, most = self.min_tokens, self.max_tokens
            raise ConfigError(f"Sampling.min_tokens={least} exceeds max_tokens={most}; lower it.")
        if large := [token for token, value in self.logit_bias.items() if abs(value) > 1e6]:
            raise ConfigError(f"Sampling.logit_bias of {large[0]} exceeds a million; lower it.")
        if "" in self.stop:
            raise ConfigError("Sampling.stop has an empty string; give each at least a character.")
        if self.constraint:
            self._check_constraint()
        return self

    @field_validator("json_schema", mode="before")
    @classmethod
    def parse_schema(cls, value: Any) -> Any:
        """Write a schema that is given as a table, or as true or false, as JSON text."""
        return json.dumps(value) if isinstance(value, dict | bool) else value

    @property
    def constraint(self) -> str:
        """Name of the setting that constrains the text of an answer; empty if none does."""
        return next((name for name in CONSTRAINTS if getattr(self, name) not in ("", None)), "")

    def _check_constraint(self) -> None:
        name = self.constraint
        others = [other for other in CONSTRAINTS if getattr(self, other) not in ("", None)]
        if len(others) > 1:
            raise ConfigError(f"Sampling takes one of {', '.join(others)}; leave the others out.")
        if self.stop or self.min_tokens:
            what = "stop" if self.stop else "min_tokens"
            raise ConfigError(
                f"Sampling.{what} would break an answer of this {name}; leave it out."
            )
        if self.choices is not None and not self.choices:
            raise ConfigError("Sampling.choices has no text; give at least one.")
        if re.search("[\ud800-\udfff]", "".join([*(self.choices or ()), self.regex, self.grammar])):
            raise ConfigError(f"Sampling.{name} has a lone surrogate, which is no text; remove it.")
        try:
            if self.json_schema and not isinstance(json.loads(self.json_schema), dict | bool):
                raise ConfigError("Sampling.json_schema is no JSON object; give a schema.")
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"Sampling.json_schema is not valid JSON: {error}.") from None


FinishReason = Literal["stop", "length"]


class TokenLogprob(NamedTuple):
    """A token and its log-probability under the unmodified distribution, nats."""

    id: int
    logprob: float


@dataclass(frozen=True)
class Generation:
    """What a model generated for one request."""

    text: str
    ids: tuple[int, ...]
    """The generated token ids, including the stop token if there was one."""
    logprobs: tuple[float, ...]
    """Log-probability of each generated id under the unmodified distribution, nats."""
    finish_reason: FinishReason
    alternatives: tuple[tuple[TokenLogprob, ...], ...] = ()
    """The most likely tokens at each place, if they were asked for."""


@runtime_checkable
class LanguageModel(Protocol):
    """A chat model: the local engine, an endpoint, or a test double."""

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

    def embed(self, texts: Sequence[str]) -> "numpy.ndarray":
        """One vector per text, float32 of shape (number of texts, width)."""
        ...


class Reason(NamedTuple):
    """Why a result is undefined: a typed reason instead of NaN."""

    code: str
    """Short and stable, such as `no_reference` or `empty_answer`."""
    message: str


class LoglikelihoodRequest(NamedTuple):
    """A context and the continuation whose log-likelihood is requested."""

    context: str
    continuation: str


class Likelihood(NamedTuple):
    """Log-likelihood of a text under a model."""

    logprob: float
    """Sum over its tokens, nats."""
    is_greedy: bool
    """Whether each token is the most likely one at its position."""
    tokens: int
    """Number of tokens scored."""
    truncated_tokens: int = 0
    """Tokens truncated from the start of a context that was too long."""


class Completion(NamedTuple):
    """The continuation of a raw-text prompt."""

    text: str
    """Ends before the first stop string."""
    finish_reason: FinishReason
    tokens: int
    """Number of tokens generated; 0 if the model does not report it."""
    prompt_tokens: int = 0
    truncated_tokens: int = 0
    """Tokens truncated from the start of a prompt that was too long."""


@runtime_checkable
class TextModel(Protocol):
    """A model as an evaluation harness uses it: raw text in, log-likelihoods or text out.

    Results are yielded as (request index, result) in any order, as soon as each is known, so that
    a caller can persist them; a failed request yields a Reason instead of raising.
    """

    @property
    def name(self) -> str:
        """Display name: a path, or a server's address and model."""
        ...

    @property
    def digest(self) -> str:
        """Changes when the weights do: an artifact's id, a hash of files, a server's address."""
        ...

    @property
    def signature(self) -> str:
        """What else affects scores: `tokenizer:…|dtype:float32|bos:no|context:2048`."""
        ...

    def render(self, conversation: Conversation) -> str:
        """Apply the model's chat template, up to the start of its answer.

        Raises ConfigError if it has none.
        """
        ...

    def loglikelihood(
        self, pairs: Sequence[LoglikelihoodRequest]
    ) -> Iterator[tuple[int, Likelihood | Reason]]:
        """Log-likelihood of each continuation given its context."""
        ...

    def rolling(self, texts: Sequence[str]) -> Iterator[tuple[int, Likelihood | Reason]]:
        """Rolling log-likelihood of full texts, each token scored exactly once."""
        ...

    def complete(
        self, prompts: Sequence[str], sampling: Sampling
    ) -> Iterator[tuple[int, Completion | Reason]]:
        """Continue each prompt."""
        ...


@runtime_checkable
class Tokenizer(Protocol):
    """Text to ids and back; `encode` never produces special tokens."""

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
        """sha256 hex of everything that determines the ids; equal digests give equal ids."""
        ...

    def encode(self, text: str) -> list[int]:
        """Ids of the text; special tokens spelled in it are encoded as ordinary text."""
        ...

    def decode(self, ids: Iterable[int]) -> str:
        """Text of the ids; invalid UTF-8 becomes U+FFFD."""
        ...

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Bytes of the ids, exactly."""
        ...

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Byte range in the text's UTF-8 of each id of `encode(text)`."""
        ...


def shown_path(path: str) -> str:
    r"""A path on one line: control characters and line breaks are escaped.

    >>> shown_path("new\nline.txt")
    'new\\nline.txt'
    """
    return LINE_BREAKERS.sub(lambda match: match[0].encode("unicode_escape").decode(), path)


class Quote(NamedTuple):
    """A slice of a file that supports a claim."""

    path: str
    """Of the file; `#` and a name follow for a message of a mailbox or a file of an archive."""
    start: int
    """First byte in the file, or in the part of it that has the text."""
    end: int
    """One past the last byte in the file."""
    text: str
    """The decoded bytes; for markup, without tags and entities."""
    line: int
    """Line of `start` in the file, 1-based."""
    page: int = 0
    """Page of a PDF, or sheet of an .xlsx, 1-based; 0 for other files."""

    @property
    def location(self) -> str:
        """Where people find it: `pool.md:3`, `book.pdf, page 7`, `plan.xlsx, sheet 2`."""
        path, part = shown_path(self.path), "sheet" if self.path.endswith(".xlsx") else "page"
        return f"{path}, {part} {self.page}" if self.page else f"{path}:{self.line}"


class Claim(NamedTuple):
    """One statement of an answer with its supporting quotes."""

    text: str
    quotes: tuple[Quote, ...]


@dataclass(frozen=True)
class Answer:
    """An answer with its supporting claims, or a refusal."""

    text: str
    refused: bool = False
    claims: tuple[Claim, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)
    """Scores, timings and ids that help to explain the answer."""

    @property
    def exit_code(self) -> int:
        """Of the command line: 0, or 4 for a refusal."""
        return 4 if self.refused else 0


@dataclass(frozen=True)
class Passage:
    """A retrievable chunk of a document's text."""

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
    parent: tuple[int, int] | None = None
    """Start and end of the larger passage that is shown for this one; None: itself."""


class Hit(NamedTuple):
    """A retrieved passage with the retriever's own score (higher is better)."""

    passage: Passage
    score: float


@runtime_checkable
class Retriever(Protocol):
    """An index of passages that returns the best matches for a query."""

    def add(self, passages: Iterable[Passage]) -> None:
        """Add passages, replacing those with the same id."""
        ...

    def delete(self, documents: Iterable[str]) -> None:
        """Remove every passage of these documents."""
        ...

    def search(self, query: str, limit: int = 10) -> list[Hit]:
        """The best passages, best first; ties broken by passage id."""
        ...

    def snapshot(self) -> str:
        """Commit additions and deletions durably; return the snapshot's id."""
        ...


@dataclass(frozen=True)
class Sample:
    """One item of a test set or training set, as a scorer sees it."""

    id: str
    conversation: Conversation
    references: tuple[str, ...] = ()
    """Correct answers; none if the sample should be refused or has no single correct answer."""
    group: str = ""
    """Cluster for the bootstrap: usually the source document."""
    metadata: dict[str, Any] = field(default_factory=dict)


class Score(NamedTuple):
    """A scorer's value for one answer, with the signature of the scorer's settings."""

    value: float
    signature: str


@runtime_checkable
class Scorer(Protocol):
    """Any function that scores an answer: a metric, reward, judge, critic or monitor."""

    def __call__(self, sample: Sample, answer: Answer) -> Score | Reason:
        """Score one answer to one sample."""
        ...


class Judgement(NamedTuple):
    """A person's vote, a model judge's verdict or a rater's label."""

    who: str
    when: str
    """ISO 8601, UTC."""
    subject: str
    """Id of the judged item."""
    form: Literal["label", "rating", "choice", "ranking", "edit"]
    value: str
    reason: str = ""
    shown: tuple[str, ...] = ()
    """For a choice or ranking: the names of the options in the order shown."""
    seconds: float | None = None
    """Time the judge took, if measured."""
