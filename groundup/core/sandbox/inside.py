"""What runs first inside the sandbox: takes every right away from itself, then becomes the program.

    build_root   where bubblewrap did not: read-only mounts, a root of its own
    place        the program's files in the private folder, whose handle goes to the parent
    confine      identity, capabilities, limits, no new privileges, a filter of system calls

sandbox.py runs it as a script, `inside.py SPECIFICATION CONTROL` (two open files by number), with
the standard library alone. On CONTROL it tells "ready" and the folder's handle, or what failed.
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

Table = dict[str, dict[str, list[int | None]]]
FOLDER = "/sandbox"
"""The only place that the program can write to."""
ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
"""Audit number of a processor's calls and its column in the tables."""

# Columns as in denied.json.
CLONE, CLONE3, IOCTL, MMAP = (56, 220), (435, 435), (16, 29), (9, 222)
SOCKET, SOCKETPAIR, SETSOCKOPT = (41, 198), (53, 199), (54, 208)
NEW_NAMESPACES = 0x7E02_0000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET."""
UNIX, FAMILIES, KINDS, PROTOCOLS = 1, (2, 10), (1, 2), (0, 6, 17)
"""Unix sockets; TCP and UDP over IPv4 and IPv6: what watch.py counts. Vsock is in no namespace."""
SOCKET_LEVEL, BUFFER_SIZES = 1, (7, 8)
"""SO_SNDBUF and SO_RCVBUF: told to be set and left, so that a socket holds no more than usual."""
SHARED, ANONYMOUS, HUGE = 0x1, 0x20, 0x4_0000
"""Memory with all of them but HUGE stays when it is unmapped in part, and is in no count then."""
INJECTIONS = (0x5412, 0x541C)
"""TIOCSTI types into a terminal, TIOCLINUX pastes into one."""

LOAD, EQUAL, AT_LEAST, ANY_BIT, AND, RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
NUMBER, ARCHITECTURE, FIRST, SECOND, THIRD, FOURTH = 0, 4, 16, 24, 32, 40
"""Places in the kernel's seccomp_data: the call, the processor and four arguments' low halves."""
ALLOW, KILL, FAIL = 0x7FFF_0000, 0x8000_0000, 0x0005_0000
DENY = FAIL | errno.EPERM

READ_ONLY, NO_SETUID, NO_DEVICES, NO_PROGRAMS, BIND, DETACH = 1, 2, 4, 8, 0x5000, 2
MOUNT_SETATTR, PIVOT_ROOT, RECURSIVE = 442, {"x86_64": 155, "aarch64": 41}, 0x8000
DUMPABLE, SET_FILTER, DROP_BOUNDING, NO_NEW_PRIVILEGES, AMBIENT = 4, 22, 24, 38, 47

LIBC = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: Any) -> None:
    """Call the C library; OSError, naming the call, if it fails."""
    if getattr(LIBC, name)(*arguments) < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def step(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    """One instruction of a filter; a comparison skips `yes` or `no` instructions."""
    return struct.pack("HBBI", code, yes, no, value)


def system_call_filter(machine: str, denied: Table) -> bytes:
    """The filter as the kernel takes it, 8 bytes an instruction; `denied` as in denied.json.

    Raises OSError on a processor whose calls are not in the tables.
    """
    if machine not in ARCHITECTURES:
        raise OSError(errno.ENOSYS, f"there is no table of system calls for {machine}")
    audit, column = ARCHITECTURES[machine]
    deny, allow = step(RETURN, DENY), step(RETURN, ALLOW)

    def when(number: int, body: list[bytes]) -> list[bytes]:
        return [step(EQUAL, number, 0, len(body)), *body]

    code = [step(LOAD, ARCHITECTURE), step(EQUAL, audit, 1), step(RETURN, KILL), step(LOAD, NUMBER)]
    if machine == "x86_64":  # calls of the x32 kind have numbers of their own
        code += [step(AT_LEAST, 0x4000_0000, 0, 1), step(RETURN, KILL)]
    for numbers in (each for group in denied.values() for each in group.values()):
        code += [] if (number := numbers[column]) is None else when(number, [deny])
    # Its flags lie in memory, where a filter cannot look; without it C libraries use clone.
    code += when(CLONE3[column], [step(RETURN, FAIL | errno.ENOSYS)])
    for numbers, body in argued(deny, allow).items():
        code += when(numbers[column], body)
    return b"".join([*code, allow])


def argued(deny: bytes, allow: bytes) -> dict[tuple[int, int], list[bytes]]:
    """Calls whose arguments decide, by their numbers: what the filter does with each."""

    def unless(place: int, values: tuple[int, ...], *change: bytes) -> list[bytes]:
        """Deny an argument that is none of the values."""
        left = len(values)
        tests = [step(EQUAL, value, left - at) for at, value in enumerate(values)]
        return [step(LOAD, place), *change, *tests, deny]

    injections = [part for value in INJECTIONS for part in (step(EQUAL, value, 0, 1), deny)]
    pretended = [
        part for value in BUFFER_SIZES for part in (step(EQUAL, value, 0, 1), step(RETURN, FAIL))
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
            step(LOAD, THIRD), *pretended, allow,
        ],
        IOCTL: [step(LOAD, SECOND), *injections, allow],
        MMAP: [step(LOAD, FOURTH), step(ANY_BIT, HUGE, 0, 1), deny, *shared, allow],
    }  # fmt: skip


def confine(identity: int, limits: dict[str, int], denied: Table) -> None:
    """Give up identity (0 keeps it), capabilities and system calls, and set the limits for good."""
    for capability in range(64):
        LIBC.prctl(DROP_BOUNDING, capability, 0, 0, 0)  # fails past the last one
    if identity:
        os.setgroups([])
        os.setresgid(identity, identity, identity)
        os.setresuid(identity, identity, identity)
    LIBC.prctl(AMBIENT, 4, 0, 0, 0)
    call("capset", struct.pack("Ii", 0x2008_0522, 0), bytes(24))
    for name, value in limits.items():
        slack = name == "RLIMIT_CPU"  # a second between the signal that tells why and the kill
        resource.setrlimit(getattr(resource, name), (value, value + slack))
    code = system_call_filter(os.uname().machine, denied)
    kept = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HP", len(code) // 8, ctypes.addressof(kept))
    call("prctl", DUMPABLE, 0, 0, 0, 0)  # until the program is executed: its parent stays closed
    call("prctl", NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    call("prctl", SET_FILTER, 2, program, 0, 0)


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """Mount, as mount(2)."""
    call("mount", source.encode(), target.encode(), kind.encode(), flags, data.encode())


def read_only(target: str, flags: int) -> None:
    """Make a mount read-only and without setuid programs; `flags` may be RECURSIVE."""
    change = struct.pack("QQQQ", READ_ONLY | NO_SETUID, 0, 0, 0)
    call("syscall", MOUNT_SETATTR, -100, target.encode(), flags, change, len(change))


def build_root(root: str, mounts: list[list[str]], folder_bytes: int) -> None:
    """Make an empty folder the root, with `mounts` in it: (kind, source, place)."""
    mount("tmpfs", root, "tmpfs", NO_SETUID | NO_DEVICES, "mode=755,size=1m")
    for kind, source, place in mounts:
        target, is_folder = root + place, kind != "link" and os.path.isdir(source)
        os.makedirs(target if is_folder else os.path.dirname(target), exist_ok=True)
        if kind == "link":
            os.symlink(source, target)
            continue
        if not is_folder:
            os.close(os.open(target, os.O_CREAT))
        mount(source, target, flags=BIND)
        if kind == "read":
            read_only(target, RECURSIVE)
    for name in ("/proc", FOLDER):
        os.makedirs(root + name)
    mount("proc", f"{root}/proc", "proc", NO_SETUID | NO_DEVICES | NO_PROGRAMS)
    size = f"mode=1777,size={folder_bytes}"
    mount("tmpfs", root + FOLDER, "tmpfs", NO_SETUID | NO_DEVICES, size)
    os.chdir(root)
    call("syscall", PIVOT_ROOT[os.uname().machine], b".", b".")
    call("umount2", b".", DETACH)
    os.chdir("/")
    read_only("/", 0)


def place(files: dict[str, str]) -> int:
    """Write the program's files into the private folder; return the folder's handle."""
    os.chdir(FOLDER)
    for name, text in files.items():
        os.makedirs(os.path.dirname(os.path.join(FOLDER, name)), exist_ok=True)
        with open(name, "w", encoding="utf-8", errors="surrogatepass") as file:
            file.write(text)
    return os.open(FOLDER, os.O_RDONLY)


def watch_over(program: int, control: _socket.socket) -> None:
    """As the first process of the namespace, wait for orphans too; end with the program's code.

    The namespace dies with this process, so it ends as well when the caller of the sandbox does.
    """

    def reap(*_: object) -> None:
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == program:
                code = os.waitstatus_to_exitcode(ended[1])
                os._exit(code if code >= 0 else 128 - code)

    signal.signal(signal.SIGCHLD, reap)
    reap()
    caller = select.poll()
    caller.register(control, 0)  # tells of its end alone
    caller.poll()
    os._exit(125)


def main() -> None:
    """Read the specification, confine this process and become the program."""
    control = _socket.socket(fileno=int(sys.argv[2]))
    os.set_inheritable(control.fileno(), False)
    try:
        with open(int(sys.argv[1]), encoding="ascii") as file:
            wanted = json.load(file)
        os.umask(0o022)
        if wanted["root"]:
            build_root(wanted["root"], wanted["mounts"], wanted["folder_bytes"])
        confine(wanted["identity"], wanted["limits"], wanted["denied"])
        if program := os.fork():
            watch_over(program, control)
        os.setsid()  # out of the process group of whoever made the namespaces
        folder = struct.pack("i", place(wanted["files"]))
        control.sendmsg([b"ready"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, folder)])
        if not control.recv(2):
            os._exit(125)  # nobody watches
        os.execve(wanted["command"][0], wanted["command"], wanted["environment"])
    except (OSError, ValueError, OverflowError) as error:
        control.send(str(error).encode())
        sys.exit(f"not started: {error}")


if __name__ == "__main__":
    main()
