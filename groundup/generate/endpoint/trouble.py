"""What can go wrong with one request, and whether it is worth another try.

Codes of reasons, stable for scripts:

    unreachable  disconnected  timeout  tls  redirected      the way to the server
    unauthorised  no_funds  not_found  rate_limited  server_error  refused  too_long      its word
    bad_answer  half_stream  too_large                       what it sent
    content_filter  tool_calls  no_text  no_logprobs  unaligned  first_token    what it did not tell
    not_text  empty_prompt  empty_continuation               what was asked
    stopped  budget                                          what was not sent
"""

import json
import re
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from groundup.core import GroundupError

SHOWN = 200
"""Most characters of a server's own words in a message."""

KEY: ContextVar[str] = ContextVar("key", default="")
"""The API key of the request that is being made, for its errors to be rid of."""

OWN_SAMPLE = (
    "too_long", "no_logprobs", "content_filter", "tool_calls", "no_text", "unaligned",
    "first_token",
)  # fmt: skip
"""Codes that say something of one sample, and nothing of the server's health."""

MAY_PASS = (
    "unreachable", "disconnected", "timeout", "tls", "redirected", "unauthorised", "no_funds",
    "not_found", "rate_limited", "server_error", "bad_answer", "half_stream", "stopped", "budget",
)  # fmt: skip
"""Codes after which the same request may be answered once something else has been mended.

Every other code says something of the request itself: asked again, it would fail again.
"""


NOT_OFFERED = (404, 405, 410, 501)
"""Status codes of a server that has no such route."""


class EndpointError(GroundupError):
    """A server that did not answer as asked; the message names it and what it said."""


class Trouble(Exception):
    """One attempt that failed."""

    def __init__(
        self, code: str, message: str, *, retry: bool = False, wait: float | None = None,
        for_good: bool = False,
    ) -> None:  # fmt: skip
        """Say what happened.

        retry     whether the same request may succeed later
        wait      seconds that the server asks to wait before
        for_good  whether every other request would fail too
        """
        super().__init__(message)
        self.code, self.message = code, message
        self.retry, self.wait, self.for_good = retry, wait, for_good


def refusal(status: int, headers: Mapping[str, str], said: str, kind: str = "") -> Trouble:
    """The trouble that a status code tells, with the server's own words.

    >>> refusal(429, {"retry-after": "7"}, "slow down").wait
    7.0
    >>> refusal(400, {}, "maximum context length is 2048 tokens").code
    'too_long'
    """
    message = f"the server answered {status}: {said or 'nothing'}"
    if 300 <= status < 400:
        place = one_line(headers.get("location", "elsewhere"))
        message = f"the server redirects to {place}; give that address if it is the right one"
        return Trouble("redirected", message, for_good=True)
    if kind == "insufficient_quota" or status == 402:
        return Trouble("no_funds", message, for_good=True)
    if status == 429:
        return Trouble("rate_limited", message, retry=True, wait=retry_after(headers))
    if re.search(r"(?i)\becho\b|log_?prob", said):
        return Trouble("no_logprobs", message)
    if status in (408, 409, 425) or (status >= 500 and status not in NOT_OFFERED):
        return Trouble("server_error", message, retry=True, wait=retry_after(headers))
    if status in (401, 403):
        return Trouble("unauthorised", message, for_good=True)
    if status in NOT_OFFERED:
        return Trouble("not_found", message, for_good=True)
    if status == 413 or re.search(r"(?i)context (length|size|window)|too (long|large)", said):
        return Trouble("too_long", message)
    return Trouble("refused", message)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a Retry-After header asks for, given as seconds or as a date."""
    text = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,18}(\.\d*)?", text):
        return float(text)
    try:
        until = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max(0.0, (until - datetime.now(UTC)).total_seconds())


def told(error: Any) -> tuple[str, str]:
    """A server's error, in whichever shape it is told, as (words, code)."""
    if not isinstance(error, Mapping):
        return one_line(str(error)), ""
    words = error.get("message") or error.get("detail") or error.get("error") or dict(error)
    code = error.get("code") or error.get("type") or ""
    return one_line(words if isinstance(words, str) else json.dumps(words)), str(code)


def one_line(text: str) -> str:
    """A server's words, printable, short, and without the key: it goes before anything is cut.

    >>> one_line("<html>\\n  <b>Bad\\x1b[31m Gateway</b>")
    '<html> <b>Bad?[31m Gateway</b>'
    """
    text = " ".join(without(KEY.get())(text)[: 4 * SHOWN].split())
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def without(secret: str) -> Callable[[str], str]:
    """A function that blots a secret out of any text."""
    return (lambda text: text.replace(secret, "[key]")) if secret else (lambda text: text)
