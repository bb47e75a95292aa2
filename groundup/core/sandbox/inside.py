"""First process inside the sandbox: drops all privileges, then executes the program.

    _build_root       read-only mounts and an own root
    _write_program    writes files to the private folder, whose handle goes to the parent
    _drop_privileges  identity, capabilities, limits, no new privileges, a seccomp filter

sandbox.py runs it as a script, `inside.py SPECIFICATION CONTROL` (two file descriptors), with only
the standard library. It sends "ready" and the folder's handle, or an error, on CONTROL.
"""

import _socket
import ctypes
import errno
import json
import os
import resource
import select
import signal
import struct
import sys
from typing import Any

SyscallTable = dict[str, dict[str, list[int | None]]]
FOLDER = "/sandbox"
"""The only folder that the program can write to."""
ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
"""Audit number of an architecture and its column in the tables."""

# Columns as in denied.json.
CLONE, CLONE3, IOCTL, MMAP = (56, 220), (435, 435), (16, 29), (9, 222)
SOCKET, SOCKETPAIR, SETSOCKOPT = (41, 198), (53, 199), (54, 208)
NEW_NAMESPACES = 0x7E02_0000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET."""
UNIX, FAMILIES, KINDS, PROTOCOLS = 1, (2, 10), (1, 2), (0, 6, 17)
"""Unix, and TCP and UDP over IPv4 and IPv6, which sandbox.py counts; vsock has no namespace."""
SOCKET_LEVEL, BUFFER_SIZES = 1, (7, 8)
"""SO_SNDBUF and SO_RCVBUF: setting them succeeds without effect, so buffers keep their default."""
SHARED, ANONYMOUS, HUGE = 0x1, 0x20, 0x4_0000
"""Shared anonymous memory stays allocated after a partial unmap, and is then counted nowhere."""
INJECTIONS = (0x5412, 0x541C)
"""TIOCSTI types into a terminal, TIOCLINUX pastes into one."""

LOAD, EQUAL, AT_LEAST, ANY_BIT, AND, RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
NUMBER, ARCHITECTURE, FIRST, SECOND, THIRD, FOURTH = 0, 4, 16, 24, 32, 40
"""Offsets in seccomp_data: the call, the architecture and the low halves of four arguments."""
ALLOW, KILL, FAIL = 0x7FFF_0000, 0x8000_0000, 0x0005_0000
DENY = FAIL | errno.EPERM

READ_ONLY, NO_SETUID, NO_DEVICES, NO_PROGRAMS, BIND, DETACH = 1, 2, 4, 8, 0x5000, 2
MOUNT_SETATTR, PIVOT_ROOT, RECURSIVE = 442, {"x86_64": 155, "aarch64": 41}, 0x8000
DUMPABLE, SET_FILTER, DROP_BOUNDING, NO_NEW_PRIVILEGES, AMBIENT = 4, 22, 24, 38, 47

LIBC = ctypes.CDLL(None, use_errno=True)


def _libc_call(name: str, *arguments: Any) -> None:
    if getattr(LIBC, name)(*arguments) < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def _bpf_instruction(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    """One BPF instruction; a comparison skips `yes` or `no` instructions."""
    return struct.pack("HBBI", code, yes, no, value)


def _system_call_filter(machine: str, denied: SyscallTable) -> bytes:
    """Seccomp filter as BPF bytecode, 8 bytes per instruction; `denied` as in denied.json.

    Raises OSError on an architecture without a table of system calls.
    """
    if machine not in ARCHITECTURES:
        raise OSError(errno.ENOSYS, f"there is no table of system calls for {machine}")
    audit, column = ARCHITECTURES[machine]
    deny, allow = _bpf_instruction(RETURN, DENY), _bpf_instruction(RETURN, ALLOW)

    def when(number: int, body: list[bytes]) -> list[bytes]:
        return [_bpf_instruction(EQUAL, number, 0, len(body)), *body]

    code = [
        _bpf_instruction(LOAD, ARCHITECTURE),
        _bpf_instruction(EQUAL, audit, 1),
        _bpf_instruction(RETURN, KILL),
        _bpf_instruction(LOAD, NUMBER),
    ]
    if machine == "x86_64":  # the x32 ABI has its own call numbers
        code += [_bpf_instruction(AT_LEAST, 0x4000_0000, 0, 1), _bpf_instruction(RETURN, KILL)]
    for numbers in (each for group in denied.values() for each in group.values()):
        code += [] if (number := numbers[column]) is None else when(number, [deny])
    # clone3's flags are in memory, which a filter cannot read; C libraries fall back to clone.
    code += when(CLONE3[column], [_bpf_instruction(RETURN, FAIL | errno.ENOSYS)])
    for numbers, body in _argument_filters(deny, allow).items():
        code += when(numbers[column], body)
    return b"".join([*code, allow])


def _argument_filters(deny: bytes, allow: bytes) -> dict[tuple[int, int], list[bytes]]:
    """Filter code for system calls that depend on their arguments, by call numbers."""
    step = _bpf_instruction

    def unless(offset: int, values: tuple[int, ...], *change: bytes) -> list[bytes]:
        """Deny an argument that is none of the values."""
        count = len(values)
        tests = [step(EQUAL, value, count - index) for index, value in enumerate(values)]
        return [step(LOAD, offset), *change, *tests, deny]

    injections = [code for value in INJECTIONS for code in (step(EQUAL, value, 0, 1), deny)]
    no_ops = [
        code for value in BUFFER_SIZES for code in (step(EQUAL, value, 0, 1), step(RETURN, FAIL))
    ]
    shared = [step(ANY_BIT, SHARED, 0, 2), step(ANY_BIT, ANONYMOUS, 0, 1), deny]
    return {
        CLONE: [step(LOAD, FIRST), step(ANY_BIT, NEW_NAMESPACES, 0, 1), deny, allow],
        SOCKET: [
            step(LOAD, FIRST), step(EQUAL, UNIX, 0, 1), allow, *unless(FIRST, FAMILIES),
            *unless(SECOND, KINDS, step(AND, 0xF)), *unless(THIRD, PROTOCOLS), allow,
        ],
        SOCKETPAIR: [*unless(FIRST, (UNIX,)), allow],
        SETSOCKOPT: [
            step(LOAD, SECOND), step(EQUAL, SOCKET_LEVEL, 1), allow,
            step(LOAD, THIRD), *no_ops, allow,
        ],
        IOCTL: [step(LOAD, SECOND), *injections, allow],
        MMAP: [step(LOAD, FOURTH), step(ANY_BIT, HUGE, 0, 1), deny, *shared, allow],
    }  # fmt: skip


def _drop_privileges(identity: int, limits: dict[str, int], denied: SyscallTable) -> None:
    """Irrevocably drop identity (0 keeps it), capabilities and system calls, and set limits."""
    for capability in range(64):
        LIBC.prctl(DROP_BOUNDING, capability, 0, 0, 0)  # fails past the last one
    if identity:
        os.setgroups([])
        os.setresgid(identity, identity, identity)
        os.setresuid(identity, identity, identity)
    LIBC.prctl(AMBIENT, 4, 0, 0, 0)
    _libc_call("capset", struct.pack("Ii", 0x2008_0522, 0), bytes(24))
    for name, value in limits.items():
        slack = name == "RLIMIT_CPU"  # one second between SIGXCPU, which tells why, and SIGKILL
        resource.setrlimit(getattr(resource, name), (value, value + slack))
    code = _system_call_filter(os.uname().machine, denied)
    buffer = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HP", len(code) // 8, ctypes.addressof(buffer))
    _libc_call("prctl", DUMPABLE, 0, 0, 0, 0)  # so that the program cannot trace this, its parent
    _libc_call("prctl", NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    _libc_call("prctl", SET_FILTER, 2, program, 0, 0)


def _mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    try:
        _libc_call("mount", source.encode(), target.encode(), kind.encode(), flags, data.encode())
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror} ({source})") from None


def _make_read_only(target: str, flags: int) -> None:
    """Make a mount read-only and without setuid programs; `flags` may be RECURSIVE."""
    change = struct.pack("QQQQ", READ_ONLY | NO_SETUID, 0, 0, 0)
    _libc_call("syscall", MOUNT_SETATTR, -100, target.encode(), flags, change, len(change))


def _build_root(root: str, mounts: list[list[str]], folder_bytes: int) -> None:
    """Make an empty folder the root, with `mounts` in it: (kind, source, target path)."""
    _mount("tmpfs", root, "tmpfs", NO_SETUID | NO_DEVICES, "mode=755,size=1m")
    for kind, source, path in mounts:
        target, is_folder = root + path, kind != "link" and os.path.isdir(source)
        os.makedirs(target if is_folder else os.path.dirname(target), exist_ok=True)
        if kind == "link":
            os.symlink(source, target)
            continue
        if not is_folder:
            os.close(os.open(target, os.O_CREAT))
        _mount(source, target, flags=BIND)
        if kind == "read":
            _make_read_only(target, RECURSIVE)
    for name in ("/proc", FOLDER):
        os.makedirs(root + name)
    _mount("proc", f"{root}/proc", "proc", NO_SETUID | NO_DEVICES | NO_PROGRAMS)
    size = f"mode=1777,size={folder_bytes}"
    _mount("tmpfs", root + FOLDER, "tmpfs", NO_SETUID | NO_DEVICES, size)
    os.chdir(root)
    _libc_call("syscall", PIVOT_ROOT[os.uname().machine], b".", b".")
    _libc_call("umount2", b".", DETACH)
    os.chdir("/")
    _make_read_only("/", 0)


def _write_program(files: dict[str, str]) -> int:
    os.chdir(FOLDER)
    for name, text in files.items():
        os.makedirs(os.path.dirname(os.path.join(FOLDER, name)), exist_ok=True)
        with open(name, "w", encoding="utf-8", errors="surrogatepass") as file:
            file.write(text)
    return os.open(FOLDER, os.O_RDONLY)


def _reap_until_exit(program: int, control: _socket.socket) -> None:
    """Reap orphans as the namespace's init process; exit with the program's code.

    The namespace dies with this process, which also exits when the sandbox's caller does.
    """

    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    # Reaped in the loop below: a handler may interrupt itself and find nothing left to wait for.
    signal.signal(signal.SIGCHLD, lambda *_: None)
    events = select.poll()
    events.register(woken, select.POLLIN)
    events.register(control, 0)  # reports only the hang-up
    while True:
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == program:
                code = os.waitstatus_to_exitcode(ended[1])
                os._exit(code if code >= 0 else 128 - code)
        if control.fileno() in dict(events.poll()):
            os._exit(125)
        os.read(woken, 4_096)


def main() -> None:
    """Read the specification, confine this process and become the program."""
    control = _socket.socket(fileno=int(sys.argv[2]))
    os.set_inheritable(control.fileno(), False)
    try:
        with open(int(sys.argv[1]), encoding="ascii") as file:
            specification = json.load(file)
        os.umask(0o022)
        _build_root(specification["root"], specification["mounts"], specification["folder_bytes"])
        _drop_privileges(
            specification["identity"], specification["limits"], specification["denied"]
        )
        if program := os.fork():
            _reap_until_exit(program, control)
        os.setsid()  # leave the process group of the process that made the namespaces
        folder = struct.pack("i", _write_program(specification["files"]))
        control.sendmsg([b"ready"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, folder)])
        if not control.recv(2):
            os._exit(125)  # the monitor is gone
        command = specification["command"]
        os.execve(command[0], command, specification["environment"])
    except (OSError, ValueError, OverflowError) as error:
        control.send(str(error).encode())
        sys.exit(f"not started: {error}")


if __name__ == "__main__":
    main()
