"""What the docs say is so: examples run, commands exist, links lead somewhere."""

import ast
import doctest
import importlib
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

import groundup
from groundup.cli import _dispatch
from groundup.verbs import VERBS
from tests.checking import unchecked

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("**/*.md")])
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"(?:^|[`$(|;]|&&)\s*(?:\S*/|python -m )?groundup[ \t]+([a-z][^\n`|;#]*)")
NAMES = {verb.name for verb in VERBS}
# A line of a block or a table that shows what is planned says so.
PLANNED = "to come"
WITH_EXAMPLES = sorted(
    path.relative_to(ROOT)
    for path in (ROOT / "groundup").rglob("*.py")
    if re.search(r"^\s*>>> ", path.read_text(encoding="utf-8"), re.MULTILINE)
)


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix() if path.is_absolute() else path.as_posix()


class Command(NamedTuple):
    """A command line that a page shows."""

    page: str
    words: list[str]

    @property
    def verb(self) -> str:
        """The verb, of one or two words; empty if the command line has no such verb."""
        starts = (" ".join(self.words[:count]) for count in (2, 1))
        return next((start for start in starts if start in NAMES), "")


@cache
def commands() -> tuple[Command, ...]:
    """Every `groundup VERB …` in code of the README and the docs; the log is history."""
    found = []
    for page in (page for page in PAGES if "log" not in page.parts):
        text = page.read_text(encoding="utf-8")
        text = re.sub(r"\\\n\s*", " ", text)  # a command continued on the next line
        code = [body for language, body in FENCE.findall(text) if language != "python"]
        code += [f"`{span}`" for span in re.findall(r"`([^`\n]+)`", FENCE.sub("", text))]
        for line in "\n".join(code).splitlines():
            if PLANNED not in line:
                shown = COMMAND.findall(line.partition(" #")[0])
                found += [Command(name(page), rest.split()) for rest in shown]
    return tuple(found)


def run_example(text: str, names: dict, where: str, line: int) -> None:
    """Run the `>>>` lines of a text, which may add to `names`; fail with what differed."""
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    runner, told = doctest.DocTestRunner(optionflags=flags, verbose=False), []
    example = doctest.DocTestParser().get_doctest(text, names, where, where, line)
    runner.run(example, out=told.append, clear_globs=False)
    names |= example.globs
    assert runner.tries and not runner.failures, "".join(told)


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=name)
def test_examples_in_docstrings_run(path):
    # Read from the source: doctest's own finder overlooks functions whose shapes are checked.
    module = importlib.import_module(".".join(path.with_suffix("").parts).removesuffix(".__init__"))
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node, clean=False) or ""
            if ">>> " in text:
                run_example(text, dict(vars(module)), f"{path}", node.body[0].lineno - 1)


@pytest.mark.parametrize(
    "page", [page for page in PAGES if "```python" in page.read_text(encoding="utf-8")], ids=name
)
def test_python_in_pages_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    text = page.read_text(encoding="utf-8")
    for match in FENCE.finditer(text):
        if match[1] == "python":
            line = text.count("\n", 0, match.start()) + 1
            with unchecked():  # as users run them
                if ">>> " in match[2]:
                    run_example(match[2], names, name(page), line)
                else:
                    exec(compile("\n" * line + match[2], name(page), "exec"), names)


def test_pictures_and_links_are_local_and_there():
    wrong = []
    for page in PAGES:
        text = FENCE.sub("", page.read_text(encoding="utf-8"))
        text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
        pictures = re.findall(r"!\[[^]]*\]\(([^)\s]+)", text)
        pictures += re.findall(r"<img[^>]+src=[\"']([^\"']+)", text)
        wrong += [f"{name(page)}: outside picture {p}" for p in pictures if "://" in p]
        links = [*pictures, *re.findall(r"(?<!!)\[[^]]*\]\(([^)\s]+)", text)]
        for link in links:
            target = link.partition("#")[0]
            if target and "://" not in link and not link.startswith("mailto:"):
                if not (page.parent / target).exists():
                    wrong.append(f"{name(page)}: {link} leads nowhere")
    assert not wrong, "\n".join(wrong)


def test_every_room_has_a_page_and_its_line_in_the_readme():
    built = [room for room in groundup.ROOMS if (ROOT / "groundup" / room / "__init__.py").exists()]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [
        room for room in built if not (ROOT / "docs" / "reference" / f"{room}.md").is_file()
    ] == []
    assert [room for room in built if f"{room}/" not in readme] == []


def test_verbs_lead_to_functions_with_docstrings():
    wrong = []
    for verb in VERBS:
        module, _, function = verb.target.partition(":")
        found = getattr(importlib.import_module(module), function, None)
        if not callable(found) or not found.__doc__:
            wrong.append(f"{verb.name}: {verb.target} is no function with a docstring")
        is_beside = module == "groundup.flags"  # completion, which needs the table of verbs
        if not (is_beside or module.split(".")[1] in groundup.ROOMS) or not verb.help:
            wrong.append(f"{verb.name}: {verb.target} lies in no room, or there is no help")
    assert not wrong, "\n".join(wrong)


def test_commands_in_pages_exist():
    wrong = [f"{c.page}: groundup {' '.join(c.words)}" for c in commands() if not c.verb]
    assert not wrong, "\n".join(wrong)


def test_every_verb_is_told_in_a_page():
    assert sorted(NAMES - {c.verb for c in commands()}) == []


@pytest.mark.parametrize("verb", sorted({c.verb for c in commands()} - {""}))
def test_flags_in_pages_exist(verb, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")
    shown = [command for command in commands() if command.verb == verb]
    # The flags of `run` are those of the recipe that follows it.
    starts = {" ".join(c.words[: len(verb.split()) + (verb == "run")]) for c in shown}
    for start in sorted(starts):
        words = start.split()
        if any(word.startswith("-") or word.isupper() for word in words) or words == ["run"]:
            continue
        _dispatch([*words, "--help"], as_json=False)
        offered = set(re.findall(r"--[a-z][\w-]*", capsys.readouterr().out))
        wrong = [
            f"{command.page}: groundup {start} has no {flag}"
            for command in shown
            if " ".join(command.words[: len(words)]) == start
            for flag in re.findall(r"(?<![\w-])--[a-z][\w-]*", " ".join(command.words))
            if flag not in offered | {"--json", "--trace", "--help"}
        ]
        assert not wrong, "\n".join(wrong)


def test_tests_that_pages_name_exist():
    named = [
        (page, *found)
        for page in PAGES
        for found in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page.read_text(encoding="utf-8"))
    ]
    assert named
    for page, file, test in named:
        there = (ROOT / file).is_file() and f"def {test}(" in (ROOT / file).read_text("utf-8")
        assert there, f"{name(page)} names {file}::{test}, and there is no such test"
