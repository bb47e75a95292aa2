"""The review page: one item at a time, by keyboard or mouse, on any screen.

The page is empty until its script has requested an item from the server (server.py); the content is
inserted as text, so nothing in a sample can run.
"""

from groundup.core import page

from .sheet import DROP_REASONS, MAX_REVIEWER_NAME

REVIEW_SHORTCUTS = (
    ("a", "accept the sample as it is"),
    ("m", "mend question or answer; Ctrl+Enter saves, Escape goes back"),
    ("d", "drop the sample; then 1 to 5 or words, and Enter"),
    ("1 / 2", "of two answers, the first or the second is better"),
    ("=", "of two answers, neither is better"),
    ("s", "skip: it comes again at the end"),
    ("u", "undo: take the last decision back"),
    ("r", "write a remark that goes with the decision"),
)
SAMPLE_BUTTONS = (("accept", "Accept", "a"), ("mend", "Mend", "m"), ("drop", "Drop", "d"))
CHOICE_BUTTONS = (
    ("A", "First is better", "1"), ("B", "Second is better", "2"), ("tie", "Neither", "="),
)  # fmt: skip
NAVIGATION_BUTTONS = (("skip", "Skip", "s"), ("undo", "Undo", "u"))


def review_page(name: str) -> page.Html:
    """The document for the review of `name`."""
    sheet = page.HtmlPage(
        f"Review {name}".strip(),
        "",
        style=page.read_resource(__file__, "review.css"),
        script=page.read_resource(__file__, "review.js"),
        shortcuts=REVIEW_SHORTCUTS,
        is_served=True,
    )
    sheet.add(_status_bar(), _item_containers(), _decision_controls(), _completion_message())
    return sheet.render()


def _status_bar() -> page.Html:
    """Reviewer, progress, and whether the server can be reached."""
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


def _item_containers() -> page.Html:
    """Empty containers for the conversation, the answers and the source."""
    return page.element(
        "article.item",
        page.element("div.stack", attributes={"id": "conversation"}),
        page.element("div.choices", attributes={"id": "answers"}),
        page.element("div.card.source", attributes={"id": "source", "hidden": True}),
        attributes={"id": "item", "hidden": True, "aria-live": "polite"},
    )


def _decision_controls() -> page.Html:
    """Buttons with their keys, the form for corrections and the one for a reason."""
    rows = [
        page.element(
            "div.buttons.sample-only", *[_shortcut_button(*each) for each in SAMPLE_BUTTONS]
        ),
        page.element(
            "div.buttons.choice-only", *[_shortcut_button(*each) for each in CHOICE_BUTTONS]
        ),
        page.element(
            "div.buttons.moves", *[_shortcut_button(*each) for each in NAVIGATION_BUTTONS]
        ),
    ]
    return page.element(
        "div.decide.card",
        page.element("div.row", *rows, attributes={"id": "buttons"}),
        page.element("div.mending", attributes={"id": "mending", "hidden": True}),
        _reason_form(),
        attributes={"id": "decide", "hidden": True},
    )


def _shortcut_button(action: str, text: str, key: str) -> page.Html:
    """A button that shows its keyboard shortcut."""
    key_hint = page.element("kbd", key, attributes={"aria-hidden": "true"})
    attributes = {"type": "button", "data-action": action, "aria-keyshortcuts": key}
    return page.element(f"button.to-{action.lower()}", text, " ", key_hint, attributes=attributes)


def _reason_form() -> page.Html:
    """A field for the reason, with buttons for the usual ones."""
    usual = [
        page.element(
            "button",
            page.join_html([page.element("kbd", str(number)), " ", reason]),
            attributes={"type": "button", "data-reason": reason},
        )
        for number, reason in enumerate(DROP_REASONS, start=1)
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


def _completion_message() -> page.Html:
    """Message shown when everything is decided."""
    return page.element(
        "div.card.ending",
        page.element("p.verdict", attributes={"id": "summary"}),
        page.element("p", "Every decision is on disk; you may close this page."),
        page.element("div.buttons", _shortcut_button("undo", "Undo", "u")),
        attributes={"id": "ending", "hidden": True},
    )
