"""The test files that a change reaches: `make quick` runs these.

    python -m tests.reached [BASE]    paths, one a line; of what differs from BASE, else from HEAD

A test file is reached if it imports a changed module, directly or through others. Names that a room
re-exports count for the file that defines them, so that one change does not reach everything.
A verb that a test calls counts for the module that the verb names. A file that is no module counts
for the modules and tests beside it that name it. `tests/conftest.py` reaches all.
"""

import ast
import functools
import subprocess
import sys
from pathlib import Path

from groundup.verbs import VERBS

ROOT = Path(__file__).resolve().parents[1]
EVERYTHING = {"pyproject.toml", "Makefile", "tests/conftest.py", "tests/checking.py"}
TARGETS = {verb.name.split()[0]: tuple(verb.target.split(":")) for verb in VERBS}
"""Module and function of a verb; of one of its kind where a verb has others below it."""
HOUSE = ("tests/test_architecture.py", "tests/test_docs.py")
"""Run on every change: they read the source."""


def _module_path(name: str) -> str | None:
    """File of a module of groundup or the tests; None for what is not ours."""
    base = name.replace(".", "/")
    files = (f"{base}.py", f"{base}/__init__.py")
    return next((file for file in files if (ROOT / file).is_file()), None)


@functools.cache
def _tree(file: str) -> ast.Module:
    return ast.parse((ROOT / file).read_text(encoding="utf-8"))


def _absolute(file: str, node: ast.ImportFrom) -> str:
    package = Path(file).parent.parts
    parts = package[: len(package) - node.level + 1] if node.level else ()
    return ".".join([*parts, *([node.module] if node.module else [])])


@functools.cache
def _defining_file(module: str, name: str) -> str | None:
    """File that defines a name which a module has, through re-exports."""
    if inner := _module_path(f"{module}.{name}"):
        return inner
    file = _module_path(module)
    if file and file.endswith("__init__.py"):
        for node in ast.walk(_tree(file)):
            if isinstance(node, ast.ImportFrom) and any(
                (alias.asname or alias.name) == name for alias in node.names
            ):
                return _defining_file(_absolute(file, node), name) or file
    return file


@functools.cache
def imports(file: str) -> frozenset[str]:
    """Files of the repository that a file needs, as far as its source says."""
    found: set[str | None] = set()
    for node in ast.walk(_tree(file)):
        if isinstance(node, ast.Import):
            found |= {_module_path(alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = _absolute(file, node)
            found |= {_defining_file(module, alias.name) for alias in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(_registered(node.value))
    if file.startswith("tests/"):
        text = (ROOT / file).read_text(encoding="utf-8")
        called = (target for verb, target in TARGETS.items() if f'run("{verb}"' in text)
        found |= {_defining_file(*target) for target in called}
    return frozenset(name for name in found if name and name != file)


def _registered(text: str) -> str | None:
    """File that a string names as registries do: `groundup.room.file:Thing`."""
    module, colon, _ = text.partition(":")
    return _module_path(module) if colon and module.startswith("groundup.") else None


def changed_files(base: str | None) -> set[str]:
    """Files that differ from a commit, or from the last one with what git does not know yet."""
    commands = [["git", "diff", "--name-only", base or "HEAD"]]
    commands += [["git", "ls-files", "--others", "--exclude-standard"]]
    done = (
        subprocess.run(c, cwd=ROOT, check=True, capture_output=True, text=True) for c in commands
    )
    return {line for each in done for line in each.stdout.splitlines()}


def reached_tests(changed: set[str]) -> list[str]:
    """Test files that a change of these files reaches; all of `tests` for some."""
    tests = sorted(str(p.relative_to(ROOT)) for p in (ROOT / "tests").rglob("test_*.py"))
    if changed & EVERYTHING:
        return tests
    modules = [str(path.relative_to(ROOT)) for path in (ROOT / "groundup").rglob("*.py")]
    data = {Path(file).name for file in changed if not file.endswith((".py", ".md"))}
    reached = {file for file in (*modules, *tests) if file in changed} | {
        file for file in (*modules, *tests) if any(n in (ROOT / file).read_text() for n in data)
    }
    users: dict[str, set[str]] = {}
    for file in {*modules, *(str(p.relative_to(ROOT)) for p in (ROOT / "tests").rglob("*.py"))}:
        for needed in imports(file):
            users.setdefault(needed, set()).add(file)
    waiting = sorted(reached | changed)
    while waiting:
        new = users.get(waiting.pop(), set()) - reached
        reached |= new
        waiting += new
    return sorted({*HOUSE, *(file for file in tests if file in reached)})


if __name__ == "__main__":
    print("\n".join(reached_tests(changed_files(sys.argv[1] if len(sys.argv) > 1 else None))))
