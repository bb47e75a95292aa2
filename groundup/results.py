"""What a verb returned, as text for people or JSON for scripts.

Artifacts, answers and configurations have forms of their own; everything else prints as it says, or
as JSON of its fields.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

from groundup.core import Answer, Artifact, Config, record


def emit(result: Any, as_json: bool) -> None:
    """Print what a verb returned."""
    if result is None:
        return
    if as_json:
        print(json.dumps(_json_ready(result), indent=1, ensure_ascii=False, default=str))
    elif isinstance(result, Artifact):
        print(record.escape_controls(about(result)))
    elif isinstance(result, Answer):
        from groundup.retrieve import answer_to_text

        print(record.escape_controls(answer_to_text(result)))
    elif isinstance(result, str) or "__str__" in vars(type(result)):
        print(record.escape_controls(str(result)))
    else:
        print(json.dumps(_json_ready(result), indent=1, ensure_ascii=False, default=str))


def _json_ready(result: Any) -> Any:
    """A result as plain JSON values."""
    if isinstance(result, Answer):
        from groundup.retrieve import answer_to_json

        return answer_to_json(result)
    if isinstance(result, Artifact):
        return {**asdict(result), "path": str(result.path)}
    if isinstance(result, Config):
        return result.to_dict()
    if hasattr(result, "_asdict"):
        return {name: _json_ready(value) for name, value in result._asdict().items()}
    if is_dataclass(result) and not isinstance(result, type):
        return {name: _json_ready(getattr(result, name)) for name in result.__dataclass_fields__}
    if isinstance(result, Mapping):
        return {str(name): _json_ready(value) for name, value in result.items()}
    if isinstance(result, (list, tuple)):
        return [_json_ready(value) for value in result]
    return result


def about(artifact: Artifact) -> str:
    """An artifact in a few lines."""
    numbers = "  ".join(
        f"{name} {value:,.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in artifact.numbers.items()
        if isinstance(value, (int, float, str))
    )
    head = (
        f"{artifact.kind} {artifact.id[:12]}  "
        f"{record.format_bytes(artifact.bytes)}  {artifact.path}"
    )
    return head + (f"\n  {numbers}" if numbers else "")
