"""Foreign code reaches nothing, uses no more than it may, and leaves nothing behind; or is refused.

The hostile programs are in hostile.py. Whether one got away is told by itself (it prints ESCAPED),
and by a witness outside: files, listeners and the processes of its namespace.
"""

import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import groundup
from groundup.core import ConfigError, Sandbox, SandboxLimits
from groundup.core.sandbox import probe
from groundup.core.sandbox import sandbox as sandbox_file
from groundup.core.sandbox.sandbox import (
    SandboxResult,
    _child_processes,
    _classify_exit,
    _mounts,
    _resident_bytes,
    _self_test,
    _socket_bytes,
    _unused_user_id,
)
from tests.core.sandbox.hostile import PROGRAMS, START, Hostile
from tests.core.sandbox.witness import Witness

TIGHT = SandboxLimits(seconds=1.0, memory_bytes=300 * 2**20, output_bytes=100_000)
PATIENT = TIGHT.model_copy(update={"seconds": 60.0})
"""For what must end otherwise than by the clock, however busy the machine."""


def opened() -> Sandbox:
    try:
        return Sandbox.open()
    except ConfigError as error:
        if not re.search("not installed|not permitted|ermission", str(error)):
            raise  # a leak or a mistake, not a machine that forbids namespaces
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def box() -> Sandbox:
    return opened()


@pytest.fixture
def witness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Witness]:
    monkeypatch.setenv("GROUNDUP_SECRET", "GROUNDUP_SECRET")
    with Witness(tmp_path) as each:
        yield each


def named(hostile: Hostile) -> str:
    return hostile.name


def test_there_are_fifty_of_them():
    assert len({hostile.name for hostile in PROGRAMS}) == len(PROGRAMS) >= 50


@pytest.mark.parametrize("hostile", PROGRAMS, ids=named)
def test_no_hostile_program_escapes(hostile: Hostile, box: Sandbox, witness: Witness):
    limits = TIGHT if "timeout" in hostile.ends else PATIENT
    outcome = box.run_python(START + hostile.program, witness.arguments, limits=limits)
    assert "ESCAPED" not in outcome.stdout, outcome
    assert witness.saw(outcome.stdout) == []
    assert outcome.status in hostile.ends, outcome
    assert (outcome.status == "ok") == (outcome.message == "")
    assert len(outcome.stdout) + len(outcome.stderr) <= 2 * TIGHT.output_bytes


CONTROLS = [hostile for hostile in PROGRAMS if hostile.control]


@pytest.mark.parametrize("hostile", CONTROLS, ids=named)
def test_without_a_sandbox_it_does_escape(hostile: Hostile, witness: Witness, tmp_path: Path):
    if hostile.control == "root" and os.geteuid() != 0:
        pytest.skip("works for root alone")
    command = [sys.executable, "-c", START + hostile.program, *witness.arguments]
    (tmp_path / "bare").mkdir()
    ran = subprocess.run(command, cwd=tmp_path / "bare", capture_output=True, text=True, timeout=60)
    assert "ESCAPED" in ran.stdout or witness.saw(ran.stdout) != [], ran


def test_it_runs_programs_and_contains_them(box: Sandbox):
    assert box.run_python("print(6 * 7)").stdout == "42\n"
    gone = box.run_python("import os; os.fork() or os.setsid(); print(os.listdir('.'))")
    assert gone.status == "ok" and "main.py" in gone.stdout
    assert box.run_python("while True: pass", limits=TIGHT).status == "timeout"


def test_a_program_gets_its_input_its_files_and_a_plain_environment(box: Sandbox):
    program = (
        "import os, sys\nfrom near import word\n"
        "print(word, sys.stdin.read(), sys.argv[1:], sorted(os.environ), os.getcwd())"
    )
    outcome = box.run_python(program, ["a b"], files={"near.py": "word = 'é'"}, stdin=b"in")
    assert outcome.stdout == (
        "é in ['a b'] ['HOME', 'LANG', 'OMP_NUM_THREADS', 'PATH', 'PYTHONHASHSEED', 'TMPDIR'] "
        "/sandbox\n"
    )


def test_any_command_runs_and_one_that_is_missing_says_so(box: Sandbox):
    assert box.run(["/bin/sh", "-c", "echo $((6 * 7)); exit 3"])[:3] == ("failed", 3, "42\n")
    with pytest.raises(ConfigError, match="could not be started: .*/bin/no-such-program"):
        box.run(["/bin/no-such-program"])


def test_nothing_stays_for_the_next_program(box: Sandbox):
    box.run_python("open('json.py', 'w').write('print(1)'); open('/dev/shm/x', 'w').close()")
    outcome = box.run_python(
        "import json, os; print(sorted(os.listdir('.')), os.listdir('/dev/shm'))"
    )
    assert outcome.stdout == "['main.py'] ['main.py']\n"


def test_what_is_allowed_works(box: Sandbox):
    program = """
import multiprocessing, socket, subprocess, sys, tempfile, threading
with multiprocessing.Pool(2) as pool:
    print(pool.map(abs, [-1, -2]))
print(subprocess.run([sys.executable, "-c", "print(3)"], capture_output=True).stdout)
with tempfile.TemporaryDirectory() as folder:
    open(folder + "/x", "w").write("x" * 1_000_000)
thread = threading.Thread(target=print, args=("thread",)); thread.start(); thread.join()
a, b = socket.socketpair(); a.send(b"pair"); print(b.recv(4))
"""
    outcome = box.run_python(program)
    assert outcome.status == "ok", outcome
    assert outcome.stdout == "[1, 2]\nb'3\\n'\nthread\nb'pair'\n"


def test_readable_folders_are_shown_and_cannot_be_written(tmp_path: Path):
    opened()
    tmp_path.chmod(0o777)  # so that no other rule forbids it
    (tmp_path / "data.txt").write_text("seen")
    box = Sandbox.open(readable=[tmp_path])
    look = f"print(open({str(tmp_path / 'data.txt')!r}).read())"
    assert box.run_python(look).stdout == "seen\n"
    assert box.run_python(f"open({str(tmp_path / 'new')!r}, 'w')").status == "failed"
    with pytest.raises(ConfigError, match="absent"):
        Sandbox.open(readable=[tmp_path / "absent"])


@pytest.mark.parametrize("kind", ["socket", "pipe"])
def test_a_readable_folder_with_a_way_out_is_refused(kind: str, tmp_path: Path):
    (tmp_path / "deep").mkdir()
    way_out = tmp_path / "deep" / kind
    with socket.socket(socket.AF_UNIX) as listener:
        if kind == "pipe":
            os.mkfifo(way_out)
        else:
            listener.bind(str(way_out))
        with pytest.raises(ConfigError, match=f"deep/{kind} is a socket, a pipe or a device"):
            Sandbox.open(readable=[tmp_path])


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"command": []}, "Expected a command as a list"),
        ({"command": "/bin/ls"}, "Expected a command as a list"),
        ({"command": ["/bin/echo", "a\0b"]}, "NUL"),
        ({"command": ["/bin/echo", "\ud800"]}, "no argument"),
        ({"command": ["/bin/echo", *["x" * 1_000] * 10_000]}, "too long"),
        ({"files": {"a\0b": ""}}, "NUL"),
        ({"files": {"": ""}}, "outside the program's folder"),
        ({"files": {"a/../../b": ""}}, "outside the program's folder"),
        ({"files": {"/b": ""}}, "outside the program's folder"),
        ({"files": {"b" * 300: ""}}, "name too long"),
        ({"pass_fds": [999]}, "pass_fds=999 is no open file"),
        ({"limits": SandboxLimits(processes=2**48)}, "could not be set up: [^\n]*$"),
    ],
)
def test_a_mistake_of_the_caller_is_told_in_a_line(wrong: dict, told: str, box: Sandbox):
    call: dict[str, Any] = {"command": ["/bin/echo"]} | wrong
    with pytest.raises(ConfigError, match=told) as error:
        box.run(**call)
    assert "\n" not in str(error.value)


def test_a_buffer_size_is_told_to_be_set_and_stays_the_usual(box: Sandbox):
    program = (
        "import socket; a, b = socket.socketpair(); old = a.getsockopt(1, 7)\n"
        "a.setsockopt(1, 7, 2**24); a.setsockopt(1, 2, 1); print(a.getsockopt(1, 7) == old)"
    )
    assert box.run_python(program).stdout == "True\n"


def test_open_files_can_be_passed(box: Sandbox):
    read, write = os.pipe()
    box.run_python(f"import os; os.write({write}, b'through')", pass_fds=[write])
    os.close(write)
    assert os.read(read, 100) == b"through"
    os.close(read)


def test_programs_side_by_side_do_not_meet(box: Sandbox):
    outcomes: dict[int, SandboxResult] = {}

    def run(number: int) -> None:
        program = f"import os; open('{number}', 'w'); print({number}, len(os.listdir('.')))"
        outcomes[number] = box.run_python(program)

    threads = [threading.Thread(target=run, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {n: o.stdout for n, o in outcomes.items()} == {n: f"{n} 2\n" for n in range(8)}


def test_an_interrupt_ends_the_program_too(box: Sandbox, monkeypatch: pytest.MonkeyPatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("groundup.core.sandbox.sandbox._resident_bytes", interrupted)
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(KeyboardInterrupt):
        box.run_python("while True: pass")
    assert set(os.listdir("/proc/self/fd")) == before


def test_killing_the_caller_kills_the_program(tmp_path: Path):
    opened()
    caller = (
        "import sys; from groundup.core import Sandbox\n"
        "Sandbox().run_python('import os, sys, time; os.write(int(sys.argv[1]), b\"up\");'"
        "'time.sleep(99)', sys.argv[1:], pass_fds=[int(sys.argv[1])])"
    )
    read, write = os.pipe()
    process = subprocess.Popen([sys.executable, "-c", caller, str(write)], pass_fds=[write])
    os.close(write)
    assert os.read(read, 2) == b"up"
    process.kill()
    process.wait()
    assert os.read(read, 1) == b""  # every holder of the other end is gone
    os.close(read)


def test_a_machine_that_cannot_contain_is_refused(monkeypatch: pytest.MonkeyPatch):
    _self_test.cache_clear()
    monkeypatch.setattr(sandbox_file.shutil, "which", lambda program: None)
    with pytest.raises(ConfigError, match="unshare is not installed.*util-linux"):
        Sandbox.open()
    _self_test.cache_clear()


def test_where_namespaces_are_forbidden_it_refuses():
    opened()
    package = Path(groundup.__file__).parent
    box = Sandbox.open(readable=[package])  # in there, no namespace can be made
    program = (
        f"import sys; sys.path.insert(0, {str(package.parent)!r})\n"
        "from groundup.core import ConfigError, Sandbox\n"
        "try: Sandbox.open()\nexcept ConfigError as error: print(error)\n"
    )
    outcome = box.run_python(
        program, limits=SandboxLimits(seconds=60, memory_bytes=2**32, processes=64)
    )
    assert outcome.stdout.startswith("This machine cannot contain foreign code"), outcome
    assert "unshare" in outcome.stdout


def test_a_way_that_leaks_is_refused(monkeypatch: pytest.MonkeyPatch):
    opened()
    entrance, folder = sandbox_file._namespace_command, tempfile.gettempdir()

    def leaky_entrance() -> list[str]:
        return [part for part in entrance() if part != "--net"]

    def leaky_mounts(readable: tuple[str, ...]) -> Iterator[list[str]]:
        yield from (each for each in _mounts(readable) if each[-1] != folder)
        yield ["read", folder, folder]

    _self_test.cache_clear()
    monkeypatch.setattr(sandbox_file, "_namespace_command", leaky_entrance)
    monkeypatch.setattr(sandbox_file, "_mounts", leaky_mounts)
    with pytest.raises(ConfigError, match="reads a file of the caller.*reaches a port"):
        Sandbox.open()
    _self_test.cache_clear()


def test_a_sandbox_that_breaks_later_is_an_error_and_no_result(monkeypatch: pytest.MonkeyPatch):
    box = opened()
    monkeypatch.setattr(box, "mounts", [["read", "/no/such/folder", "/there"]])
    with pytest.raises(ConfigError, match="/no/such/folder"):
        box.run_python("print(1)")


def test_a_stranger_is_nobody():
    assert all(_unused_user_id() > 999 for _ in range(20))
    assert len({_unused_user_id() for _ in range(20)}) > 1


def test_mounts_show_no_home_and_no_configuration():
    places = [place for _, _, place in _mounts([])]
    assert str(Path.home()) not in places and "/etc" not in places and "/" not in places


@pytest.mark.parametrize(
    "wrong",
    [{"seconds": 0}, {"memory_bytes": -1}, {"second": 1}, {"files": 10**30}, {"open_files": 1}],
)
def test_limits_that_limit_nothing_are_wrong(wrong: dict[str, int]):
    with pytest.raises(ConfigError):
        SandboxLimits(**wrong)


WHO = """
import os
status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
print(*os.getresuid(), *os.getresgid(), *os.getgroups())
print(*{status[name].strip() for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")})
"""


ASKING_WHO = """
import ctypes, os, struct, sys
if os.geteuid() == 0:
    os.setgroups([4242])
    libc, version = ctypes.CDLL(None), struct.pack("Ii", 0x2008_0522, 0)
    held = (ctypes.c_uint32 * 6)()  # effective, permitted and inheritable, twice
    assert libc.capget(version, held) == 0
    held[2], held[5] = held[1], held[4]  # programs may inherit all
    assert libc.capset(version, held) == 0
from groundup.core import Sandbox, SandboxLimits
box = Sandbox.open()
print(box.run_python(sys.argv[1], limits=SandboxLimits(seconds=60.0)).stdout, end="")
"""


def test_a_program_is_a_stranger_without_groups_and_capabilities():
    opened()  # or skipped
    ran = subprocess.run(
        [sys.executable, "-c", ASKING_WHO, WHO], capture_output=True, text=True, check=True,
        cwd=Path(groundup.__file__).parents[1],
    )  # fmt: skip
    ids, capabilities = ran.stdout.splitlines()
    own = {str(each) for each in (0, 4242, os.getuid(), os.getgid())}
    if os.geteuid() == 0:
        assert not own & set(ids.split()), "root's own ids"
        assert len(set(ids.split())) == 1 and len(ids.split()) == 6, "one id, and no group beside"
    assert set(capabilities) == {"0"}


def test_what_a_program_says_is_cut_at_the_limit_and_no_earlier(box: Sandbox):
    few = PATIENT.model_copy(update={"output_bytes": 1_000})
    exact = box.run_python("print('x' * 998)", limits=few)
    assert (exact.status, len(exact.stdout)) == ("ok", 999)
    flood = box.run_python("print('x' * 200_000, flush=True); input()", limits=few)
    assert (flood.status, len(flood.stdout)) == ("output_limit", 1_000)


NEST = """
import os, sys
kept = bytearray(40_000_000)
kept[::4096] = b"x" * len(kept[::4096])
if os.fork() == 0:
    mine = bytearray(60_000_000)
    mine[::4096] = b"x" * len(mine[::4096])
    print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(
    ("code", "stderr", "status", "message"),
    [
        (0, "warning", "ok", ""),
        (1, "Traceback\n  line\nValueError: no\n", "failed", "ValueError: no"),
        (3, "", "failed", "exit code 3"),
        (1, "x\nMemoryError\n", "memory", "MemoryError"),
        (137, "", "killed", "ended by SIGKILL"),
        (139, "MemoryError", "killed", "ended by SIGSEGV"),
        (152, "", "timeout", "used up its processor time"),
        (255, "", "failed", "exit code 255"),
        (1, "E: \x1b[2J\x1b]0;own\x07\r\u202eno", "failed", r"E: \x1b[2J\x1b]0;own\x07\r\u202eno"),
        (1, "x" * 10_000, "failed", "x" * 500),
    ],
)
def test_how_it_ended(code: int, stderr: str, status: str, message: str):
    assert _classify_exit(code, stderr) == (status, message)


def test_memory_of_a_family_is_added_up():
    with subprocess.Popen(
        [sys.executable, "-c", NEST], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout and process.stdin
        assert process.stdout.readline() == "ready\n"
        assert len(list(_child_processes(process.pid))) == 1
        assert 140e6 < _resident_bytes(process.pid) < 200e6
        process.stdin.close()
    assert list(_child_processes(process.pid)) == [] and _resident_bytes(process.pid) == 0


def test_this_process_sees_itself():
    assert _resident_bytes(os.getpid()) > 1_000_000


def test_sockets_count_as_full_and_connections_by_what_they_hold():
    one = 212_992  # the kernel's usual buffer, or more where it was raised
    before = _socket_bytes(os.getpid())
    pairs = [socket.socketpair() for _ in range(200)]
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(server.getsockname())
        far, _ = server.accept()
        near.sendall(b"x" * 100_000)
        assert _socket_bytes(os.getpid()) - before > 390 * one
        near.close()
        far.close()
    for pair in pairs:
        pair[0].close()
        pair[1].close()


def test_a_process_that_is_gone_has_no_sockets():
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
        assert _socket_bytes(process.pid) == 0


def test_bare_it_finds_the_leaks_and_ends_its_children(tmp_path: Path):
    file = tmp_path / "file"
    file.touch()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        command = [sys.executable, probe.__file__, str(file), port, "3"]
        found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for leak in ("reads a file", "reaches a port", "more than 3 processes", "sees processes"):
        assert leak in found
    assert "may gain privileges" in found and "no filter of system calls" in found
    assert probe._succeeds(file.stat) and not probe._succeeds((tmp_path / "no").stat)
