"""Errors in OpenAI's form: a status, a sentence, and what in the request was wrong.

{"error": {"message": "…", "type": "invalid_request_error", "param": "stop", "code": null}}
"""

import re
from collections.abc import Sequence
from typing import Any

from groundup.core import CapacityError, GroundupError

from ..engine.process import EngineLost

RETRY_SECONDS = 3
"""After which a client may try again what an engine lost."""
BRANCH = re.compile(
    r"[A-Z]|(list|constrained-\w+|union|literal)\[|(str|int|float|bool|none)$|constr"
)
"""How the names of a choice's branches begin."""
UNKNOWN, TYPES = "extra_forbidden", {
    "string_type": "a string", "int_type": "an integer", "bool_type": "a boolean",
    "float_type": "a number", "list_type": "an array", "dict_type": "an object",
    "model_type": "an object", "model_attributes_type": "an object",
}  # fmt: skip
SETTING = re.compile(r"\bSampling\.(\w+)")
RENAMED = {"stop_tokens": "stop_token_ids", "choices": "choice", "json_schema": "response_format"}
"""Settings of sampling as requests call them."""
HEADERS = {401: {"WWW-Authenticate": "Bearer"}, 408: {"x-should-retry": "false"}}
"""Of answers with some statuses."""


class ApiError(GroundupError):
    """An answer with an error status."""

    exit_code = 1

    def __init__(
        self, status: int, message: str, *, kind: str = "invalid_request_error",
        param: str | None = None, code: str | None = None, retry_seconds: float | None = None,
    ) -> None:  # fmt: skip
        super().__init__(message if message[-1:] in (".", "!", "?") else f"{message}.")
        self.status, self.kind, self.param, self.code = status, kind, param, code
        self.headers = dict(HEADERS.get(status, {}))
        if retry_seconds is not None:
            self.headers["Retry-After"] = str(max(1, round(retry_seconds)))

    def to_json(self) -> dict[str, Any]:
        """The body of the answer."""
        fields = {"message": str(self), "type": self.kind, "param": self.param, "code": self.code}
        return {"error": fields}


def api_error(error: GroundupError) -> ApiError:
    """What a client is told of an error of ours."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, EngineLost):
        return ApiError(503, str(error), kind="server_error", retry_seconds=RETRY_SECONDS)
    code = "context_length_exceeded" if isinstance(error, CapacityError) else None
    fields = [RENAMED.get(name, name) for name in SETTING.findall(str(error))]
    message = SETTING.sub(lambda found: RENAMED.get(found[1], found[1]), str(error))
    message = message.replace("Sampling takes", "A request takes")
    return ApiError(400, message, param=fields[0] if fields else None, code=code)


def invalid_request(errors: Sequence[Any]) -> ApiError:
    """What is wrong first in a request, by pydantic's errors."""
    # Of a choice that begins right and goes wrong later, the later error says more.
    later = (each for each in errors if each["loc"][:1] == errors[0]["loc"][:1])
    first = next((each for each in later if each["type"] not in TYPES), errors[0])
    # A choice's names, such as `list[str]` and `ToolChoice`, are no part of the request.
    name = ".".join(str(e) for e in first["loc"] if not BRANCH.match(str(e)))
    if first["type"] == UNKNOWN:
        return ApiError(400, f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")
    if first["type"] == "missing":
        what = f"Missing required parameter: '{name}'."
        return ApiError(400, what, param=name, code="missing_required_parameter")
    if first["type"].startswith("json_"):
        return ApiError(400, f"The body is not valid JSON: {first['msg']}.", code="invalid_json")
    if first["type"] in TYPES:
        what = f"Invalid type for {repr(name) if name else 'the body'}"
        what += f": expected {TYPES[first['type']]}."
        return ApiError(400, what, param=name or None, code="invalid_type")
    message = first["msg"].removeprefix("Value error, ")
    what = f"Invalid '{name}': {message}" if name else message  # of several fields together
    return ApiError(400, what, param=name or None, code="invalid_value")
