"""Any OpenAI-compatible server as `LanguageModel` and `TextModel`.

    chats, and plain prompts as a user's message     POST chat/completions
    plain prompts raw (`api=completions`)            POST completions
    likelihoods                                      POST completions with echo and logprobs
    log-probabilities of given answers               POST chat/completions, prompt_logprobs (vLLM)
    vectors                                          POST embeddings
    is the model there?                              GET models

What a server cannot do is told once and is a Reason for each sample: a chat service scores nothing.
"""

import difflib
import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar, get_args

import numpy as np

from groundup.core import (
    Completion,
    ConfigError,
    Conversation,
    DataError,
    Generation,
    Likelihood,
    Message,
    Pair,
    Reason,
    Sampling,
    Stops,
    digest,
    record,
)

from ..sampling import check_sampling
from .answers import Scored, completion, generation, likelihood, prompt_logprobs, vectors
from .server import Call, Server
from .settings import EndpointConfig
from .spending import Cost, guess
from .trouble import EndpointError

T = TypeVar("T")


class Endpoint:
    """A model on a server."""

    def __init__(self, config: EndpointConfig) -> None:
        """Take a configuration; nothing is sent yet (see `open`).

        Raises ConfigError if the address or the key cannot be used.
        """
        self.config, self.server = config, Server(config)
        self.lacks_logprobs: Reason | None = None
        self.tells_tokens, self.has_scored = True, False

    @classmethod
    def open(cls, config: EndpointConfig) -> "Endpoint":
        """Ask the server whether it has the model.

        Raises ConfigError naming the nearest model it has, EndpointError if it does not answer or
        does not take the key. A server that refuses to list its models, or answers with something
        else, is taken at its word.
        """
        endpoint = cls(config)
        call = Call("models", {}, lambda body: body.get("data"), absent="no_list")
        ((_, found),) = endpoint.server.ask([(0, call)])
        if isinstance(found, Reason):
            if found.code in ("no_list", "refused", "bad_answer"):
                return endpoint
            raise EndpointError(found.message)
        names = [row.get("id") for row in found or () if isinstance(row, dict)]
        names = [name for name in names if isinstance(name, str)]
        if names and config.model not in names:
            near = difflib.get_close_matches(config.model, names, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(names[:10])}."
            raise ConfigError(f"{config.url} has no model {config.model!r}; {hint}")
        return endpoint

    @property
    def name(self) -> str:
        """The server's address and the model's name there."""
        return f"{self.config.url} {self.config.model}"

    @property
    def digest(self) -> str:
        """Hash of address and model; what a server calls by one name may change behind it."""
        return digest(["endpoint", self.config.url.rstrip("/"), self.config.model])

    @property
    def signature(self) -> str:
        """What else moves a score: the route, the prefix, further fields of the body."""
        config = self.config
        prefix = f"prefix:{json.dumps(config.prefix)}"
        parts = ["endpoint", f"api:{config.api}", "likelihood:echo", prefix]
        if config.extra or config.omit:
            parts.append(f"body:{digest([config.extra, sorted(config.omit)])[:8]}")
        return "|".join(parts)

    @property
    def cost(self) -> Cost:
        """Requests answered, their tokens and their price so far."""
        return self.server.spending.cost

    def render(self, conversation: Conversation) -> str:
        """The conversation as the text that `complete` takes for it: its messages as JSON.

        The server applies its own template. Raises ConfigError for `api=completions`, where nobody
        would.
        """
        if self.config.api != "chat":
            raise ConfigError(
                f"{self.name} completes raw text (api=completions), which has no chat format; "
                "use api=chat."
            )
        if not conversation:
            raise ConfigError("The conversation is empty; give at least one user message.")
        return rendered([message._asdict() for message in conversation])

    def complete(
        self, prompts: Sequence[str], stops: Stops
    ) -> Iterator[tuple[int, Completion | Reason]]:
        """Continue each prompt, or answer it (`api=chat`)."""
        check_sampling(stops.sampling)
        calls = ((i, self.completing(prompt, stops)) for i, prompt in enumerate(prompts))
        yield from self.server.ask(calls)

    def completing(self, prompt: str, stops: Stops) -> Call[Completion] | Reason:
        """The request that continues a prompt."""
        read = partial(completion, until=stops.until)
        is_chat = self.config.api == "chat" and prompt
        body = {"messages": messages_of(prompt)} if is_chat else {"prompt": prompt}
        return self.call(body, read, prompt, stops)

    def loglikelihood(self, pairs: Sequence[Pair]) -> Iterator[tuple[int, Likelihood | Reason]]:
        """Likelihood of each continuation; a token across the border counts to it.

        A server that gives none is asked no more, and that is told once.
        """
        calls = ((i, self.scoring(pair)) for i, pair in enumerate(pairs))
        for place, found in self.server.ask(calls):
            if isinstance(found, Likelihood):
                self.has_scored = True
            elif is_lack(found) and not self.has_scored and not self.lacks_logprobs:
                self.lacks_logprobs = found
                record.say(f"No likelihoods from this server, each is undefined: {found.message}")
            yield place, found

    def rolling(self, texts: Sequence[str]) -> Iterator[tuple[int, Likelihood | Reason]]:
        """Likelihood of whole texts, each in one request: longer ones than the context are not."""
        yield from self.loglikelihood([Pair("", text) for text in texts])

    def scoring(self, pair: Pair) -> Call[Likelihood] | Reason:
        """The request that scores a pair."""
        if self.lacks_logprobs:
            return self.lacks_logprobs
        prompt = (pair.context or self.config.prefix) + pair.continuation
        if wrong := unsendable(prompt, "prompt") or unsendable(pair.continuation, "continuation"):
            return wrong
        body = {"prompt": prompt, "max_tokens": 1, "temperature": 0, "logprobs": 1, "echo": True}
        read = partial(likelihood, prompt=prompt, continuation=pair.continuation)
        return Call("completions", self.body(body), read, guess(prompt, 1), absent="no_logprobs")

    def generate(
        self, conversations: Sequence[Conversation], sampling: Sampling
    ) -> list[Generation]:
        """Answer each conversation, in order.

        Ids that the server does not tell are -1, log-probabilities are then none. Raises
        EndpointError naming the first conversation that got no answer.
        """
        check_sampling(sampling)
        found: dict[int, Generation | Reason] = {}
        wanted = list(range(len(conversations)))
        for _ in range(2):  # again without log-probabilities where the server refuses them
            body, stops = {"logprobs": True} if self.tells_tokens else {}, Stops(sampling)
            calls = [(i, self.talking(conversations[i], body, generation, stops)) for i in wanted]
            found |= dict(self.server.ask(calls))
            wanted = [i for i in wanted if is_lack(found[i])]
            if not wanted or not self.tells_tokens:
                break
            self.tells_tokens = False
        return [self.or_raise(i, found[i]) for i in range(len(conversations))]

    def talking(
        self, conversation: Conversation, body: dict[str, Any],
        read: Callable[[dict[str, Any]], T], stops: Stops,
    ) -> Call[T] | Reason:  # fmt: skip
        """A request with the messages of a conversation."""
        messages = [message._asdict() for message in conversation]
        text = "\n".join(message.content for message in conversation)
        return self.call({"messages": messages, **body}, read, text, stops)

    def logprobs(
        self, conversations: Sequence[Conversation], answers: Sequence[str]
    ) -> list[list[float]]:
        """Log-probability in nats of every token of each answer, what ends its turn included.

        Raises EndpointError if the server does not score conversations; vLLM does.
        """
        if len(conversations) != len(answers):
            raise DataError(f"{len(conversations)} conversations have {len(answers)} answers.")
        calls = []
        for conversation, answer in zip(conversations, answers, strict=True):
            whole = (*conversation, Message("assistant", answer))
            calls += [self.looking(conversation, True), self.looking(whole, False)]
        found = dict(self.server.ask(enumerate(calls)))
        scored = [self.or_raise(i // 2, found[i]) for i in range(len(calls))]
        return [self.rest(i, *scored[2 * i : 2 * i + 2]) for i in range(len(answers))]

    def looking(self, conversation: Conversation, asks: bool) -> Call[Scored] | Reason:
        """The request that scores a conversation's own tokens; `asks` for the next turn, or not."""
        body = {"prompt_logprobs": 0, "add_generation_prompt": asks, "stream": False}
        return self.talking(conversation, body, prompt_logprobs, Stops(Sampling(max_tokens=1)))

    def rest(self, place: int, asked: Scored, whole: Scored) -> list[float]:
        """What the answer adds to the conversation before it."""
        start = len(asked.ids)
        values = whole.logprobs[start:]
        if whole.ids[:start] != asked.ids or not values:
            raise EndpointError(
                f"{self.name}, conversation {place}: the server's template renders a conversation "
                "differently once it is answered, so its answer's tokens cannot be told apart."
            )
        return [value for value in values if value is not None]

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """One vector a text, float32 (texts, width); EndpointError if the server makes none."""
        size = self.config.embed_batch
        groups = [texts[i : i + size] for i in range(0, len(texts), size)]
        calls = [(i, self.embedding(group)) for i, group in enumerate(groups)]
        found = dict(self.server.ask(calls))
        made = [self.or_raise(i * size, found[i]) for i in range(len(groups))]
        return np.concatenate(made) if made else np.zeros((0, 0), dtype=np.float32)

    def embedding(self, texts: Sequence[str]) -> Call[np.ndarray] | Reason:
        """The request for the vectors of some texts."""
        whole = "\n".join(texts)
        if wrong := unsendable(whole or " ", "prompt"):
            return wrong
        body = self.body({"input": list(texts), "encoding_format": "float"})
        return Call("embeddings", body, partial(vectors, count=len(texts)), guess(whole, 0))

    def call(
        self, body: dict[str, Any], read: Callable[[dict[str, Any]], T], prompt: str, stops: Stops
    ) -> Call[T] | Reason:  # fmt: skip
        """A request of some prompt or messages with its sampling and stops."""
        if wrong := unsendable(prompt, "prompt"):
            return wrong
        sampling, config, is_chat = stops.sampling, self.config, "messages" in body
        limit = config.max_tokens_key if is_chat else "max_tokens"
        fields: dict[str, Any] = {limit: sampling.max_tokens, "temperature": sampling.temperature}
        fields["seed"] = sampling.seed
        if sampling.top_p < 1:
            fields["top_p"] = sampling.top_p
        if sampling.top_k > 0:
            fields["top_k"] = sampling.top_k
        if until := [stop for stop in stops.until if stop][: config.max_stops]:
            fields["stop"] = until
        if config.stream and "stream" not in body:
            fields |= {"stream": True, "stream_options": {"include_usage": True}}
        route = "chat/completions" if is_chat else "completions"
        return Call(route, self.body(fields | body), read, guess(prompt, sampling.max_tokens))

    def body(self, fields: dict[str, Any]) -> dict[str, Any]:
        """A body with the model's name and the configured fields."""
        whole = {"model": self.config.model, **fields, **self.config.extra}
        return {name: value for name, value in whole.items() if name not in self.config.omit}

    def or_raise(self, place: int, found: T | Reason) -> T:
        """The answer; EndpointError if there is none."""
        if isinstance(found, Reason):
            raise EndpointError(f"Request {place} of {self.config.model}: {found.message}")
        return found


def is_lack(found: Any) -> bool:
    """Whether a server refused to tell log-probabilities."""
    return isinstance(found, Reason) and found.code == "no_logprobs"


def unsendable(text: str, what: str) -> Reason | None:
    """Why a text cannot be sent; None if it can."""
    if not text:
        return Reason(f"empty_{what}", f"The {what} is empty; give at least one character.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return Reason("not_text", f"The {what} is no text: half a character at {error.start}.")
    return None


def rendered(messages: list[dict[str, str]]) -> str:
    """Messages as text, always the same way."""
    return json.dumps({"messages": messages}, ensure_ascii=False)


def messages_of(prompt: str) -> list[dict[str, str]]:
    """The messages of a rendered conversation; any other text is one message of the user.

    >>> messages_of(rendered([{"role": "system", "content": "Be brief."}]))
    [{'role': 'system', 'content': 'Be brief.'}]
    >>> messages_of("Why?")
    [{'role': 'user', 'content': 'Why?'}]
    """
    alone = [{"role": "user", "content": prompt}]
    if not prompt.startswith('{"messages": [{"role": '):
        return alone
    try:
        messages = json.loads(prompt)["messages"]
        roles = {message["role"] for message in messages}
    except (ValueError, KeyError, TypeError, RecursionError):
        return alone
    known = set(get_args(Message.__annotations__["role"]))
    return messages if roles <= known and rendered(messages) == prompt else alone
