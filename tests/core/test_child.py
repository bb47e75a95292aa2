"""No Python that groundup starts runs what lies in the folder that it is started in."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from groundup.core import child

ROOT = Path(__file__).resolve().parents[2]
TRAP = (
    "open({marks!r}, 'a').write({name!r} + '\\n')\nraise ImportError({name!r} + ' of a stranger')\n"
)
OTHERS = {"groundup", "numpy", "torch", "yaml", "jinja2", "pyarrow", "daft", "ray", "safetensors"}
DOCUMENT = "A page about rivers, with words enough that it is worth keeping: number {}."
VERBS = {
    "prepare": ["prepare", "in", "out", "--workers", "1"],
    "prepare on Daft": ["prepare", "in", "out", "--workers", "1", "--runner", "daft"],
    "prepare on Ray": ["prepare", "in", "out", "--workers", "1", "--runner", "ray"],
    "plan": ["plan", "2", "--on", "cpu", "--memory", "1GB", "--set", "rows=1", "--set",
             "length=16", "--set", "compiled=false"],
}  # fmt: skip
SLOW = ("prepare on Ray", "plan")


def trap(folder: Path, names: set[str]) -> Path:
    """Put modules into a folder that write their name to the file returned when imported."""
    marks = folder.with_name("marks")
    for name in names:
        (folder / f"{name}.py").write_text(TRAP.format(marks=str(marks), name=name))
    return marks


@pytest.fixture
def hostile(tmp_path):
    """A folder with documents and a module of each standard name and of libraries."""
    folder = tmp_path / "downloaded"
    (folder / "in").mkdir(parents=True)
    for number in range(3):
        (folder / "in" / f"{number}.txt").write_text(DOCUMENT.format(number))
    trap(folder, set(sys.stdlib_module_names) | OTHERS)
    return folder


def run(folder, *command, **environment):
    kept = {name: v for name, v in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        command, cwd=folder, env=kept | {"OMP_NUM_THREADS": "1"} | environment,
        capture_output=True, text=True, timeout=570,
    )  # fmt: skip


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in VERBS]
)
def test_a_verb_in_a_strangers_folder_runs_none_of_its_modules(hostile, name):
    for module in ("pyarrow", "daft") if "Daft" in name else ("ray",) if "Ray" in name else ():
        pytest.importorskip(module)
    script = "from groundup.cli import main; main()"  # as the command that is installed
    done = run(hostile, sys.executable, "-P", "-c", script, *VERBS[name], PYTHONPATH=str(ROOT))
    assert not (hostile.parent / "marks").exists(), (hostile.parent / "marks").read_text()
    assert done.returncode == 0, done.stderr[-2_000:]


def test_the_module_itself_leaves_the_folder_that_it_is_started_in(hostile):
    # Python's own -m imports these before anything of ours runs: docs/guide/trust.md says so.
    found = run("/", sys.executable, "-c", "import runpy, pkgutil, sys; print(*sys.modules)")
    for name in {"groundup", *found.stdout.split()}:
        (hostile / f"{name}.py").unlink(missing_ok=True)
    done = run(hostile, sys.executable, "-m", "groundup", *VERBS["prepare"], PYTHONPATH=str(ROOT))
    assert not (hostile.parent / "marks").exists(), (hostile.parent / "marks").read_text()
    assert done.returncode == 0, done.stderr[-2_000:]


def test_a_child_and_what_it_starts_import_nothing_from_here(tmp_path, monkeypatch):
    (folder := tmp_path / "here").mkdir()
    marks = trap(folder, {"mmap"})
    monkeypatch.chdir(folder)
    inner = "import mmap, subprocess, sys; subprocess.run([sys.executable, '-c', 'import mmap'])"
    for entry in ("", ".", str(folder)):
        monkeypatch.setattr("sys.path", [entry, *sys.path])
        command, environment = child.python_command("-c", inner), child.python_environment()
        subprocess.run(command, env=environment, check=True)
        assert not marks.exists()
    subprocess.run([sys.executable, "-c", "import mmap"], stderr=subprocess.DEVNULL)
    assert marks.exists()  # the trap works


def test_the_path_keeps_what_runs_already(tmp_path):
    """A script still finds the modules next to it, and a checkout itself in its own folder."""
    (tmp_path / "steps.py").write_text("")
    (tmp_path / "mine.py").write_text(
        "import json; from groundup.core import child; print(json.dumps(child._import_path()))"
    )
    done = run(tmp_path, sys.executable, "mine.py", PYTHONPATH=str(ROOT))
    assert str(tmp_path) in json.loads(done.stdout), done.stderr
    show = "import json; from groundup.core import child; print(json.dumps(child._import_path()))"
    assert str(ROOT) in json.loads(run(ROOT, sys.executable, "-c", show).stdout)
    assert str(tmp_path) not in run(tmp_path, sys.executable, "-c", show, PYTHONPATH=ROOT).stdout


def test_there_is_one_way_to_start_a_python():
    ways = {Path("groundup/core/child.py"), Path("groundup/core/sandbox/sandbox.py")}
    found = {
        file.relative_to(ROOT)
        for file in (ROOT / "groundup").rglob("*.py")
        if "sys.executable" in file.read_text(encoding="utf-8")
    }
    assert found == ways
