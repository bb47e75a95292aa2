"""What every test gets: fixed seeds, fixed threads, no network, and a list of what did not run.

Files run longest first, by the seconds in durations.json, so that parallel workers end together.

Imports of groundup wait until the tests do them, so that shapes are checked by jaxtyping's hook.
"""

import gc
import json
import os
import random
import signal
import socket
from collections import Counter
from contextlib import suppress
from pathlib import Path

# Before torch and tokenizers load: their thread pools read these once.
os.environ["OMP_NUM_THREADS"] = os.environ.get("GROUNDUP_TEST_THREADS", "1")
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["NO_COLOR"] = "1"
# torch compiles a file for every vector extension to learn whether it can: 14 s.
os.environ.setdefault("TORCHINDUCTOR_VEC_ISA_OK", "1")
# Figures of the machine measured under the tests' threads stay out of the user's own cache.
os.environ["XDG_CACHE_HOME"] = str(Path(__file__).resolve().parents[1] / ".pytest_cache" / "home")
# So do receipts of the servers that tests start.
os.environ["XDG_STATE_HOME"] = os.environ["XDG_CACHE_HOME"]

import hypothesis  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402

import tests.checking  # noqa: E402  for the import hook: see pyproject.toml

ROOT = Path(__file__).resolve().parents[1]

hypothesis.settings.register_profile("groundup", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("groundup")
torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
with suppress(ImportError):  # a plugin of pytest may have loaded numpy before this file
    import threadpoolctl

    threadpoolctl.threadpool_limits(int(os.environ["OMP_NUM_THREADS"]))

gc.disable()  # until all is imported, of which nothing is garbage

# A shell that runs this in the background has it ignored, also by the children of tests.
signal.signal(signal.SIGINT, signal.default_int_handler)
os.fsync = lambda handle: None  # no file of a test need outlive a power failure

DURATIONS = Path(__file__).with_name("durations.json")
deselected: Counter[str] = Counter()
seconds: Counter[str] = Counter()


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--record-durations` keeps how long each file took."""
    parser.addoption("--record-durations", action="store_true", help=f"renew {DURATIONS.name}")


@pytest.fixture(autouse=True)
def seeds() -> None:
    """Start every test from the same random state, and with the first calls of each function."""
    tests.checking.Calls.current += 1
    random.seed(0)
    np.random.seed(0)
    torch.default_generator.manual_seed(0)  # torch.manual_seed keeps a stack for each device
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(0)


@pytest.fixture(autouse=True, scope="session")
def loopback_only():
    """Refuse connections that leave this machine."""
    connect = socket.socket.connect

    def local(self: socket.socket, address):
        if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise ConnectionRefusedError(f"Tests use no network; {address[0]} was asked for.")
        return connect(self, address)

    socket.socket.connect = local
    yield
    socket.socket.connect = connect


@pytest.fixture(autouse=True, scope="session")
def measured_once():
    """Keep the machine's figures on a busy machine too, which would measure them in every run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))
        yield


@pytest.fixture
def run(capsys):
    """Run a command line in this process; return its exit code, stdout and stderr."""
    from groundup.cli import main
    from groundup.core import record

    def ran(*words: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        said = capsys.readouterr()
        return ended.value.code or 0, said.out, said.err

    yield ran
    record.set_output_mode("silent")


@pytest.fixture
def root() -> Path:
    """The repository."""
    return ROOT


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Longest files first; skip what needs a GPU where there is none, with the reason."""
    taken = json.loads(DURATIONS.read_text(encoding="utf-8"))
    items.sort(key=lambda item: -taken.get(item.nodeid.partition("::")[0], 0))
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


def pytest_collection_finish() -> None:
    """Leave what is imported and collected out of later searches for garbage, which are rare."""
    gc.freeze()
    gc.set_threshold(50_000, 10, 10)
    gc.enable()


def pytest_deselected(items: list[pytest.Item]) -> None:
    """Count what the marker expression left out, by marker and file."""
    for item in items:
        marks = [name for name in ("slow", "gpu") if item.get_closest_marker(name)]
        deselected[f"{'+'.join(marks) or 'by choice'}: {item.nodeid.partition('::')[0]}"] += 1


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Add up the seconds of each file."""
    seconds[report.nodeid.partition("::")[0]] += report.duration


def pytest_terminal_summary(terminalreporter, config: pytest.Config) -> None:
    """Say what did not run; a green suite must not hide it."""
    if config.getoption("--record-durations"):
        rounded = {file: round(value, 1) for file, value in seconds.most_common() if value >= 0.1}
        DURATIONS.write_text(json.dumps(rounded, indent=0) + "\n", encoding="utf-8")
    if deselected:
        terminalreporter.section("left out")
        for where, number in sorted(deselected.items()):
            terminalreporter.line(f"{number:4d}  {where}")
