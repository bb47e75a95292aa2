"""Embeddings, as lists of numbers or as base64 of little-endian float32, OpenAI's default."""

import base64
from typing import Any

import numpy as np

from .answering import Served
from .completions import encode_inputs
from .errors import ApiError
from .schemas import EmbeddingRequest


async def embed(served: Served, request: EmbeddingRequest) -> dict[str, Any]:
    """A vector for each text.

    Raises ApiError for other dimensions than the model's, and what the engine raises.
    """
    served.check_model(request.model)
    given = request.input
    several = [given] if isinstance(given, str) or isinstance(given[0], int) else given
    if not all(several):
        raise ApiError(400, "An input is empty; give each a character.", param="input")
    tokens = 0
    if served.prompts is not None:
        for ids in await encode_inputs(served, given, "input"):
            tokens += len(ids)
            served.fit_tokens(ids[:-1], None, "input")
    elif not all(isinstance(each, str) for each in several):
        what = "An encoder takes texts, not token ids; send strings."
        raise ApiError(400, what, param="input", code="invalid_type")
    texts = [each if isinstance(each, str) else _decode(served, each) for each in several]
    found = await served.engines.choose().call("embed", {"texts": texts})
    rows, tokens = found["rows"], tokens or found["tokens"]
    width = len(rows[0])
    if request.dimensions not in (None, width):
        what = f"This model's vectors have {width} dimensions; leave `dimensions` out."
        raise ApiError(400, what, param="dimensions", code="invalid_value")
    encoded = [_to_base64(row) if request.encoding_format == "base64" else row for row in rows]
    data = [
        {"object": "embedding", "index": at, "embedding": row} for at, row in enumerate(encoded)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    served.meter.count(usage)
    return {"object": "list", "data": data, "model": served.name, "usage": usage}


def _decode(served: Served, ids: Any) -> str:
    return served.language_model().tokenizer.decode(ids)


def _to_base64(row: list[float]) -> str:
    return base64.b64encode(np.asarray(row, "<f4").tobytes()).decode("ascii")
