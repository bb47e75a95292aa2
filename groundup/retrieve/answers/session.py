"""A session of questions to one index: follow-ups, passages opened, history, completion of names.

> What is the default of MaxArraySize?
> and its maximum?                        asks for MaxArraySize again
> and the minimum?                        asks the last question of another thing
> open 1                                  the passage of the first quote, in its document
> wrong                                   judges the last answer, for `groundup calibrate`
> history
"""

import contextlib
import json
import re
import sys
import webbrowser
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote as percent_encode

from groundup.core import Answer, ArtifactError, ConfigError, GroundupError, Quote, record
from groundup.documents import file_of

from ..calibration.promise import read_calibration, record_verdict
from ..search import OpenIndex, open_index
from ..wording.language import word_pattern
from ..wording.question import PASSAGE_CREDIT, term_credit, text_terms
from .answer import NOT_FOUND, answer_question, ask
from .shown import answer_to_json, answer_to_text

HELP = (
    "Ask a question; `and its …?` asks of the same thing. open N shows quote N in its document, "
    "right and wrong judge the last answer, history lists the questions, Ctrl-D or quit leaves."
)
PREPOSITION = re.compile(r"on|in|at|from|until|before|after|during|am|im|um|le|en|el", re.I)
MAX_FOLLOW_UP_TERMS = 2
"""Words of a question that follows for each sign that it does: it begins so, it has a pronoun."""
SHOWN_CHARACTERS = 1_500
Reply = Answer | str | list[str] | ConfigError | ArtifactError


class _Run(NamedTuple):
    """Neighbouring words of a question."""

    start: int
    middle: int
    """Where the last of several words begins, with the space before it; otherwise the end."""
    end: int
    is_named: bool
    is_number: bool


def _words_before(question: str, run: _Run) -> list[str]:
    """The two words before a run; "an axe" is like "a sword"."""
    return _with_article(question[: run.start].lower(), "a ").split()[-2:]


def _with_article(text: str, like: str) -> str:
    """A text whose "a" or "an" at the end is that of another text, if both end so."""
    article = re.search(r"\ban? \Z", like)
    return re.sub(r"\ban? \Z", article[0], text) if article else text


@dataclass
class Session:
    """Questions to an open index, and what the last answer quoted."""

    index: OpenIndex
    limit: int = 3
    out: Path | None = None
    """Where verdicts are kept."""
    subject: str = ""
    """Words of what the last question was about."""
    last: str = ""
    """The last question that was answered, in full; the first until then."""
    quotes: list[Quote] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)
    is_refused: bool = False
    """Whether the last question was refused."""
    risk: float | None = None
    """What was promised of the last answer."""

    def ask(self, question: str) -> Answer:
        """Answer a question; one that only says "and its …?" or "and the …?" is completed first."""
        follow_up = word_pattern("follow_up", end=r"\s")
        pronoun = word_pattern("pronoun", r"\b(?!(?<=\bsein)\W*$|(?<=\bzijn) (?:de|het|een)\b)")
        is_of_names, is_first = pronoun.search(question) is not None, not self.questions
        signs = bool(follow_up.match(question.strip())) + is_of_names
        follows = 0 < signs and len(self.index.parse(question).terms) <= MAX_FOLLOW_UP_TERMS * signs
        full = self._completions(question, is_of_names) if follows and not is_first else [question]
        answers = [(each, answer_question(self.index, each, self.limit)) for each in full]
        if follows and not is_of_names and not is_first:
            answers = [(each, self._of_new_words(question, found)) for each, found in answers]
        asked, answer = max(answers, key=lambda p: (not p[1].refused, p[1].details["score"]))
        if follows:
            none = "no question came before it: it was asked of all documents"
            answer.details["note"] = none if is_first else f"asked as: {asked}"
        if not follows or not is_of_names or is_first:
            self.subject = self._subject(asked, answer.details.get("did_you_mean") or {})
        if not (answer.refused and follows) or is_first:  # what follows on nothing stays in mind
            self.last = asked
        self.questions.append(asked)
        self.quotes = [claim.quotes[-1] for claim in answer.claims]  # not the head of its table
        self.is_refused, self.risk = answer.refused, answer.details.get("risk")
        return answer

    def _of_new_words(self, question: str, answer: Answer) -> Answer:
        """An answer whose first quote has a word that a follow-up asks anew, or a refusal."""
        new = [term for term in self.index.parse(question).terms if term.share == 1.0]
        details, passage = answer.details, answer.details.get("passage")
        if answer.refused or details.get("did_you_mean") or not new or passage is None:
            return answer  # what is found by meaning has no passage of its words
        quoted = (quote.text for quote in answer.claims[0].quotes)
        language = self.index.entries[passage.document].language
        said = text_terms(" ".join((*quoted, *passage.headings, passage.path)), language)
        is_of = any(term_credit(term, said) > PASSAGE_CREDIT for term in new)
        return answer if is_of else Answer(NOT_FOUND, refused=True, details=details)

    def record_verdict(self, verdict: str) -> str:
        """Keep that the last answer was right or wrong.

        Raises ConfigError if there is none, or nothing to keep it in.
        """
        if not self.quotes or self.out is None:
            raise ConfigError(f"There is no answer that could be {verdict}.")
        quote, is_right = self.quotes[0].text, verdict == "right"
        kept = record_verdict(self.out, self.questions[-1], quote, is_right, self.risk)
        if self.risk is None or not read_calibration(self.out)["withdrawn"]:
            return kept
        self.index = replace(self.index, dial=None)
        return f"{kept}; from here on nothing is promised"

    def _completions(self, question: str, is_of_names: bool) -> list[str]:
        """What a question that follows on the last may ask in full, the likeliest first.

        "its height" is asked of what the last question named. The words of "and the pier?" or "and
        in 1999?" replace a run of words of the last question, names those of a name, behind the
        same word if it is there; the last word of the run may be a verb: "When was the mill built?"
        """
        new, last = self._runs(question), self.last
        is_named = any(run.is_named for run in new)
        before = _words_before(question, new[0]) if new else []
        runs = self._runs(last)
        alike = [run for run in runs if new and run[3:] == (is_named, new[0].is_number)]
        is_typed_as_word = new and question[new[0].start].islower()  # "and antifouling?"
        alike = alike or (runs if is_typed_as_word or new and len(runs) == 1 else [])
        after = [(run, _words_before(last, run)) for run in alike]
        same = [run for run, words in after if words == before]  # "of the"
        same = same or [run for run, words in after if words[-1:] == before[-1:]] or alike
        is_property = all("_" in question[run.start : run.end] for run in new)  # its max_length
        if is_named and (is_of_names and not is_property or not same):
            return [question]
        if is_of_names or not same:  # the last of several words may be a verb
            subjects = (self.subject, self.subject.rpartition(" ")[0] or self.subject)
            return [f"{question.rstrip(' ?!.')} ({each})" for each in subjects]
        phrase = question[new[0].start : new[-1].end]
        ordered = same[::-1] if is_named else same
        link = next((w for w in before if w == "a" or word_pattern("of").fullmatch(w)), "")
        is_kept = link and f" {link} " not in last  # "and for a child?": "the adult fare"
        is_whole = " " in phrase or link not in ("", "a") and not is_kept
        cuts = list[tuple[int, int]]()
        for run in ordered:
            is_last = is_kept and not last[run.end :].strip("?!. ")
            first = last[run.start : run.end].split()[0]
            ends = {run.middle, run.end, run.start + len(first) if is_last else run.end}
            cuts += [(run.start, end) for end in sorted(ends, reverse=is_whole or run.is_named)]
        begin = word_pattern("follow_up").sub("", question[: new[0].start])
        whole = [question] if word_pattern("question").search(begin) else []  # "and who runs it?"
        if before and PREPOSITION.fullmatch(before[-1]) and f" {before[-1]} " not in last:
            whole.append(f"{last.rstrip(' ?!.')} {before[-1]} {phrase}?")  # "and on Sundays?"
        lead, sounded = question[: new[0].start], "an " if phrase[:1] in "aeioAEIO" else "a "
        lead = lead if re.search(r"\ban? \Z", lead) else sounded
        full = [_with_article(last[:start], lead) + phrase + last[end:] for start, end in cuts]
        measures = [self.index.parse(each).measure.name for each in (last, *full)]  # still a cost
        kept = [x for x, name in zip(full, measures[1:], strict=True) if name == measures[0]]
        return whole + [re.sub(r"\b(\w+) \1\b", r"\1", each) for each in kept or full]

    def _runs(self, question: str) -> list[_Run]:
        terms = self.index.parse(question).terms
        found = ((re.search(rf"(?<!\w){re.escape(t.text)}(?!\w)", question), t) for t in terms)
        runs: list[_Run] = []
        places = [(match.span(), term) for match, term in found if match]
        for (start, end), term in sorted(places, key=lambda place: place[0]):
            is_named = (term.is_name or term.is_pair) and self.index.has(term)
            run = _Run(start, end, end, is_named, term.text.isdigit())
            gap = question[runs[-1].end : start] if runs else "-"
            is_alike = runs and (run[3:] == runs[-1][3:] or runs[-1].is_named and term.is_numbered)
            is_cut = runs and question[start:end].isupper() and runs[-1].is_named  # Miele PW 413
            if runs and start < runs[-1].end or gap.isspace() and (is_alike or is_cut):
                middle = runs[-1].end if gap else runs[-1].middle  # "PW 413" overlaps "PW"
                runs[-1] = runs[-1]._replace(middle=middle, end=max(end, runs[-1].end))
            else:
                runs.append(run)
        return runs

    def _subject(self, question: str, meant: Mapping[str, str]) -> str:
        """What a question names, else what stands behind its last "of", else all of it."""
        runs = self._runs(question)
        of = max((match.end() for match in word_pattern("of").finditer(question)), default=0)
        behind = [run for run in runs if run.start >= of] or runs
        runs = [run for run in runs if run.is_named] or behind
        words = " ".join(question[run.start : run.end] for run in runs).split()
        return " ".join(meant.get(word, word) for word in words)

    def show(self, number: int) -> str:
        """The passage of a quote with what stands around it; HTML opens in the browser as well.

        Raises ConfigError if the last answer has no such quote.
        """
        if not 1 <= number <= len(self.quotes):
            raise ConfigError(f"There is no quote {number}; the answer has {len(self.quotes)}.")
        quote = self.quotes[number - 1]
        entry = next(e for e in self.index.entries.values() if e.path == quote.path)
        document = self.index.read_document(entry.id)
        text, at, half = document.text, document.find(quote), SHOWN_CHARACTERS // 2
        start, end = max(0, at - half), at + len(quote.text)
        if quote.path.lower().endswith((".html", ".htm", ".xhtml")):
            self._open_browser(quote)
        before = re.sub(r"\A\S*\s", "", text[start:at]) if start else text[:at]  # whole words
        return f"{quote.location}\n\n{before}»{quote.text}«{text[end : end + half]}".rstrip()

    def _open_browser(self, quote: Quote) -> None:
        path = Path(self.index.root or "") / file_of(quote.path, lambda name: True)
        if not self.index.root or not path.is_file() or not sys.stdout.isatty():
            return
        words = percent_encode(" ".join(quote.text.split()[:8]), safe="")
        with contextlib.suppress(webbrowser.Error):
            webbrowser.open(f"{path.absolute().as_uri()}#:~:text={words}")

    def complete(self, prefix: str) -> list[str]:
        """Names and words of the documents that begin so, the most frequent first."""
        names = self.index.lexical.words_with_prefix(prefix, "names") if prefix else []
        words = self.index.lexical.words_with_prefix(prefix.lower()) if len(prefix) > 2 else []
        spelled = [self.index.word_of(stem, stem) or stem for stem, _ in words[:20]]
        return list(dict.fromkeys([*(name for name, _ in names[:20]), *spelled]))

    def reply(self, line: str) -> Reply:
        """What a typed line gives: an answer, a passage, the list of questions, or an error."""
        known: dict[str, Reply] = {"history": list(self.questions), "help": HELP, "?": HELP}
        try:
            if match := re.fullmatch(r"open\s+(\d+)|(right|wrong)", line):
                return self.record_verdict(match[2]) if match[2] else self.show(int(match[1]))
            if re.fullmatch(r"open\b.{0,12}", line) and not line.endswith("?"):
                raise ConfigError(f"{line!r} names no quote; to open the second: open 2")
            return known[line] if line in known else self.ask(line)
        except (ConfigError, ArtifactError) as error:  # such as an index that was updated twice
            return error


def ask_questions(
    question: str | None = None,
    index: Path | None = None,
    *,
    limit: int = 3,
    only: list[str] | None = None,
    risk: str | None = None,
    model: str = "",
    prompt: Path | None = None,
) -> "Answer | SessionSummary":
    """Answer a question from an index with quotes, or refuse; without a question, a session begins.

    In a session, "and its maximum?" asks of what the question before was about, `open 2` shows the
    second quote in its document, and names are completed with the tab key. With --json each line of
    input gives one line of JSON. Exit code 4 for a refusal, of the last question of a pipe.

    question  what you want to know, in words that the documents may use; none: a session
    index     directory that `groundup index` made
    limit     maximum number of quotes
    only      ask only documents whose path matches, such as 'guides/*', or that are in
              language=german; may be given again
    risk      answer only what is right at this rate: 5% as `groundup calibrate` promised it
    model     directory of a language model that writes the answer, each claim with its quote;
              or URL#NAME of one on an OpenAI-compatible server
    prompt    file of what that model is asked, in typed parts

    Raises ConfigError for a limit below 1 or if no document matches, and ArtifactError for a
    missing or damaged index.
    """
    if index is None:
        raise ConfigError(
            "--index is missing (directory that `groundup index` made). See `groundup ask --help`."
        )
    if question is not None:
        return ask(
            question, index, limit=limit, only=only or (), risk=risk, model=model, prompt=prompt
        )
    opened = open_index(index).only(only or ()).at_risk(risk, index).written_by(model, prompt)
    return run_session(opened, limit, index)


class SessionSummary(NamedTuple):
    """How a session ended; its replies are printed already."""

    questions: int
    exit_code: int
    """4 if the last question was refused and the input was no terminal, else 0."""
    is_printed = True


def run_session(index: OpenIndex, limit: int = 3, out: Path | None = None) -> SessionSummary:
    """Read questions line by line until the end of the input, and print their answers."""
    session = Session(index, limit, out)
    is_terminal, as_json = sys.stdin.isatty(), record.is_json_output()
    if is_terminal:
        record.log(HELP)
    for line in record.input_lines(session.complete):
        if line in ("quit", "exit", "/quit"):
            break
        reply = session.reply(line)
        asked = "" if is_terminal else f"> {line}\n"
        text = json.dumps(reply_to_json(reply), ensure_ascii=False) if as_json else ""
        print(text or record.escape_controls(asked + reply_to_text(reply)), flush=True)
    is_refused = session.is_refused and not is_terminal
    return SessionSummary(len(session.questions), 4 if is_refused else 0)


def reply_to_text(reply: Reply) -> str:
    """A reply as people read it."""
    if isinstance(reply, Answer):
        return answer_to_text(reply)
    if isinstance(reply, list):
        return "\n".join(f"{n} {text}" for n, text in enumerate(reply, 1)) or "no question yet"
    return str(reply)


def reply_to_json(reply: Reply) -> dict[str, Any]:
    """A reply as JSON values: an answer, or `questions`, `error` or `text`."""
    if isinstance(reply, Answer):
        return answer_to_json(reply)
    if isinstance(reply, list):
        return {"questions": reply}
    return {"error" if isinstance(reply, GroundupError) else "text": str(reply)}
