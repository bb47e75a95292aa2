"""From a request's settings to tokens: what chat, completions and responses have in common.

    Exchange  one request while it is answered: prompts, chosen ids, times; receipts keep it
    Served    what answers: it encodes prompts, begins an exchange and streams its text

What a client does not say is what the model's generation_config.json says, else OpenAI's default.
"""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from groundup.core import ConfigError, Sampling
from groundup.generate import PromptEncoder, TextStream

from ..engine.process import ChosenToken, EngineProcess, Engines
from ..metrics import Meter
from ..receipts import Receipts
from .errors import ApiError
from .kept import KeptResponses
from .schemas import SamplingFields

LONG_CHARACTERS = 20_000
"""Of texts that take milliseconds to encode."""
SETTINGS = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")
"""What a model's generation_config.json may say."""
LEAST_TOP_P = 1e-9
NAMED_ALIKE = (*SETTINGS, "presence_penalty", "frequency_penalty", "min_tokens")
"""Settings of a request that are ours as they are."""


@dataclass
class Exchange:
    """One request while it is answered."""

    kind: str
    """Begins its id: chatcmpl, cmpl or resp."""
    prompts: list[list[int]]
    sampling: Sampling
    seeds: list[int]
    tenant: str = ""
    n: int = 1
    """Answers to each prompt, which stand together."""
    id: str = ""
    created: int = field(default_factory=lambda: int(time.time()))
    answers: list[list[int]] = field(default_factory=list)
    """Chosen ids of each prompt."""
    ended: list[str] = field(default_factory=list)
    """Why each answer ended; empty while it runs."""
    asked: dict[str, Any] = field(default_factory=dict)
    """Of an answer from documents: what was asked, and what came."""
    asked_tokens: tuple[int, int] = (0, 0)
    """Of that question and answer."""
    engine: EngineProcess | None = None
    """What answers."""

    def __post_init__(self) -> None:
        self.id = f"{self.kind}{'_' if self.kind == 'resp' else '-'}{secrets.token_hex(16)}"
        self.answers = [[] for _ in self.prompts]
        self.ended = [""] * len(self.prompts)

    def usage(self) -> dict[str, int]:
        """Tokens of prompts and answers; a prompt of several answers counts once."""
        prompt, new = self.asked_tokens
        prompt += sum(map(len, self.prompts)) // self.n
        new += sum(map(len, self.answers))
        return {
            "prompt_tokens": prompt, "completion_tokens": new, "total_tokens": prompt + new
        }  # fmt: skip


class Delta(NamedTuple):
    """One token of an answer and the text that it completes."""

    choice: int
    text: str
    token: ChosenToken


@dataclass
class Served:
    """What the server serves."""

    name: str
    """Of the model, as clients ask for it."""
    engines: Engines
    prompts: PromptEncoder | None
    """Turns texts into ids; None without a language model."""
    defaults: dict[str, Any]
    """Settings of the model's generation_config.json."""
    meter: Meter
    receipts: Receipts | None
    created: int
    identity: str = ""
    """Id of the model's artifact, or the hash of its files."""
    has_template: bool = True
    """Whether the model has been tuned to converse."""
    has_index: bool = False
    release: dict[str, Any] = field(default_factory=dict)
    """What of a label is served, or the failed verdict that was accepted."""
    kept: KeptResponses = field(default_factory=KeptResponses)

    @property
    def context_length(self) -> int:
        """Tokens of a prompt and its answer together."""
        return self.engines.facts["context_length"]

    def language_model(self) -> PromptEncoder:
        """What encodes prompts; ApiError if no language model is served."""
        if self.prompts is None:
            what = f"The model `{self.name}` writes no text: it is no language model."
            raise ApiError(400, what, param="model")
        return self.prompts

    @cached_property
    def longest_token(self) -> int:
        """Bytes of the longest token."""
        tokenizer = self.language_model().tokenizer
        return max(len(tokenizer.decode_bytes([id])) for id in range(tokenizer.vocab_size))

    def check_model(self, name: str | None) -> None:
        """ApiError if another model is asked for."""
        if name is not None and name != self.name:
            what = f"The model `{name[:200]}` does not exist; this server has `{self.name}`."
            raise ApiError(404, what, param="model", code="model_not_found")

    async def encode(
        self, size: int, work: Callable[[], list[int]], param: str = "messages"
    ) -> list[int]:
        """What `work` makes of a text of so many characters, beside other requests if it is long.

        Raises ApiError, before that, for a text that cannot fit into the context.
        """
        if size < LONG_CHARACTERS:
            return work()
        least = size // self.longest_token
        if least > self.context_length:
            raise self._too_long(f"more than {least}", param)
        return await asyncio.to_thread(work)

    def fit_tokens(self, prompt: Sequence[int], wanted: int | None, param: str = "messages") -> int:
        """Tokens of an answer: as many as are wanted, or all that the context leaves.

        Raises ApiError if they do not fit, before anything is computed.
        """
        context, size = self.context_length, len(prompt)
        if self.prompts is not None and self.prompts.source_frame is not None:
            size = 0  # a source has a context of its own
        if size >= context or (wanted or 0) > context - size:
            asked = f" and {wanted} are asked for" if wanted else ""
            raise self._too_long(f"{len(prompt)}{asked}. Shorten one of them", param)
        return wanted or context - size

    def _too_long(self, size: str, param: str) -> ApiError:
        context = f"This model's maximum context length is {self.context_length} tokens"
        what = f"{context}; the prompt has {size}."
        return ApiError(400, what, param=param, code="context_length_exceeded")

    def begin(
        self, kind: str, tenant: str, request: SamplingFields,
        prompts: Sequence[Sequence[int]], extra: dict[str, Any],
    ) -> Exchange:  # fmt: skip
        """An exchange with `n` answers to each prompt; without a seed each draws one of its own.

        extra  settings that a kind of request names in its own way

        Raises ApiError for tokens that are none.
        """
        n = request.n or 1
        rows = [list(prompt) for prompt in prompts for _ in range(n)]
        first = secrets.randbits(31) if request.seed is None else request.seed
        seeds = [first + at for at in range(len(rows))]
        return Exchange(kind, rows, _sampling_of(request, self.defaults, extra), seeds, tenant, n)

    def head(self, exchange: Exchange, what: str) -> dict[str, Any]:
        """What an answer, or each event of its stream, begins with."""
        return {
            "id": exchange.id, "object": what, "created": exchange.created, "model": self.name,
            "system_fingerprint": f"fp_{self.identity[:12]}",
        }  # fmt: skip

    async def stream(self, exchange: Exchange) -> AsyncGenerator[Delta, None]:
        """The text of an exchange, as it comes; joined, it is the whole answer.

        Raises what the engine raises. When it is closed early, what still runs is given up.
        """
        tokenizer, sampling = self.language_model().tokenizer, exchange.sampling
        texts = [TextStream(tokenizer, sampling) for _ in exchange.prompts]
        settings = sampling.model_dump(exclude_defaults=True)
        requests = [
            {"ids": ids, "sampling": settings, "seed": seed, "salt": exchange.tenant}
            for ids, seed in zip(exchange.prompts, exchange.seeds, strict=True)
        ]
        exchange.engine = self.engines.choose(exchange.prompts[0])
        tokens = exchange.engine.generate(requests)
        try:
            with self.meter.measure(exchange) as count_token:
                async with aclosing(tokens):
                    async for token in tokens:
                        count_token(token.request)
                        exchange.answers[token.request].append(token.id)
                        exchange.ended[token.request] = token.ended or ""
                        text = texts[token.request].add(token.id, token.ended is not None)
                        yield Delta(token.request, text, token)
        finally:
            if self.receipts is not None:
                self.receipts.keep(self, exchange)
        if self.receipts is not None:
            await self.receipts.wait_for_room()

    def token_to_json(self, id: int, logprob: float | None) -> dict[str, Any]:
        """A token as OpenAI writes it: its text, its bytes, and its log-probability."""
        data = self.language_model().tokenizer.decode_bytes([id])
        return {"token": data.decode("utf-8", "replace"), "logprob": logprob, "bytes": list(data)}


def _sampling_of(
    request: SamplingFields, defaults: dict[str, Any], extra: dict[str, Any]
) -> Sampling:
    given = extra | {name: getattr(request, name) for name in NAMED_ALIKE}
    given["stop_tokens"] = request.stop_token_ids
    given["stop"] = [request.stop] if isinstance(request.stop, str) else request.stop
    values: dict[str, Any] = {"temperature": 1.0} | defaults
    values |= {name: value for name, value in given.items() if value is not None}
    values["top_k"] = max(0, values.get("top_k", 0))  # -1 is none, as at vLLM
    values["top_p"] = values.get("top_p", 1.0) or LEAST_TOP_P  # 0: the most likely token
    if request.logit_bias:
        if wrong := [key for key in request.logit_bias if not key.isdecimal()]:
            what = f"Invalid key in 'logit_bias': {wrong[0][:40]!r} is no token id."
            raise ApiError(400, what, param="logit_bias", code="invalid_value")
        values["logit_bias"] = {int(key): value for key, value in request.logit_bias.items()}
    return Sampling.model_validate(values)


def read_defaults(model: Path) -> dict[str, Any]:
    """The settings of a model's generation_config.json that a client may leave to it."""
    file = model / "generation_config.json"
    values = json.loads(file.read_bytes()) if file.is_file() else {}
    if not isinstance(values, dict):
        raise ConfigError(f"{file} holds no JSON object; create the model again.")
    found = {name: values[name] for name in SETTINGS if values.get(name) is not None}
    return found if values.get("do_sample", bool(found)) else {}
