"""The pages for people: a chat, a search over an index, and its documents; and what they ask for.

    /  /chat  /search  /document?path=…&start=…&end=…      HTML
    /static/NAME                                           its style and scripts
    /api/about  /api/examples  /api/search  /api/document  JSON

The files lie in web/, the look is the reports' (core/page). A page loads nothing from elsewhere and
runs no script but these files, whatever a document or an answer says.
"""

import hashlib
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query, Request
from fastapi.responses import Response

from groundup.core import page

from .openai.answering import Served
from .openai.errors import ApiError

FOLDERS = (Path(__file__).with_name("web"), Path(page.__file__).parent)
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin", "Cache-Control": "no-cache",
}  # fmt: skip
AROUND = 500_000
"""Characters before and after a quote that are shown of a document."""
Words = Annotated[str, Query(min_length=1, max_length=4_000)]
Text = Annotated[str, Query(max_length=4_000)]
Byte = Annotated[int, Query(ge=0, lt=2**62)]


async def _current_served(request: Request) -> Served:
    return request.app.state.served


CurrentServed = Annotated[Served, Depends(_current_served)]
"""What is served while a request is answered."""


@cache
def static_files() -> dict[str, tuple[bytes, str, str]]:
    """Content, type and hash of every file that is served, by name; there are no others."""
    paths = (path for folder in FOLDERS for path in folder.iterdir() if path.suffix in TYPES)
    files = ((path, path.read_bytes()) for path in paths)
    return {path.name: (data, TYPES[path.suffix], hashlib.sha256(data).hexdigest()[:32])
            for path, data in files}  # fmt: skip


def add_pages(app: FastAPI) -> None:
    """Add the routes of the pages, and of what their scripts ask for."""
    for path in ("/", "/chat", "/search", "/document"):
        app.get(path, include_in_schema=False)(_page)
    app.get("/static/{name}", include_in_schema=False)(_static_file)
    app.get("/api/about", summary="What is served.")(_about)
    app.get("/api/examples", summary="Questions that the documents answer.")(_examples)
    app.get("/api/search", summary="Passages with the asked words marked, and an answer.")(_search)
    app.get("/api/document", summary="The text of a document, with a quote marked.")(_document)


async def _page(request: Request, served: CurrentServed) -> Response:
    first = "search" if served.has_index and served.prompts is None else "chat"
    return await _static_file(request, f"{request.url.path.strip('/') or first}.html")


async def _static_file(request: Request, name: str) -> Response:
    if name not in static_files():
        raise ApiError(404, f"There is no file {name[:200]!r}.", code="not_found")
    data, kind, hashed = static_files()[name]
    headers = HEADERS | {"ETag": f'"{hashed}"'}
    if hashed in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(data, media_type=kind, headers=headers)


async def _about(served: CurrentServed) -> Any:
    facts = {name: served.engines.facts.get(name) for name in ("kind", "context_length", "index")}
    writes = served.prompts is not None and served.has_template
    return {"model": served.name, "artifact": served.identity, "writes": writes, **facts}


async def _examples(served: CurrentServed) -> Any:
    return await served.engines.choose().ask_documents("examples") if served.has_index else []


async def _search(
    served: CurrentServed, q: Words, limit: Annotated[int, Query(ge=1, le=50)] = 10
) -> Any:
    return await served.engines.choose().ask_documents("search", q, limit)


async def _document(
    served: CurrentServed, path: Words, start: Byte = 0, end: Byte = 0, *,
    quote: Text = "", q: Text = "", around: Annotated[int, Query(ge=0, le=AROUND)] = AROUND,
) -> Any:  # fmt: skip
    place = {"path": path, "start": start, "end": end, "text": quote, "around": around, "query": q}
    found = await served.engines.choose().ask_documents("read", place)
    if not found:
        raise ApiError(404, "The index has no such document.", param="path", code="not_found")
    return found
