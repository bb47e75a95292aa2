"""Reviewing in a terminal of 80 columns: one item per screen, one key per decision.

If stdin is no terminal, each line is a decision: a key, then its argument.

    a                          accept                 s   skip: it comes again at the end
    m question=… answer=…      modify one or both     u   undo the last decision
    d the reason               drop                   q   quit; all decisions are kept
    h                          list the keys

Answers that are compared are ranked by their numbers, best first: `2` or `2>1`, `=` if all are
equally good, `2>1=3`; the reason follows.
"""

import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from shutil import get_terminal_size

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.text import Text

from groundup.core import ConfigError, DataError

from .sheet import ReviewItem, ReviewSheet

MAX_COLUMNS = 80
CONTEXT_CHARACTERS = 1500
"""Characters of a passage that are shown around the answer's span."""
SAMPLE_KEYS = "a accept   m modify   d drop   s skip   u undo   h help   q quit"
PAIR_KEYS = "1 or 2 better   = tie   r reason   d drop   s skip   u undo   h help   q quit"
RANKING_KEYS = "2>1=3 ranks   = tie   r reason   d drop   s skip   u undo   h help   q quit"
COMPARISON_HELP = (
    "The number of the better answer chooses it; of several, their numbers rank them, best first, "
    "as in 2>1=3; = says that all are equally good; r takes the reason of the next decision; d "
    "drops them, with a reason; s skips, it comes again at the end; u takes the last decision "
    "back; q ends, all decided is kept. In a file each line is one of them: `1 REASON`, "
    "`2>1=3 REASON`, `d REASON`."
)
SAMPLE_HELP = (
    "a accepts it is; m modifies question or answer; d drops it, with a reason; s skips it, it "
    "comes again at the end; u takes the last decision back; q ends, all decided is kept. In a "
    "file each line is one of them: `d REASON`, `m question=TEXT answer=TEXT`."
)
FIELD = re.compile(r"(?:^|(?<=\s))(question|answer)=")
BAR_WIDTH = 20
ALLOWED_CONTROLS = "\n\t\u200c\u200d"
"""Non-printable characters that are legitimate in text: line ends, tabs, joiners."""


class LineInput:
    """Input from the lines of a stream."""

    def __init__(self, stream: Iterable[str]) -> None:
        self.stream, self.number, self.text = iter(stream), 0, ""

    def read_key(self) -> str:
        """The key of the next line that is not empty; q at the end."""
        for line in self.stream:
            self.number += 1
            if line.strip():
                key, _, self.text = line.strip().partition(" ")
                return key
        return "q"

    def read_order(self, item: ReviewItem, key: str) -> str:
        """The ranking, which is the key."""
        return key

    def read_reason(self, usual: Sequence[str]) -> str:
        """The text after the key."""
        return self.text.strip()

    def read_correction(self, item: ReviewItem) -> dict[str, object]:
        """Parse `question=…`, `answer=…` or both."""
        before, *rest = FIELD.split(self.text.strip())
        fields = dict(zip(rest[::2], rest[1::2], strict=True))
        if before or not fields or len(fields) < len(rest) // 2:
            raise DataError("Modify with `m question=… answer=…`, or one of the two, each once.")
        changed: dict[str, object] = {name: text.strip() for name, text in fields.items()}
        if "answer" in changed:
            changed["references"] = [changed.pop("answer")]
        return changed


class KeyInput:
    """Input from single keys of a terminal."""

    text = ""
    """The reason of the next decision."""

    def read_key(self) -> str:
        """One key of the terminal; Ctrl-C interrupts, Ctrl-D is q."""
        import termios
        import tty

        handle = sys.stdin.fileno()
        before = termios.tcgetattr(handle)
        try:
            tty.setcbreak(handle, termios.TCSADRAIN)  # does not discard input typed ahead
            key = os.read(handle, 1).decode(errors="ignore")
        finally:
            termios.tcsetattr(handle, termios.TCSADRAIN, before)
        return "q" if key in ("", "\x04", "\0") else key  # end of input

    def read_order(self, item: ReviewItem, key: str) -> str:
        """The ranking that begins with the key: of two answers, the key alone."""
        if len(item.names) == 2 or key == "=":
            return key
        return key + input(f"\nranking, best first, as in 2>1=3: {key}")

    def read_reason(self, usual: Sequence[str]) -> str:
        """Read a reason: a number of the usual ones, or text."""
        print()
        for number, reason in enumerate(usual, start=1):
            print(f"  {number}  {reason}")
        hint = "number or words; empty goes back" if usual else "of the next decision"
        typed = input(f"reason ({hint}): ").strip()
        if typed.isdecimal() and 1 <= int(typed) <= len(usual):
            return usual[int(typed) - 1]
        return typed

    def read_correction(self, item: ReviewItem) -> dict[str, object]:
        """Let the user change the fields in $VISUAL or $EDITOR, else by prompts."""
        editor = os.environ.get("VISUAL") or os.environ.get("EDITOR")
        if editor:
            return _edit_in_editor(item, editor)
        print()
        question = _prompt_with_default("question", item.question)
        answers = [_prompt_with_default("answer", answer) for answer in item.answers or ("",)]
        return {"question": question, "references": [answer for answer in answers if answer]}


def _prompt_with_default(name: str, text: str) -> str:
    return input(f"{name} [{text}]: ").strip() or text


FORM_HEADINGS = ("# Question", "# Answer")


def _edit_in_editor(item: ReviewItem, editor: str) -> dict[str, object]:
    parts = (f"{FORM_HEADINGS[1]}\n{answer}\n" for answer in item.answers or ("",))
    text = "\n".join([f"{FORM_HEADINGS[0]}\n{item.question}\n", *parts])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "sample.md"
        file.write_text(text, encoding="utf-8")
        try:
            done = subprocess.run([*shlex.split(editor), str(file)], check=False)
        except (OSError, ValueError) as error:
            raise ConfigError(f"The editor {editor!r} did not start ({error}).") from None
        if done.returncode:
            raise DataError(f"The editor {editor!r} ended with {done.returncode}; nothing changed.")
        return _parse_form(file.read_text(encoding="utf-8"))


def _parse_form(text: str) -> dict[str, object]:
    """Parse question and answers from an edited form.

    >>> _parse_form("# Question\\nWhy?\\n\\n# Answer\\nSo.\\n")
    {'question': 'Why?', 'references': ['So.']}
    """
    parts: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        if line.strip() in FORM_HEADINGS:
            parts.append((line.strip(), []))
        elif parts:
            parts[-1][1].append(line)
        elif line.strip():
            raise DataError(f"The form begins with {FORM_HEADINGS[0]!r}; got {line[:40]!r}.")
    questions = ["\n".join(lines).strip() for head, lines in parts if head == FORM_HEADINGS[0]]
    references = ["\n".join(lines).strip() for head, lines in parts if head == FORM_HEADINGS[1]]
    if len(questions) != 1:
        raise DataError(f"The form needs one line {FORM_HEADINGS[0]!r}; it has {len(questions)}.")
    return {"question": questions[0], "references": [text for text in references if text]}


def open_reviewer_input() -> KeyInput | LineInput:
    """The keys of a terminal, or the lines of a file."""
    return KeyInput() if sys.stdin.isatty() and sys.stdout.isatty() else LineInput(sys.stdin)


def review_in_terminal(sheet: ReviewSheet, keyboard: KeyInput | LineInput) -> None:
    """Show the items and record decisions until all are done or the reviewer quits.

    A wrong key is reported and asked again; a wrong line of a file raises DataError, because the
    following lines would apply to the wrong samples. Earlier decisions are kept.
    """
    is_terminal = isinstance(keyboard, KeyInput)
    columns = min(MAX_COLUMNS, get_terminal_size().columns)
    console = Console(width=columns, highlight=False, soft_wrap=False)
    sheet.is_timed = is_terminal
    note = ""
    while item := sheet.current:
        if is_terminal:
            console.clear()
        below = [f"\n{note}"] if note and is_terminal else []
        _print_elements(console, *_item_screen(sheet, item), *below)
        if (key := keyboard.read_key()) == "q":
            return
        try:
            note = _apply_key(sheet, item, key, keyboard)
        except (DataError, ConfigError) as error:
            if isinstance(keyboard, LineInput):
                raise DataError(f"Line {keyboard.number}: {error}") from None
            note = str(error)
        if not is_terminal:
            _print_elements(console, note)


def _print_elements(console: Console, *parts: RenderableType) -> None:
    """Print elements below each other, without trailing blanks."""
    with console.capture() as output:
        console.print(*parts, sep="\n", markup=False)
    print("\n".join(line.rstrip() for line in output.get().splitlines()), flush=True)


def _apply_key(
    sheet: ReviewSheet, item: ReviewItem, key: str, keyboard: KeyInput | LineInput
) -> str:
    if key in ("h", "?"):
        return COMPARISON_HELP if item.names else SAMPLE_HELP
    if key == "s":
        sheet.skip(item.subject)
        return "Skipped; it comes again at the end."
    if key == "u":
        return "Taken back." if sheet.undo() else "There is nothing to take back."
    if key == "d":
        sheet.decide(item.subject, "drop", reason=keyboard.read_reason(item.drop_reasons))
        return "Dropped."
    if item.names:
        return _apply_comparison_key(sheet, item, key, keyboard)
    if key == "a":
        sheet.decide(item.subject, "accept", reason=keyboard.text.strip())
        return "Accepted."
    if key == "m":
        sheet.decide(item.subject, "modify", fields=keyboard.read_correction(item))
        return "Modified."
    raise DataError(f"There is no key {key!r}; keys: {SAMPLE_KEYS}")


def _apply_comparison_key(
    sheet: ReviewSheet, item: ReviewItem, key: str, keyboard: KeyInput | LineInput
) -> str:
    if key == "r":
        keyboard.text = keyboard.read_reason(())
        return f"Reason: {keyboard.text}"
    if not key.startswith(("=", *"123456789")):
        raise DataError(f"There is no key {key!r}; keys: {_keys_of(item)}")
    order, reason = keyboard.read_order(item, key), keyboard.text.strip()
    sheet.decide(item.subject, "rank", reason=reason, fields={"order": order})
    keyboard.text = ""
    return "Recorded."


def _keys_of(item: ReviewItem) -> str:
    if not item.names:
        return SAMPLE_KEYS
    return PAIR_KEYS if len(item.names) == 2 else RANKING_KEYS


def _item_screen(sheet: ReviewSheet, item: ReviewItem) -> Iterator[RenderableType]:
    """The elements of an item's screen, from the progress bar to the keys."""
    done, total = sheet.progress
    bar = "█" * (done * BAR_WIDTH // max(total, 1))
    kind = f"   {_replace_controls(item.kind)}" if item.kind else ""
    skipped = f"   {len(sheet.skipped)} skipped" if sheet.skipped else ""
    yield Text(f"{done + 1} of {total}  {bar:·<{BAR_WIDTH}}{kind}{skipped}", style="dim")
    for turn in item.conversation:
        yield from _titled_text("Question" if turn.role == "user" else turn.role, turn.content)
    for number, answer in enumerate(item.answers, start=1):
        yield from _titled_text("Answer" if len(item.answers) == 1 else f"Answer {number}", answer)
    if not item.answers:
        yield from _titled_text("Answer", "(none: it should be refused)")
    if item.passage:
        yield from _titled_text(f"Source  {item.source}".rstrip(), _highlight_answer(item))
    yield ""
    yield Text(_keys_of(item), style="dim")


def _titled_text(name: str, text: str | Text) -> Iterator[RenderableType]:
    yield ""
    yield Text(_replace_controls(name), style="bold")
    yield Padding(text if isinstance(text, Text) else Text(_replace_controls(text)), (0, 0, 0, 2))


def _highlight_answer(item: ReviewItem) -> Text:
    start, end = item.span or (0, 0)
    first = max(0, start - CONTEXT_CHARACTERS)
    last = min(len(item.passage), end + CONTEXT_CHARACTERS)
    before, inside, after = (
        _replace_controls(item.passage[slice(*bounds)])
        for bounds in ((first, start), (start, end), (end, last))
    )
    return Text.assemble(
        "…" if first else "", before,
        (f"«{inside}»", "reverse") if inside else "",
        after, "…" if last < len(item.passage) else "",
    )  # fmt: skip


def _replace_controls(text: str) -> str:
    r"""Replace characters that control a terminal or hide or reverse text.

    >>> _replace_controls("a\x1b[2Jb")
    'a�[2Jb'
    """
    return "".join(
        c if c.isprintable() or c in ALLOWED_CONTROLS else "\N{REPLACEMENT CHARACTER}" for c in text
    )
