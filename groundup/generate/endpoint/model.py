"""Any OpenAI-compatible server as `LanguageModel` and `TextModel`.

    chats, and plain prompts as a user message       POST chat/completions
    raw prompts (`api=completions`)                  POST completions
    likelihoods                                      POST completions with echo and logprobs
    log-probabilities of given answers               POST chat/completions, prompt_logprobs (vLLM)
    embeddings                                       POST embeddings
    does the server have the model?                  GET models

What a server cannot do is logged once and is a Reason for each sample; most chat services, for
example, give no likelihoods.
"""

import difflib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
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
    LoglikelihoodRequest,
    Message,
    Reason,
    Sampling,
    digest,
    record,
)

from ..batching.text import find_stop
from .errors import EndpointError
from .responses import (
    PromptLogprobs,
    estimate_usage,
    parse_completion,
    parse_embeddings,
    parse_generation,
    parse_likelihood,
    parse_prompt_logprobs,
)
from .server import EndpointCall, EndpointClient, EndpointCost
from .settings import EndpointConfig

T = TypeVar("T")


class Endpoint:
    """A model on a server."""

    def __init__(self, config: EndpointConfig) -> None:
        """Check the configuration; nothing is sent yet (see `open`).

        Raises ConfigError if the address or the key cannot be used.
        """
        self.config, self.server = config, EndpointClient(config)
        self.lacks_logprobs: Reason | None = None
        self.returns_logprobs, self.has_scored = True, False

    @classmethod
    def open(cls, config: EndpointConfig) -> "Endpoint":
        """Ask the server whether it has the model.

        Raises ConfigError naming the most similar model it has, EndpointError if it does not answer
        or rejects the key. A server that does not list its models is assumed to have this one.
        """
        endpoint = cls(config)
        call = EndpointCall(
            "models", {}, lambda body: body.get("data"), missing_route_code="no_list"
        )
        ((_, rows),) = endpoint.server.send([(0, call)])
        if isinstance(rows, Reason):
            if rows.code in ("no_list", "refused", "bad_answer"):
                return endpoint
            raise EndpointError(rows.message)
        names = [row.get("id") for row in rows or () if isinstance(row, dict)]
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
        """Hash of address and model name; the weights behind a name may change."""
        return digest(["endpoint", self.config.url.rstrip("/"), self.config.model])

    @property
    def signature(self) -> str:
        """What else affects a score: the route, the prefix, further fields of the body."""
        config = self.config
        prefix = f"prefix:{json.dumps(config.prefix)}"
        parts = ["endpoint", f"api:{config.api}", "likelihood:echo", prefix]
        if config.extra or config.omit:
            parts.append(f"body:{digest([config.extra, sorted(config.omit)])[:8]}")
        return "|".join(parts)

    @property
    def cost(self) -> EndpointCost:
        """Requests answered so far, with their tokens and price."""
        return self.server.spending.cost

    def render(self, conversation: Conversation) -> str:
        """The conversation's messages as JSON, a prompt that `complete` sends as a chat.

        The server applies its own template; ConfigError for `api=completions`, which applies none.
        """
        if self.config.api != "chat":
            raise ConfigError(
                f"{self.name} completes raw text (api=completions); use api=chat for a chat format."
            )
        if not conversation:
            raise ConfigError("The conversation is empty; give at least one user message.")
        return _messages_to_json([message._asdict() for message in conversation])

    def complete(
        self, prompts: Sequence[str], sampling: Sampling
    ) -> Iterator[tuple[int, Completion | Reason]]:
        """Continue each prompt, or answer it (`api=chat`)."""
        calls = ((i, self.completion_call(prompt, sampling)) for i, prompt in enumerate(prompts))
        yield from self.server.send(calls)

    def completion_call(self, prompt: str, sampling: Sampling) -> EndpointCall[Completion] | Reason:
        """The request that continues a prompt."""
        read = partial(parse_completion, until=sampling.stop)
        is_chat = self.config.api == "chat" and prompt
        body = {"messages": _messages_from_prompt(prompt)} if is_chat else {"prompt": prompt}
        return self.generation_call(body, read, prompt, sampling)

    def loglikelihood(
        self, pairs: Sequence[LoglikelihoodRequest]
    ) -> Iterator[tuple[int, Likelihood | Reason]]:
        """Likelihood of each continuation; a token across the boundary counts towards it.

        A server that gives none is not asked again, which is logged once.
        """
        calls = ((i, self.likelihood_call(pair)) for i, pair in enumerate(pairs))
        for index, answer in self.server.send(calls):
            if isinstance(answer, Likelihood):
                self.has_scored = True
            elif _is_missing_logprobs(answer) and not self.has_scored and not self.lacks_logprobs:
                self.lacks_logprobs = answer
                record.log(f"No likelihoods from this server, each is undefined: {answer.message}")
            yield index, answer

    def rolling(self, texts: Sequence[str]) -> Iterator[tuple[int, Likelihood | Reason]]:
        """Likelihood of complete texts, each in one request; they must fit the server's context."""
        yield from self.loglikelihood([LoglikelihoodRequest("", text) for text in texts])

    def likelihood_call(self, pair: LoglikelihoodRequest) -> EndpointCall[Likelihood] | Reason:
        """The request that scores a pair."""
        if self.lacks_logprobs:
            return self.lacks_logprobs
        prompt = (pair.context or self.config.prefix) + pair.continuation
        if wrong := _reason_unsendable(prompt, "prompt") or _reason_unsendable(
            pair.continuation, "continuation"
        ):
            return wrong
        body = {"prompt": prompt, "max_tokens": 1, "temperature": 0, "logprobs": 1, "echo": True}
        read = partial(parse_likelihood, prompt=prompt, continuation=pair.continuation)
        usage = estimate_usage(prompt, 1)
        return EndpointCall("completions", self.body(body), read, usage, "no_logprobs")

    def generate(
        self, conversations: Sequence[Conversation], sampling: Sampling
    ) -> list[Generation]:
        """Answer each conversation, in order.

        Ids that the server does not return are -1, and log-probabilities are then empty. Raises
        EndpointError naming the first conversation without an answer.
        """
        answers: dict[int, Generation | Reason] = {}
        pending = list(range(len(conversations)))
        for _ in range(2):  # again without log-probabilities where the server refuses them
            body = {"logprobs": True} if self.returns_logprobs else {}
            calls = [
                (i, self.chat_call(conversations[i], body, parse_generation, sampling))
                for i in pending
            ]
            answers |= dict(self.server.send(calls))
            pending = [i for i in pending if _is_missing_logprobs(answers[i])]
            if not pending or not self.returns_logprobs:
                break
            self.returns_logprobs = False
        return [
            _end_at_stop(self.unwrap(i, answers[i]), sampling) for i in range(len(conversations))
        ]

    def chat_call(
        self, conversation: Conversation, body: dict[str, Any],
        read: Callable[[dict[str, Any]], T], sampling: Sampling,
    ) -> EndpointCall[T] | Reason:  # fmt: skip
        """A request with the messages of a conversation."""
        messages = [message._asdict() for message in conversation]
        text = "\n".join(message.content for message in conversation)
        return self.generation_call({"messages": messages, **body}, read, text, sampling)

    def logprobs(
        self, conversations: Sequence[Conversation], answers: Sequence[str]
    ) -> list[list[float]]:
        """Log-probability in nats of every token of each answer, its end-of-turn tokens included.

        Raises EndpointError if the server does not score conversations; vLLM does.
        """
        if len(conversations) != len(answers):
            raise DataError(
                f"{len(conversations)} conversations need as many answers; got {len(answers)}."
            )
        calls, sampling = [], Sampling(max_tokens=1)
        for conversation, answer in zip(conversations, answers, strict=True):
            answered = (*conversation, Message("assistant", answer))
            for messages, is_prompt in ((conversation, True), (answered, False)):
                body = {"prompt_logprobs": 0, "add_generation_prompt": is_prompt, "stream": False}
                calls.append(self.chat_call(messages, body, parse_prompt_logprobs, sampling))
        responses = dict(self.server.send(enumerate(calls)))
        scored = [self.unwrap(i // 2, responses[i]) for i in range(len(calls))]
        return [self.answer_logprobs(i, *scored[2 * i : 2 * i + 2]) for i in range(len(answers))]

    def answer_logprobs(
        self, index: int, prompt: PromptLogprobs, answered: PromptLogprobs
    ) -> list[float]:
        """The log-probabilities that the answer adds to the conversation before it."""
        start = len(prompt.ids)
        values = answered.logprobs[start:]
        if answered.ids[:start] != prompt.ids or not values:
            raise EndpointError(
                f"{self.name}, conversation {index}: the server renders it differently once it is "
                "answered, so the answer's tokens are not known."
            )
        return [value for value in values if value is not None]

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """One vector per text, float32 (texts, width); EndpointError if the server gives none."""
        size = self.config.embed_batch
        groups = [texts[i : i + size] for i in range(0, len(texts), size)]
        calls = [(i, self.embedding_call(group)) for i, group in enumerate(groups)]
        responses = dict(self.server.send(calls))
        vectors = [self.unwrap(i * size, responses[i]) for i in range(len(groups))]
        return np.concatenate(vectors) if vectors else np.zeros((0, 0), dtype=np.float32)

    def embedding_call(self, texts: Sequence[str]) -> EndpointCall[np.ndarray] | Reason:
        """The request for the vectors of some texts."""
        whole = "\n".join(texts)
        if wrong := _reason_unsendable(whole or " ", "prompt"):
            return wrong
        body = self.body({"input": list(texts), "encoding_format": "float"})
        read = partial(parse_embeddings, count=len(texts))
        return EndpointCall("embeddings", body, read, estimate_usage(whole, 0))

    def generation_call(
        self,
        body: dict[str, Any],
        read: Callable[[dict[str, Any]], T],
        prompt: str,
        sampling: Sampling,
    ) -> EndpointCall[T] | Reason:
        """A generation request with its sampling and stop strings."""
        if wrong := _reason_unsendable(prompt, "prompt"):
            return wrong
        config, is_chat = self.config, "messages" in body
        limit = config.max_tokens_key if is_chat else "max_tokens"
        fields: dict[str, Any] = {limit: sampling.max_tokens, "temperature": sampling.temperature}
        fields |= {"seed": sampling.seed, **_changed_fields(sampling)}
        if stop := sampling.stop[: config.max_stops]:
            fields["stop"] = list(stop)
        if config.stream and "stream" not in body:
            fields |= {"stream": True, "stream_options": {"include_usage": True}}
        route = "chat/completions" if is_chat else "completions"
        return EndpointCall(
            route, self.body(fields | body), read, estimate_usage(prompt, sampling.max_tokens)
        )

    def body(self, fields: dict[str, Any]) -> dict[str, Any]:
        """A body with the model's name and the configured fields."""
        values = {"model": self.config.model, **fields, **self.config.extra}
        return {name: value for name, value in values.items() if name not in self.config.omit}

    def unwrap(self, index: int, answer: T | Reason) -> T:
        """The answer; EndpointError if there is none."""
        if isinstance(answer, Reason):
            raise EndpointError(f"Request {index} of {self.config.model}: {answer.message}")
        return answer


def _is_missing_logprobs(answer: Any) -> bool:
    return isinstance(answer, Reason) and answer.code == "no_logprobs"


def _reason_unsendable(text: str, what: str) -> Reason | None:
    if not text:
        return Reason(f"empty_{what}", f"The {what} is empty; give at least one character.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return Reason("not_text", f"The {what} has a lone surrogate at {error.start}.")
    return None


def _messages_to_json(messages: list[dict[str, str]]) -> str:
    return json.dumps({"messages": messages}, ensure_ascii=False)


def _messages_from_prompt(prompt: str) -> list[dict[str, str]]:
    """The messages of a rendered conversation; any other text becomes one user message.

    >>> _messages_from_prompt(_messages_to_json([{"role": "system", "content": "Be brief."}]))
    [{'role': 'system', 'content': 'Be brief.'}]
    >>> _messages_from_prompt("Why?")
    [{'role': 'user', 'content': 'Why?'}]
    """
    user_message = [{"role": "user", "content": prompt}]
    if not prompt.startswith('{"messages": [{"role": '):
        return user_message
    try:
        messages = json.loads(prompt)["messages"]
        roles = {message["role"] for message in messages}
    except (ValueError, KeyError, TypeError, RecursionError):
        return user_message
    valid_roles = set(get_args(Message.__annotations__["role"]))
    return (
        messages if roles <= valid_roles and _messages_to_json(messages) == prompt else user_message
    )


SERVER_FIELDS = {
    "top_p": "top_p", "top_k": "top_k", "min_p": "min_p", "min_tokens": "min_tokens",
    "repetition_penalty": "repetition_penalty", "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty", "allowed_tokens": "allowed_token_ids",
    "stop_tokens": "stop_token_ids",
}  # fmt: skip
"""Settings and what servers call them: OpenAI's API, and vLLM's additions to it."""


def _changed_fields(sampling: Sampling) -> dict[str, Any]:
    """The settings that differ from their defaults; a server may know no more than OpenAI's."""
    values, default = sampling.to_dict(), Sampling().to_dict()
    fields = {
        field: values[name]
        for name, field in SERVER_FIELDS.items()
        if values[name] != default[name]
    }
    bias = dict.fromkeys(map(str, sampling.banned_tokens), -100.0)
    if bias := {str(token): value for token, value in sampling.logit_bias.items()} | bias:
        fields["logit_bias"] = bias
    return fields | _constraint_fields(sampling)


def _constraint_fields(sampling: Sampling) -> dict[str, Any]:
    """The grammar of an answer: OpenAI's field for a JSON schema, vLLM's for the others.

    >>> _constraint_fields(Sampling(choices=("yes", "no")))
    {'structured_outputs': {'choice': ['yes', 'no']}}
    """
    name = sampling.constraint
    if not name:
        return {}
    if name == "json_schema":
        schema = {"name": "answer", "strict": True, "schema": json.loads(sampling.json_schema)}
        return {"response_format": {"type": "json_schema", "json_schema": schema}}
    field = "choice" if name == "choices" else name
    return {"structured_outputs": {field: sampling.to_dict()[name]}}


def _end_at_stop(generation: Generation, sampling: Sampling) -> Generation:
    """An answer without its stop string: a server may be sent fewer of them than there are."""
    at = find_stop(generation.text, sampling.stop)
    return generation if at is None else replace(generation, text=generation.text[:at])
