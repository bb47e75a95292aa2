"""Failures of one request, and whether a retry may succeed.

Reason codes, stable for scripts:

    unreachable  disconnected  timeout  tls  redirected      connection
    unauthorised  no_funds  not_found  rate_limited  server_error  refused  too_long      status
    bad_answer  half_stream  too_large                       malformed response
    content_filter  tool_calls  no_text  no_logprobs  unaligned  first_token    missing content
    not_text  empty_prompt  empty_continuation               invalid request
    stopped  budget                                          not sent
"""

import json
import re
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from groundup.core import GroundupError

MAX_QUOTED_CHARS = 200
"""Maximum characters of a server's message that are quoted."""

REQUEST_KEY: ContextVar[str] = ContextVar("key", default="")
"""The API key of the current request, which is removed from its errors."""

SAMPLE_CODES = (
    "too_long", "no_logprobs", "content_filter", "tool_calls", "no_text", "unaligned",
    "first_token",
)  # fmt: skip
"""Codes that concern one sample and say nothing about the server's health."""

TRANSIENT_CODES = (
    "unreachable", "disconnected", "timeout", "tls", "redirected", "unauthorised", "no_funds",
    "not_found", "rate_limited", "server_error", "bad_answer", "half_stream", "stopped", "budget",
)  # fmt: skip
"""Codes after which the same request may succeed once something else is fixed.

Every other code concerns the request itself, which would fail again.
"""

NO_ROUTE_STATUSES = (404, 405, 410, 501)
"""Status codes of a server without such a route."""


class EndpointError(GroundupError):
    """A server that did not answer as expected; the message names it and quotes its error."""


class RequestFailure(Exception):
    """A failed attempt."""

    def __init__(
        self, code: str, message: str, *, retry: bool = False, wait: float | None = None,
        is_permanent: bool = False,
    ) -> None:  # fmt: skip
        """Classify the failure.

        retry     whether the same request may succeed later
        wait      seconds that the server asks to wait before a retry
        is_permanent  whether every other request would fail too
        """
        super().__init__(message)
        self.code, self.message = code, message
        self.retry, self.wait, self.is_permanent = retry, wait, is_permanent


def failure_from_status(
    status: int, headers: Mapping[str, str], message_text: str, kind: str = ""
) -> RequestFailure:
    """Classify an error status, quoting the server's message.

    >>> failure_from_status(429, {"retry-after": "7"}, "slow down").wait
    7.0
    >>> failure_from_status(400, {}, "maximum context length is 2048 tokens").code
    'too_long'
    """
    message = f"the server answered {status}: {message_text or 'nothing'}"
    if 300 <= status < 400:
        location = quote_message(headers.get("location", "elsewhere"))
        message = f"the server redirects to {location}; set url to it if that is the right address"
        return RequestFailure("redirected", message, is_permanent=True)
    if kind == "insufficient_quota" or status == 402:
        return RequestFailure("no_funds", message, is_permanent=True)
    if status == 429:
        return RequestFailure(
            "rate_limited", message, retry=True, wait=_retry_after_seconds(headers)
        )
    if re.search(r"(?i)\becho\b|log_?prob", message_text):
        return RequestFailure("no_logprobs", message)
    if status in (408, 409, 425) or (status >= 500 and status not in NO_ROUTE_STATUSES):
        return RequestFailure(
            "server_error", message, retry=True, wait=_retry_after_seconds(headers)
        )
    if status in (401, 403):
        return RequestFailure("unauthorised", message, is_permanent=True)
    if status in NO_ROUTE_STATUSES:
        return RequestFailure("not_found", message, is_permanent=True)
    if status == 413 or re.search(
        r"(?i)context (length|size|window)|too (long|large)", message_text
    ):
        return RequestFailure("too_long", message)
    return RequestFailure("refused", message)


def _retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    text = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,18}(\.\d*)?", text):
        return float(text)
    try:
        until = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max(0.0, (until - datetime.now(UTC)).total_seconds())


def parse_error(error: Any) -> tuple[str, str]:
    """(message, code) of a server's error object, in any of the common shapes."""
    if not isinstance(error, Mapping):
        return quote_message(str(error)), ""
    message = error.get("message") or error.get("detail") or error.get("error") or dict(error)
    code = error.get("code") or error.get("type") or ""
    return quote_message(message if isinstance(message, str) else json.dumps(message)), str(code)


def quote_message(text: str) -> str:
    """A server's message, printable, truncated, and without the key, which is removed first.

    >>> quote_message("<html>\\n  <b>Bad\\x1b[31m Gateway</b>")
    '<html> <b>Bad?[31m Gateway</b>'
    """
    text = " ".join(secret_remover(REQUEST_KEY.get())(text)[: 4 * MAX_QUOTED_CHARS].split())
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text if len(text) <= MAX_QUOTED_CHARS else text[: MAX_QUOTED_CHARS - 1] + "…"


def secret_remover(secret: str) -> Callable[[str], str]:
    """A function that replaces a secret in any text."""
    return (lambda text: text.replace(secret, "[key]")) if secret else (lambda text: text)
