"""The review's page, and its HTTP server: on 127.0.0.1 only, with a secret in the URL.

    GET  /SECRET/             the page              POST /SECRET/vote  {who, subject, action, …}
    GET  /SECRET/state?who=…  what to judge next    POST /SECRET/skip  {who, subject}
                                                    POST /SECRET/undo  {who}

The page is empty until its script has requested an item, which is inserted as text, so nothing in a
sample can run. Requests without the secret are rejected. The Host header must be the server's own
(which prevents DNS rebinding), and so must Origin if sent. A vote is on disk before the response.
"""

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from hmac import compare_digest
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from typing import Any
from urllib.parse import parse_qs, urlsplit

from groundup.core import ConfigError, DataError, GroundupError, page

from .sheet import (
    COMPARISON_DROP_REASONS,
    DROP_REASONS,
    MAX_REVIEWER_NAME,
    ReviewSheet,
    reviewer_name,
)

REVIEW_SHORTCUTS = (
    ("a", "accept the sample as it is"),
    ("m", "modify question or answer; Ctrl+Enter saves, Escape goes back"),
    ("d", "drop the sample; then 1 to 5 or words, and Enter"),
    ("s", "skip: it comes again at the end"),
    ("u", "undo: take the last decision back"),
    ("r", "write a remark that goes with the decision"),
)
COMPARISON_SHORTCUTS = (
    ("1 to 9", "the better answer; of more than two, the next best one"),
    ("=", "of two answers, neither is better; of more, the next is as good as the last"),
    ("Enter", "records a ranking; Backspace takes its last answer out"),
    ("d", "drop them; then 1 to 3 or words, and Enter"),
    *REVIEW_SHORTCUTS[3:],
)
COMPARISON_BUTTONS = (
    ("tie", "Equally good", "="),
    ("save", "Record", "Enter"),
    ("drop", "Drop", "d"),
)
SAMPLE_BUTTONS = (("accept", "Accept", "a"), ("modify", "Modify", "m"), ("drop", "Drop", "d"))
NAVIGATION_BUTTONS = (("skip", "Skip", "s"), ("undo", "Undo", "u"))


def review_page(name: str, compares: bool = False) -> page.Html:
    """The document for the review of `name`; `compares`: of answers, not of samples."""
    sheet = page.HtmlPage(
        f"Review {name}".strip(),
        "",
        style=page.read_resource(__file__, "review.css"),
        script=page.read_resource(__file__, "review.js"),
        shortcuts=COMPARISON_SHORTCUTS if compares else REVIEW_SHORTCUTS,
        is_served=True,
    )
    item = page.element(
        "article.item",
        page.element("div.stack", attributes={"id": "conversation"}),
        page.element("div.choices", attributes={"id": "answers"}),
        page.element("div.card.source", attributes={"id": "source", "hidden": True}),
        attributes={"id": "item", "hidden": True, "aria-live": "polite"},
    )
    completion = page.element(
        "div.card.ending",
        page.element("p.verdict", attributes={"id": "summary"}),
        page.element("p", "Every decision is on disk; you may close this page."),
        page.element("div.buttons", _shortcut_button("undo", "Undo", "u")),
        attributes={"id": "ending", "hidden": True},
    )
    sheet.add(_status_bar(), item, _decision_controls(compares), completion)
    return sheet.render()


def _status_bar() -> page.Html:
    bar = page.element(
        "progress", attributes={"id": "bar", "max": 1, "value": 0, "aria-label": "done"}
    )
    name = {"id": "who", "maxlength": MAX_REVIEWER_NAME, "autocomplete": "off"}
    who = page.element("label.who", "Reviewer ", page.element("input", attributes=name))
    alert = page.element("p.alert", attributes={"id": "alert", "role": "alert", "hidden": True})
    message = {"id": "told", "role": "status"}
    return page.element(
        "div.status",
        page.element("div.far", page.element("p", attributes={"id": "far"}), bar, who),
        page.element("p.small", attributes=message),
        alert,
    )


def _decision_controls(compares: bool) -> page.Html:
    buttons = COMPARISON_BUTTONS if compares else SAMPLE_BUTTONS
    rows = [
        page.element("div.buttons", *[_shortcut_button(*each) for each in buttons]),
        page.element(
            "div.buttons.moves", *[_shortcut_button(*each) for each in NAVIGATION_BUTTONS]
        ),
    ]
    return page.element(
        "div.decide.card",
        page.element("div.row", *rows, attributes={"id": "buttons"}),
        page.element("div.editing", attributes={"id": "editing", "hidden": True}),
        _reason_form(COMPARISON_DROP_REASONS if compares else DROP_REASONS),
        attributes={"id": "decide", "hidden": True},
    )


def _shortcut_button(action: str, text: str, key: str) -> page.Html:
    key_hint = page.element("kbd", key, attributes={"aria-hidden": "true"})
    attributes = {"type": "button", "data-action": action, "aria-keyshortcuts": key}
    return page.element(f"button.to-{action.lower()}", text, " ", key_hint, attributes=attributes)


def _reason_form(reasons: Sequence[str]) -> page.Html:
    usual = [
        page.element(
            "button",
            page.join_html([page.element("kbd", str(number)), " ", reason]),
            attributes={"type": "button", "data-reason": reason},
        )
        for number, reason in enumerate(reasons, start=1)
    ]
    field = {"id": "reason", "maxlength": 1000, "autocomplete": "off"}
    return page.element(
        "div.reason",
        page.element("div.usual", *usual, attributes={"id": "usual", "hidden": True}),
        page.element(
            "label",
            page.element("span", "Reason or remark"),
            page.element("input", attributes=field),
        ),
    )


MAX_BODY_BYTES = 2**20
"""Largest request body."""
IDLE_SECONDS = 30.0
"""Idle connections are closed after this time."""
MAX_REVIEWERS = 100
RESPONSE_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class RequestRejected(Exception):
    """A rejected request, with its HTTP status and the reason."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status


class ReviewServer(ThreadingHTTPServer):
    """Serves one review on 127.0.0.1 until it is closed."""

    daemon_threads = True
    request_queue_size = 128
    """A page sends many requests at once; with the default of 5 some wait for seconds."""

    def __init__(
        self, name: str, open_sheet: Callable[[str], ReviewSheet], who: str, port: int = 0, *,
        compares: bool = False,
    ) -> None:  # fmt: skip
        """Bind the port, 0 for a free one; `who` is the default reviewer.

        compares  whether answers are compared, instead of samples reviewed

        Raises ConfigError if the port is in use or out of range.
        """
        self.secret = secrets.token_urlsafe(24)
        self.title, self.who, self.open_sheet = name, who, open_sheet
        self.compares = compares
        self.sheets: dict[str, ReviewSheet] = {}
        self.lock = Lock()
        try:
            super().__init__(("127.0.0.1", port), ReviewRequests)
        except (OSError, OverflowError) as error:
            what = f"Port {port} of 127.0.0.1 cannot be used ({error})"
            raise ConfigError(f"{what}; choose another --port or 0.") from None

    @property
    def url(self) -> str:
        """URL of the page; whoever has it may vote."""
        return f"http://127.0.0.1:{self.server_port}/{self.secret}/"

    @property
    def hosts(self) -> tuple[str, ...]:
        """Accepted values of the Host header."""
        return f"127.0.0.1:{self.server_port}", f"localhost:{self.server_port}"

    def sheet(self, who: str) -> ReviewSheet:
        """The reviewer's sheet, opened at first use."""
        who = reviewer_name(who.strip() or self.who)
        if who not in self.sheets:
            if len(self.sheets) >= MAX_REVIEWERS:
                raise DataError(f"{MAX_REVIEWERS} reviewers are here already; restart the server.")
            self.sheets[who] = self.open_sheet(who)
        return self.sheets[who]


def _review_state(sheet: ReviewSheet) -> dict[str, Any]:
    """What the page shows next."""
    item, (done, total) = sheet.current, sheet.progress
    shown = {} if item is None else item._asdict() | {"question": item.question}
    names = shown.pop("names", ())  # they could tell who wrote an answer
    return {
        "who": sheet.who,
        "done": done,
        "total": total,
        "summary": str(sheet.summary()) if item is None else "",
        "item": None if item is None else shown | {"compares": len(names)},
    }


def _text_field(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name, "")
    if not isinstance(value, str):
        raise DataError(f"{name!r} must be a text; got {type(value).__name__}.")
    return value


def _record_decision(sheet: ReviewSheet, body: Mapping[str, Any]) -> None:
    fields = body.get("fields")
    if fields is not None and not isinstance(fields, dict):
        raise DataError(f"'fields' must be an object; got {type(fields).__name__}.")
    subject, action, reason = (_text_field(body, key) for key in ("subject", "action", "reason"))
    sheet.decide(subject, action, reason=reason, fields=fields)


POST_ACTIONS: Mapping[str, Callable[[ReviewSheet, Mapping[str, Any]], object]] = {
    "vote": _record_decision,
    "skip": lambda sheet, body: sheet.skip(_text_field(body, "subject")),
    "undo": lambda sheet, body: sheet.undo(),
}


class ReviewRequests(BaseHTTPRequestHandler):
    """Handles one request over HTTP/1.0, so the connection ends with it."""

    server: ReviewServer  # type: ignore[assignment]
    timeout = IDLE_SECONDS
    server_version, sys_version = "groundup", ""

    def do_GET(self) -> None:
        """Send the page or the next item."""
        self.answer(self.get)

    def do_POST(self) -> None:
        """Carry out an action and send the next item."""
        self.answer(self.post)

    def get(self) -> tuple[str, bytes]:
        """Content type and body for a GET."""
        route, query = self.route()
        if route == "":
            return "text/html", review_page(self.server.title, self.server.compares).encode()
        if route != "state":
            raise RequestRejected(HTTPStatus.NOT_FOUND, "There is no such page here.")
        with self.server.lock:
            return _json_response(_review_state(self.server.sheet(query.get("who", [""])[0])))

    def post(self) -> tuple[str, bytes]:
        """Content type and body for a POST."""
        route, _ = self.route()
        if route not in POST_ACTIONS:
            raise RequestRejected(HTTPStatus.NOT_FOUND, "There is no such page here.")
        body = self.body()
        with self.server.lock:
            sheet = self.server.sheet(_text_field(body, "who"))
            POST_ACTIONS[route](sheet, body)
            return _json_response(_review_state(sheet))

    def answer(self, make: Callable[[], tuple[str, bytes]]) -> None:
        """Send what `make` returns, or its error."""
        if self.server.fileno() < 0:
            return  # closed; a browser opens connections in advance
        try:
            self.send(HTTPStatus.OK, *make())
        except (RequestRejected, GroundupError) as error:
            status = getattr(error, "status", HTTPStatus.INTERNAL_SERVER_ERROR)
            if isinstance(error, DataError):
                status = HTTPStatus.UNPROCESSABLE_ENTITY
            self.send(status, *_json_response({"error": str(error)}))

    def send(self, status: HTTPStatus, kind: str, content: bytes) -> None:
        """Write one response, ignoring closed connections."""
        try:
            self.send_response(status)
            for name, value in RESPONSE_HEADERS.items():
                self.send_header(name, value)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        except ConnectionError:
            pass

    def route(self) -> tuple[str, dict[str, list[str]]]:
        """Path after the secret, and the query; Refused if Host, Origin or secret are wrong."""
        if self.headers.get("Host") not in self.server.hosts:
            raise RequestRejected(HTTPStatus.FORBIDDEN, "This server answers to its own name only.")
        origin = self.headers.get("Origin")
        if origin is not None and origin not in [f"http://{host}" for host in self.server.hosts]:
            raise RequestRejected(HTTPStatus.FORBIDDEN, "Only the review's own page may ask.")
        parts = urlsplit(self.path)
        _, secret, *rest = [*parts.path.split("/", 2), ""]
        if not compare_digest(secret.encode(errors="replace"), self.server.secret.encode()):
            raise RequestRejected(HTTPStatus.NOT_FOUND, "There is no such page here.")
        return rest[0], parse_qs(parts.query)

    def body(self) -> dict[str, Any]:
        """The request's JSON object; Refused if it is too large or invalid."""
        if self.headers.get_content_type() != "application/json":
            raise RequestRejected(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send application/json.")
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdecimal():
            raise RequestRejected(HTTPStatus.LENGTH_REQUIRED, "Send a Content-Length.")
        if len(length) > 12 or int(length) > MAX_BODY_BYTES:
            what = f"At most {MAX_BODY_BYTES:,} bytes."
            raise RequestRejected(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, what)
        try:
            value = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError) as error:
            raise RequestRejected(HTTPStatus.BAD_REQUEST, f"That is no JSON ({error}).") from None
        if not isinstance(value, dict):
            raise RequestRejected(HTTPStatus.BAD_REQUEST, "Send a JSON object.")
        return value

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing, because URLs contain the secret."""


def _json_response(value: dict[str, Any]) -> tuple[str, bytes]:
    return "application/json", json.dumps(value).encode()
