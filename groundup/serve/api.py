"""The server's routes, and how a request becomes an answer or an error.

Handlers are short: a body is read and checked here, and answered by a file of openai/. A client
that goes away stops the work for it, whether it streams or waits.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, ValidationError
from pydantic.json_schema import models_json_schema
from pydantic_core import from_json, to_json
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from groundup import __version__
from groundup.core import GroundupError, record

from .engine.process import EngineLost
from .openai.answering import Served
from .openai.chat import complete_chat
from .openai.completions import complete, encode_inputs
from .openai.embeddings import embed
from .openai.errors import ApiError, api_error, invalid_request
from .openai.responses import respond
from .openai.schemas import (
    ChatRequest,
    CompletionRequest,
    DetokenizeRequest,
    EmbeddingRequest,
    ResponseRequest,
    TokenizeRequest,
)
from .openai.tools import conversation_of
from .pages import CurrentServed, add_pages

BodyType = TypeVar("BodyType", bound=BaseModel)
BODIES = (
    ChatRequest, CompletionRequest, DetokenizeRequest, EmbeddingRequest, ResponseRequest,
    TokenizeRequest,
)  # fmt: skip
GONE = 499
"""Status of an answer that nobody waits for any more."""
MAX_MEMBERS = 10_000
STREAM_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


def create_app(served: Served) -> FastAPI:
    """The server's application; engines are running already."""
    app = FastAPI(
        title="groundup", version=__version__, docs_url=None, redoc_url=None,
        openapi_url="/openapi.json",
    )  # fmt: skip
    app.state.served = served
    _add_routes(app)
    for kind in (GroundupError, HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(kind, _error_answer)
    app.openapi = lambda: _openapi(app)  # pyright: ignore: how FastAPI is extended
    return app


def _add_routes(app: FastAPI) -> None:
    _add_post(app, "/v1/chat/completions", ChatRequest, complete_chat)
    _add_post(app, "/v1/completions", CompletionRequest, complete)
    _add_post(app, "/v1/embeddings", EmbeddingRequest, lambda served, body, _: embed(served, body))
    _add_post(app, "/v1/responses", ResponseRequest, respond)
    _add_post(app, "/tokenize", TokenizeRequest, _tokenize)
    _add_post(app, "/detokenize", DetokenizeRequest, _detokenize)
    app.get("/v1/models", summary="The models that are served.")(_models)
    app.get("/v1/models/{name:path}", summary="A model.")(_model)
    app.get("/v1/responses/{id}", summary="A response of before.")(_stored_response)
    app.delete("/v1/responses/{id}", summary="Forget a response.")(_forget_response)
    app.get("/health", summary="Whether the server runs.")(_health)
    app.get("/ready", summary="Whether an engine answers.")(_ready)
    app.get("/metrics", summary="Counts, as Prometheus reads them.")(_metrics)
    add_pages(app)


async def tenant_of(request: Request) -> str:
    """Whose request it is; empty without keys."""
    return getattr(request.state, "tenant", "")


Tenant = Annotated[str, Depends(tenant_of)]


def _add_post(
    app: FastAPI, path: str, body: type[BodyType],
    answer: Callable[[Served, BodyType, str], Awaitable[Any]],
) -> None:  # fmt: skip
    """Add a route whose body is checked before anything else is done."""

    async def route(request: Request, tenant: Tenant) -> Response:
        checked = await _read_body(request, body)
        result = await _until_gone(request, answer(request.app.state.served, checked, tenant))
        if isinstance(result, dict):
            data = to_json(result, inf_nan_mode="null")
            return Response(data, media_type="application/json")
        return EventStream(result, media_type="text/event-stream", headers=STREAM_HEADERS)

    reference = {"$ref": f"#/components/schemas/{body.__name__}"}
    content = {"application/json": {"schema": reference}}
    app.post(
        path, summary=(body.__doc__ or "").strip(), response_class=JSONResponse,
        openapi_extra={"requestBody": {"required": True, "content": content}},
        responses={400: {"description": "What was wrong with the request."}},
    )(route)  # fmt: skip


async def _read_body(request: Request, body: type[BodyType]) -> BodyType:
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip()
    if kind.lower() != "application/json":
        what = f"The body is {kind[:100]!r}; send JSON with Content-Type: application/json."
        raise ApiError(415, what, code="unsupported_media_type")
    try:
        data = await request.body()
        data.decode("utf-8")
        value = from_json(data, allow_inf_nan=False)
        _check_members(value)
        return body.model_validate(value)
    except ClientDisconnect:
        raise ApiError(GONE, "The client has gone.") from None
    except UnicodeDecodeError as error:
        what = f"The body is not valid UTF-8: {error.reason} at byte {error.start}."
        raise ApiError(400, what, code="invalid_json") from None
    except ValidationError as error:
        raise invalid_request(error.errors()) from None
    except ValueError as error:
        raise ApiError(400, f"The body is not valid JSON: {error}.", code="invalid_json") from None


def _check_members(value: Any) -> None:
    """ApiError for an object of so many members that to say what is wrong with each takes long."""
    inner = [value] if isinstance(value, dict | list) else []
    while inner:
        each = inner.pop()
        if isinstance(each, dict) and len(each) > MAX_MEMBERS:
            raise ApiError(400, f"An object of the body has more than {MAX_MEMBERS} members.")
        items = each.values() if isinstance(each, dict) else each
        inner += [item for item in items if isinstance(item, dict | list)]


async def _until_gone(request: Request, work: Awaitable[Any]) -> Any:
    """What work gives, which is stopped if the client goes away meanwhile."""
    task = asyncio.ensure_future(work)

    async def wait_until_gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    gone = asyncio.create_task(wait_until_gone())
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ApiError(GONE, "The client has gone.")
        return task.result()
    finally:
        gone.cancel()
        if not task.done():
            task.cancel()
            with contextlib.suppress(BaseException):
                await task


class EventStream(StreamingResponse):
    """A stream that gives up its work when it ends, not when garbage is next searched for."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the frames."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self.body_iterator.aclose()  # pyright: ignore


async def _tokenize(served: Served, body: TokenizeRequest, _: str) -> dict[str, Any]:
    served.check_model(body.model)
    return await asyncio.to_thread(_tokens_of, served, body)


def _tokens_of(served: Served, body: TokenizeRequest) -> dict[str, Any]:
    model, text = served.language_model(), body.prompt or ""
    tokenizer = model.tokenizer
    if body.messages is not None:
        ids = model.prompt_ids(conversation_of(body.messages, ()))
    elif body.add_special_tokens is False or not text:
        ids = tokenizer.encode(text)
    else:
        ids = model.encode_prompt(text)
    texts = [tokenizer.decode([id]) for id in ids] if body.return_token_strs else None
    size = served.context_length
    return {"tokens": ids, "count": len(ids), "max_model_len": size, "token_strs": texts}


async def _detokenize(served: Served, body: DetokenizeRequest, _: str) -> dict[str, Any]:
    served.check_model(body.model)
    if body.tokens:
        await encode_inputs(served, body.tokens)
    tokenizer = served.language_model().tokenizer
    return {"prompt": await asyncio.to_thread(tokenizer.decode, body.tokens)}


async def _models(served: CurrentServed) -> Any:
    return {"object": "list", "data": [await _model(served, served.name)]}


async def _model(served: CurrentServed, name: str) -> Any:
    served.check_model(name)
    facts = served.engines.facts
    return {
        "id": served.name, "object": "model", "created": served.created, "owned_by": "groundup",
        "max_model_len": facts.get("context_length"), "kind": facts.get("kind", "documents"),
    }  # fmt: skip


async def _stored_response(served: CurrentServed, id: str, tenant: Tenant) -> Any:
    return served.kept.read(id, tenant).response


async def _forget_response(served: CurrentServed, id: str, tenant: Tenant) -> Any:
    served.kept.forget(id, tenant)
    return {"id": id, "object": "response", "deleted": True}


async def _health() -> Any:
    return {"status": "ok"}


async def _ready(served: CurrentServed) -> Any:
    served.engines.choose()
    return {"status": "ready"}


async def _metrics(served: CurrentServed) -> Response:
    for engine in served.engines.running:
        with contextlib.suppress(EngineLost, TimeoutError):
            async with asyncio.timeout(1):
                engine.metrics = await engine.call("report")
    return Response(served.meter.text(), media_type="text/plain; version=0.0.4")


async def _error_answer(request: Request, error: Exception) -> Response:
    """What a client is told of an error; of a defect the log alone says more."""
    if isinstance(error, GroundupError):
        shown = api_error(error)
    elif isinstance(error, RequestValidationError):  # of the query's parameters
        shown = invalid_request([each | {"loc": each["loc"][1:]} for each in error.errors()])
    elif isinstance(error, HTTPException):
        what = f"{request.method} {request.url.path[:200]}: {error.detail}."
        code = "not_found" if error.status_code == 404 else None
        shown = ApiError(error.status_code, what, code=code)
        shown.headers |= error.headers or {}
    else:
        shown = ApiError(500, "The server had an error; its log says which.", kind="server_error")
    if shown.status >= 500 and not isinstance(
        error, EngineLost
    ):  # that is told once, by the keeper
        record.log(f"{request.method} {request.url.path}: {type(error).__name__}: {error}")
    return JSONResponse(shown.to_json(), shown.status, shown.headers)


def _openapi(app: FastAPI) -> dict[str, Any]:
    """The description of all routes, with what their bodies may say."""
    if app.openapi_schema is None:
        document = FastAPI.openapi(app)
        pairs = [(body, "validation") for body in BODIES]
        template = "#/components/schemas/{model}"
        _, schemas = models_json_schema(pairs, ref_template=template)  # pyright: ignore
        for schema in schemas["$defs"].values():
            if model := schema["properties"].get("model") if "properties" in schema else None:
                model["enum"] = [app.state.served.name]
        document.setdefault("components", {}).setdefault("schemas", {}).update(schemas["$defs"])
        app.openapi_schema = document
    return app.openapi_schema
