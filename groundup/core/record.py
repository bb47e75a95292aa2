"""Logging: progress and messages for people, events for scripts, metrics on disk.

One interface with four output modes, chosen once by the command line:

    terminal   rich bars with rate and time left, on stderr
    plain      a line at most every ten seconds, when stderr is no terminal
    json       one JSON object per line on stderr, for scripts (`--json`)
    silent     nothing; the default in a library and in tests

Metrics go to JSON lines under an artifact's `log/`, whatever the output mode.
"""

import functools
import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Literal, Protocol, runtime_checkable

from .artifact import write_text

OutputMode = Literal["terminal", "plain", "json", "silent"]

_output_mode: OutputMode = "silent"


def set_output_mode(voice: OutputMode) -> None:
    """Set the output mode of this process."""
    global _output_mode
    _output_mode = voice


def is_json_output() -> bool:
    """Whether this process prints JSON."""
    return _output_mode == "json"


def choose_output_mode(as_json: bool = False) -> OutputMode:
    """Output mode that fits this process's stderr."""
    if as_json:
        return "json"
    return "terminal" if sys.stderr.isatty() else "plain"


CONTROL_CHARACTERS = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]|\r(?!\n)"
)
"""Characters that control a terminal or reverse the direction of text."""


def escape_controls(text: str) -> str:
    r"""Escape terminal control characters, which untrusted text may contain.

    >>> escape_controls("a\x1b[2Jb")
    'a\\x1b[2Jb'
    """
    return CONTROL_CHARACTERS.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def input_lines(complete: Callable[[str], Sequence[str]] | None = None) -> Iterator[str]:
    """Yield the lines of stdin without white space around them, but for empty ones.

    Typed lines can be edited, come again with the arrow keys, and are dropped by Ctrl-C.

    complete: gives the words that begin like the typed one, for the tab key
    """
    is_terminal = sys.stdin.isatty()
    with suppress(ImportError):  # where Python was built without it
        if is_terminal:
            import readline

            if complete is not None:
                found = functools.lru_cache(1)(complete)  # asked for each word in turn
                readline.set_completer_delims(" \t\n?!,;()\"'`")
                readline.set_completer(lambda text, at: (*found(text)[at : at + 1], None)[0])
                readline.parse_and_bind("tab: complete")
    while True:
        try:
            line = input("> " if is_terminal and not is_json_output() else "").strip()
        except EOFError:
            return
        except KeyboardInterrupt:
            if not is_terminal:
                raise
            print(file=sys.stderr)
            continue
        if line:
            yield line


def log(text: str) -> None:
    """Print one line for the user on stderr."""
    if _output_mode == "json":
        log_event("say", text=text)
    elif _output_mode == "terminal":
        from rich.console import Console

        Console(stderr=True, highlight=False).print(escape_controls(text), markup=False)
    elif _output_mode == "plain":
        print(escape_controls(text), file=sys.stderr, flush=True)


def single_line(text: str) -> str:
    r"""Escape control characters and collapse white space to single spaces.

    >>> single_line("a\x1b[2J\nb")
    'a\\x1b[2J b'
    """
    return " ".join(escape_controls(text).split())


def log_event(name: str, /, **fields: Any) -> None:
    """Emit one event in JSON mode; nothing in the other modes."""
    if _output_mode == "json":
        print(json.dumps({"event": name, **fields}, default=str), file=sys.stderr, flush=True)


@runtime_checkable
class ProgressReporter(Protocol):
    """What `progress` yields: call `advance` as work completes."""

    def advance(self, amount: float, **metrics: float) -> None:
        """Add completed work and current values of metrics."""
        ...

    def skip(self, amount: float) -> None:
        """Add completed work that is excluded from the rate, such as a step that compiled."""
        ...


@contextmanager
def progress(
    stage: str, total: float, unit: str, initial: float = 0.0
) -> Iterator[ProgressReporter]:
    """Show progress of `total` units of work under a stage's name until the block ends.

    initial  units completed earlier, which are excluded from the rate
    """
    if _output_mode == "terminal":
        with _rich_progress(stage, total, unit, initial) as bar:
            yield bar
    else:
        yield _ProgressLines(stage, total, unit, initial)


class _ProgressLines:
    """Progress as events or as a line every few seconds."""

    EVERY_SECONDS = 10.0
    MIN_ETA_SHARE, MIN_ETA_SECONDS = 0.05, 60.0
    """The time left is shown from this share, or from 1 % after so many seconds: earlier, process
    start and the first large file distort the rate."""

    def __init__(self, stage: str, total: float, unit: str, before: float = 0.0) -> None:
        self.stage, self.total, self.unit = stage, total, unit
        self.before, self.done, self.started = before, before, time.monotonic()
        self.last_logged = self.started

    def skip(self, amount: float) -> None:
        """Count an amount as done and measure the rate from here on."""
        self.done += amount
        self.before, self.started = self.done, time.monotonic()

    def advance(self, amount: float, **metrics: float) -> None:
        """Count an amount as done and report progress and rate every few seconds."""
        self.done += amount
        now = time.monotonic()
        if _output_mode == "silent" or (
            now - self.last_logged < self.EVERY_SECONDS and self.done < self.total
        ):
            return
        self.last_logged = now
        rate = (self.done - self.before) / max(now - self.started, 1e-9)
        measured = (self.done - self.before) / max(self.total - self.before, 1e-9)
        is_slow = now - self.started >= self.MIN_ETA_SECONDS and measured >= 0.01
        is_known = measured >= self.MIN_ETA_SHARE or is_slow
        left = max(self.total - self.done, 0) / max(rate, 1e-9) if is_known else None
        if _output_mode == "json":
            log_event(
                "progress", stage=self.stage, done=self.done, total=self.total, unit=self.unit,
                per_second=rate, left_seconds=left, **metrics,
            )  # fmt: skip
            return
        numbers = "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        share = min(100, 100 * self.done / max(self.total, 1))  # a total may be estimated
        speed = f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"
        eta = f"{format_duration(left)} left  " if left is not None else ""
        log(f"{self.stage:<10} {share:3.0f} %  {speed} {self.unit}/s  {eta}{numbers}".rstrip())


class _ProgressBar:
    """Progress as a rich bar."""

    def __init__(self, bars: Any, task: Any) -> None:
        self.bars, self.task = bars, task

    def advance(self, amount: float, **metrics: float) -> None:
        numbers = "  ".join(f"{name} {value:.3f}" for name, value in metrics.items())
        self.bars.update(self.task, advance=amount, numbers=numbers)

    def skip(self, amount: float) -> None:
        done = next(task.completed for task in self.bars.tasks if task.id == self.task)
        self.bars.reset(self.task, completed=done + amount)


@contextmanager
def _rich_progress(stage: str, total: float, unit: str, before: float) -> Iterator[_ProgressBar]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Any) -> Text:
            return Text(f"{task.speed or 0:,.0f} {unit}/s", style="dim")

    columns = (
        TextColumn("{task.description:<10}"), BarColumn(bar_width=22),
        TextColumn("{task.percentage:3.0f} %"), Rate(), TimeRemainingColumn(),
        TextColumn("{task.fields[numbers]}"),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        yield _ProgressBar(bars, bars.add_task(
            stage, total=total, numbers="",
            completed=before,  # pyright: ignore[reportArgumentType]  # its tasks count in floats
        ))  # fmt: skip


class MetricsFile:
    """A JSON-lines file of metrics; each line is flushed, a torn last line is dropped on reopen."""

    def __init__(
        self, path: Path, keep: Callable[[dict[str, Any]], bool] = lambda row: True
    ) -> None:
        """Open `path` for appending, keeping the earlier rows for which `keep` holds."""
        rows = [row for row in read_metrics(path) if keep(row)] if path.exists() else []
        # Rewritten atomically: a full disk leaves the existing rows.
        write_text(path, "".join(json.dumps(row) + "\n" for row in rows))
        self.file: IO[str] = open(path, "a")  # noqa: SIM115  closed by close()
        self.listeners: list[Callable[[dict[str, Any]], None]] = []
        """Called with each row after it was written."""

    def write(self, **row: Any) -> None:
        """Append one row."""
        self.file.write(json.dumps(row) + "\n")
        self.file.flush()
        for listener in self.listeners:
            listener(row)

    def close(self) -> None:
        """Close the file."""
        self.file.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Read the rows of a metrics file, skipping a torn last line."""
    rows = []
    for line in path.read_text().splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows


def format_duration(seconds: float) -> str:
    """Format a duration.

    >>> format_duration(7.4), format_duration(95), format_duration(7300)
    ('7 s', '1 min 35 s', '2 h 1 min')
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
    return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:.0f} min"


def format_bytes(count: float) -> str:
    """Format a number of bytes.

    >>> format_bytes(512), format_bytes(11_400_000)
    ('512 B', '11.4 MB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
