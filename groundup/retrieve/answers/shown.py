"""An answer as text for people, and as JSON for scripts."""

from collections.abc import Mapping
from itertools import zip_longest
from textwrap import indent, shorten
from typing import Any

from groundup.core import Answer, Claim, Quote

NEAREST_CHARACTERS = 200
"""What a refusal shows of the nearest passage."""


def quote_to_json(quote: Quote) -> dict[str, Any]:
    """A quote as JSON values."""
    place = {"path": quote.path, "start": quote.start, "end": quote.end, "text": quote.text}
    return place | ({"page": quote.page} if quote.page else {})


DETAILS = (
    "question", "score", "threshold", "terms", "missing", "unanswered", "found", "nearest",
    "no_quantity", "did_you_mean", "left_out", "left_out_files", "meaning", "related", "reading",
    "continues", "risk", "dropped", "note",
)  # fmt: skip


def answer_to_json(answer: Answer) -> dict[str, Any]:
    """The answer as JSON values; start and end of a quote are bytes of its file.

    missing has the words that are nowhere, unanswered those that the quotes do not answer; a
    refusal the words `found` in the `nearest` quote, and the quantity that it lacks. With an
    encoder, `meaning` is the probability that the place nearest by meaning answers what words alone
    do not; a refusal has that place as `related`. root and changed (files that differ since) are
    null if not compared. A row of a table has its `cells` by column, a list that is longer than
    a quote where it `continues`.
    """
    return {
        "answer": answer.text,
        "refused": answer.refused,
        "claims": [
            {"text": claim.text, "quotes": [quote_to_json(quote) for quote in claim.quotes]}
            | ({"cells": cells} if cells else {})
            for claim, cells in zip_longest(answer.claims, answer.details.get("cells") or ())
        ],
        "root": answer.details.get("root"),
        "changed": [] if answer.refused else answer.details.get("changed"),
        **{name: answer.details.get(name) for name in DETAILS},
    }


def _left_out_line(details: Mapping[str, Any]) -> str:
    if not (count := details.get("left_out")):
        return ""
    files = [shorten(path, NEAREST_CHARACTERS) for path in details.get("left_out_files") or ()]
    more = ", …" if count > len(files) else ""
    named = f" ({', '.join(files)}{more})" if files else ""
    return f"files that were not read: {count}{named}"


def _dropped_line(details: Mapping[str, Any]) -> str:
    """How many claims of a model were left out; what they say may be what a document told it."""
    count = len([each for each in details.get("dropped") or () if each.strip()])
    what = "1 claim that the model wrote is" if count == 1 else f"{count} claims that it wrote are"
    return f"{what} left out: not supported by the quote" if count else ""


def _reading_line(details: Mapping[str, Any]) -> str:
    if details.get("reading") is None:
        return ""
    if (risk := details.get("risk")) is None:
        return "the reader finds no answer in it"
    return f"whether it answers is not sure enough for a risk of {risk:.1%}"


def _place_line(lead: str, place: Mapping[str, Any] | None, rest: str = "") -> str:
    if not place:
        return ""
    text = shorten(place["text"], NEAREST_CHARACTERS, placeholder=" …")
    return f"{lead} is {Quote(**place).location}{rest}\n    {text}"


def answer_to_text(answer: Answer) -> str:
    """The answer as text: every quote with its file, line and byte range below it.

    A refusal lists the words that are not in the index; a truncated question, what was read. The
    last line lists quoted files that changed since they were indexed.
    """
    details = answer.details
    note, meant = details.get("note", ""), details.get("did_you_mean") or {}
    words = ", ".join(f"{word}, not {typed}" for typed, word in meant.items())
    if answer.refused or not answer.claims:
        return _refusal_to_text(answer)
    likely = details.get("meaning")
    by = f"found by meaning, {likely:.0%} likely to answer" if likely is not None else ""
    if (risk := details.get("risk")) is not None:
        by = f"of such answers at most {risk:.1%} are wrong, with 95 % confidence"
    notes = "; ".join(filter(None, (f"answered for {words}" if words else "", by, note)))
    rest = [word for word in details.get("unanswered", ()) if word not in meant]
    footers = [
        f"not answered: {', '.join(rest)}" if rest else "",
        f"({notes})" if notes else "",
        _dropped_line(details),
        f"the list goes on in {details['continues']}" if details.get("continues") else "",
        details.get("since", ""),
    ]
    return "\n\n".join([*map(_claim_to_text, answer.claims), *filter(None, footers)])


def _claim_to_text(claim: Claim) -> str:
    """A claim, the quote below it if a model wrote it, and where that is."""
    quote = claim.quotes[0]
    written = [] if claim.text.startswith(quote.text) else [indent(f"“{quote.text}”", "    ")]
    places = (
        f"    {q.location}" + f" (bytes {q.start}-{q.end})" * (not q.page) for q in claim.quotes
    )
    return "\n".join([indent(claim.text.strip(), "  "), *written, *places])


def _refusal_to_text(answer: Answer) -> str:
    """What was looked for, what was found of it, and what was not."""
    details, meant = answer.details, answer.details.get("did_you_mean") or {}
    missing, found = details.get("missing") or (), details.get("found") or ()
    elsewhere = [t for t in details.get("terms", ()) if t not in (*missing, *found)]
    having = f", with: {', '.join(found)}" if found else ""
    lines = [
        "no word to look for" if details.get("terms") == [] else "",
        f"nowhere: {', '.join(missing)}" if missing else "",
        f"did you mean {', '.join(meant.values())}?" if meant else "",
        _place_line("nearest", details.get("nearest"), having),
        _reading_line(details),
        _place_line("nearest by meaning", details.get("related")),
        f"not near it: {', '.join(elsewhere)}" if found and elsewhere else "",
        f"no {details['no_quantity']} in it" if "no_quantity" in details else "",
        _left_out_line(details),
        _dropped_line(details),
        details.get("note", ""),
    ]
    return "\n  ".join([answer.text, *filter(None, lines)])
