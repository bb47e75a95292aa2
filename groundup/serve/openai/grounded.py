"""Answers from the documents of an index, with their quotes as OpenAI's annotations.

Each claim has the quotes that prove it; an annotation says which characters of the answer they
prove, and opens the place in its document. What the documents do not answer is not answered.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import quote as percent_encode

from groundup.core import Sampling

from .answering import Exchange, Served
from .errors import ApiError
from .schemas import ChatMessage, ChatRequest
from .tools import text_of

FREE = ("tools", "response_format", "structured_outputs", "logprobs", "stop")
"""What answers of the model alone can have."""
MAX_QUESTION = 10_000
"""Characters of a question to the documents."""


async def ask_documents(served: Served, request: ChatRequest, tenant: str, kind: str) -> Exchange:
    """Answer the last message of a conversation.

    Raises ApiError for what only the model alone can do, and what the engine raises.
    """
    given = [name for name in FREE if getattr(request, name)]
    if given or (request.n or 1) > 1:
        name = given[0] if given else "n"
        what = f"{name} is for answers of the model alone; set grounded=false or leave it out."
        raise ApiError(400, what, param=name)
    questions = _questions_of(request.messages)
    options: dict[str, Any] = {"only": request.only or [], "limit": request.quotes or 3}
    engine, exchange = served.engines.choose(), Exchange(kind, [], Sampling(), [], tenant)
    answer = await engine.ask_documents("ask", questions, options)
    exchange.engine = engine
    exchange.asked = {"questions": questions, "options": options, "answer": answer}
    if served.prompts is not None:  # without a tokenizer no tokens are counted
        encode = served.prompts.tokenizer.encode
        exchange.asked_tokens = len(encode(questions[-1])), len(encode(answer["answer"]))
    served.meter.count(exchange.usage())
    if served.receipts is not None:
        served.receipts.keep(served, exchange)
        await served.receipts.wait_for_room()
    return exchange


def _questions_of(messages: list[ChatMessage]) -> list[str]:
    """What the user asked; ApiError if the last message is not the user's."""
    if messages[-1].role != "user":
        raise ApiError(400, "The last message must be the user's question.", param="messages")
    texts = [text_of(each.content) for each in messages if each.role == "user"]
    if max(map(len, texts)) > MAX_QUESTION:
        what = f"A question to the documents has at most {MAX_QUESTION} characters; shorten it."
        raise ApiError(400, what, param="messages", code="context_length_exceeded")
    return texts


class GroundedPart(NamedTuple):
    """Some text of an answer, up to the end of a claim, and what proves the claim."""

    text: str
    annotations: list[dict[str, Any]]


def grounded_parts(answer: dict[str, Any]) -> Iterator[GroundedPart]:
    """An answer, claim by claim; what follows the last one has no annotations."""
    text, at = answer["answer"], 0
    for claim in answer["claims"]:
        start = text.find(claim["text"], at)
        end = start + len(claim["text"])
        annotations = [_annotation(quote, start, end) for quote in claim["quotes"]]
        yield GroundedPart(text[at:end], annotations)
        at = end
    yield GroundedPart(text[at:], [])


def _annotation(quote: dict[str, Any], start: int, end: int) -> dict[str, Any]:
    place = f"start={quote['start']}&end={quote['end']}"
    url = f"/document?path={percent_encode(quote['path'], safe='')}&{place}"
    citation = {"start_index": start, "end_index": end, "title": quote["location"], "url": url}
    return {"type": "url_citation", "url_citation": citation | {"quote": quote["text"]}}
