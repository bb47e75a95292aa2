"""code.syntax and .comments: precision and recall by compilers and lexers.

    python -m benchmarks.documents.code_sources FOLDER [--set first|fresh|second]
    python -m benchmarks.documents.code_filters syntax FOLDER --peer PYTHON [--show]
    python -m benchmarks.documents.code_filters comments FOLDER --peer PYTHON [--show]

`syntax`: up to 150 files each of Python, JavaScript and JSON, one or two a package in turns, and
each again with one bracket deleted; whether a file is sound is said by PYTHON (3.13), by node and
by node's JSON. Undefined names are those of pyflakes, in the files and in copies whose first import
is deleted. Merge conflicts are written by `git merge-file`; files with rows of marks are their
counterpart. `comments`: up to 400 files, shares by pygments. PYTHON has pyflakes and pygments. The
first set was for development, the fresh one gives the final figures; seeds are fixed.
"""

import argparse
import json
import random
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.documents.code_licences import sample
from groundup.documents import Record, SourceMap
from groundup.documents.code.language import detect_code_language
from groundup.documents.code.quality import CommentFilter, CommentFilterConfig
from groundup.documents.code.syntax import _check_syntax, _merge_conflicts, _unbalanced_share

EACH, LEXED = 150, 400
NODE = """
const files = JSON.parse(require("fs").readFileSync(0)), vm = require("vm");
console.log(JSON.stringify(files.map(([name, text]) => {
  try { name.endsWith(".json") ? JSON.parse(text) : new vm.Script(text); return true }
  catch (error) { return false } })));
"""
MARKS = re.compile(r"(?m)^(?:={7}|<{7}|>{7})")


def rate(name: str, truths: list[bool], found: list[bool]) -> None:
    """Print precision and recall."""
    right = sum(t and f for t, f in zip(truths, found, strict=True))
    print(
        f"{name}: {len(truths)} cases, {sum(truths)} positive: precision {right} of {sum(found)}, "
        f"recall {right} of {sum(truths)}"
    )


def tell(show: bool, names: list[str], truths: list[bool], found: list[bool]) -> None:
    """Print where the two differ."""
    for name, true, said in zip(names, truths, found, strict=True) if show else ():
        if true != said:
            print("   missed" if true else "   false ", name)


def answers(command: list[str], files: list[tuple[str, str]]) -> list[Any]:
    """What another program says of files."""
    given = json.dumps(files)
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def drawn(folder: Path, endings: tuple[str, ...], count: int) -> list[tuple[str, str]]:
    """Files of these endings and their texts, from the packages in turns."""
    paths = [path for path in sample(folder, 1, 30_000) if path.endswith(endings)][:count]
    return [(path, (folder / path).read_text(encoding="utf-8")) for path in paths]


def broken(files: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Each file without one of its brackets."""
    found = []
    for path, text in files:
        places = [place.start() for place in re.finditer(r"[()\[\]{}]", text)]
        if places:
            at = random.Random(path).choice(places)
            found.append((path, text[:at] + text[at + 1 :]))
    return found


def syntax(folder: Path, peer: str, show: bool) -> None:
    """Hold code.syntax against compilers, pyflakes and git."""
    node, python = ["node", "-e", NODE], [peer, str(Path(__file__).parent / "code_peers.py")]
    for ending, command in ((".py", [*python, "python"]), (".js", node), (".json", node)):
        files = drawn(folder, (ending,), EACH)
        files += broken(files)
        said = answers(command, files)
        truths = [not (one[0] if ending == ".py" else one) for one in said]
        if ending == ".js":  # modules and type annotations are no scripts: a sound half is kept
            sound = [path for (path, _), bad in zip(files, truths, strict=True) if not bad]
            kept = [path in sound for path, _ in files]
            files = [file for file, keep in zip(files, kept, strict=True) if keep]
            truths = [truth for truth, keep in zip(truths, kept, strict=True) if keep]
            found = [(_unbalanced_share(text, "javascript") or 0.0) > 0 for _, text in files]
        else:
            checks = [_check_syntax(text, ending[1:].replace("py", "python")) for _, text in files]
            found = [bool(one and one.error) for one in checks]
        rate(f"refused by its compiler, {ending}", truths, found)
        tell(show, [path for path, _ in files], truths, found)
    names(folder, [*python, "python"], show)
    conflicts(folder, show)


def names(folder: Path, command: list[str], show: bool) -> None:
    """Hold undefined names against pyflakes."""
    files = drawn(folder, (".py",), EACH)
    first = re.compile(r"(?m)^(?:import|from) (?!__future__)[^\n(\\]*$")
    files += [(f"{path} (cut)", first.sub("", text, count=1)) for path, text in files]
    truths, found, told = [], [], []
    for (path, text), (sound, said) in zip(files, answers(command, files), strict=True):
        ours = _check_syntax(text, "python")
        if sound and said is not None and ours and not ours.newer_syntax and not ours.error:
            for name in sorted({*said, *ours.undefined_names}):
                truths.append(name in said)
                found.append(name in ours.undefined_names)
                told.append(f"{path}: {name}")
    rate("undefined names", truths, found)
    tell(show, told, truths, found)


def conflicts(folder: Path, show: bool) -> None:
    """Hold merge conflicts against those that git writes."""
    files = drawn(folder, (".py", ".c", ".h", ".js", ".go", ".rs", ".rb", ".md", ".rst"), EACH)
    marked = [
        (path, text)
        for path, text in drawn(folder, ("",), 30_000)
        if MARKS.search(text) and "/doc/" not in path
    ][:EACH]
    cases = [(path, text, False) for path, text in marked]
    with tempfile.TemporaryDirectory() as place:
        for path, text in files:
            lines = text.split("\n")
            at = random.Random(path).randrange(len(lines))
            for side in ("ours", "base", "theirs"):
                changed = [*lines[:at], f"{lines[at]} {side}", *lines[at + 1 :]]
                Path(place, side).write_text("\n".join(changed), encoding="utf-8")
            command = ["git", "merge-file", "-p", "ours", "base", "theirs"]
            done = subprocess.run(command, cwd=place, capture_output=True, check=False)
            cases.append((path, done.stdout.decode("utf-8", "replace"), done.returncode > 0))
    found = [_merge_conflicts(text) > 0 for _, text, _ in cases]
    truths = [truth for *_, truth in cases]
    rate("merge conflicts", truths, found)
    tell(show, [path for path, *_ in cases], truths, found)


def comments(folder: Path, peer: str, show: bool) -> None:
    """Hold the share of comments against pygments' lexers."""
    step = CommentFilter(CommentFilterConfig(drop=False, headers=False))
    files, ours = [], []
    for path, text in drawn(folder, ("",), 3 * LEXED):
        record = Record("", "", path, "code", text, SourceMap.identity(text))
        share = step(record).metadata.get("comment_share")
        if isinstance(share, float) and len(text) >= 500 and detect_code_language(path, text).name:
            files.append((Path(path).name, text))
            ours.append((path, share))
    said = answers([peer, str(Path(__file__).parent / "code_peers.py"), "comments"], files[:LEXED])
    rows = [(p, o, s) for (p, o), s in zip(ours, said, strict=False) if s is not None]
    near = sum(abs(o - s) <= 0.05 for _, o, s in rows)
    print(f"shares of comments: {near} of {len(rows)} within .05 of pygments'")
    for limit, name in ((0.80, "mostly comments"), (0.01, "no comments")):
        truths = [s > limit if limit > 0.5 else s < limit for *_, s in rows]
        found = [o > limit if limit > 0.5 else o < limit for _, o, _ in rows]
        rate(name, truths, found)
        tell(show, [f"{p} ours {o:.3f} pygments {s:.3f}" for p, o, s in rows], truths, found)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["syntax", "comments"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--peer", default="python3")
    parser.add_argument("--show", action="store_true")
    given = parser.parse_args()
    if given.what == "syntax":
        syntax(given.folder, given.peer, given.show)
    else:
        comments(given.folder, given.peer, given.show)


if __name__ == "__main__":
    main()
