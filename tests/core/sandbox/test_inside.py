"""The filter says what its table says, on both processors, and the table is the kernel's."""

import errno
import re
import struct
from functools import cache
from pathlib import Path

import pytest

from groundup.core.sandbox import inside
from groundup.core.sandbox.sandbox import DENIED, _mounts

ALLOW, KILL = inside.ALLOW, inside.KILL
EPERM, ENOSYS = inside.FAIL | errno.EPERM, inside.FAIL | errno.ENOSYS
CALLS = [(name, numbers) for group in DENIED.values() for name, numbers in group.items()]
HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}


@cache
def compiled(machine: str) -> bytes:
    return inside._system_call_filter(machine, DENIED)


def judge(machine: str, number: int, *arguments: int, audit: int | None = None) -> int:
    """Run the filter as the kernel's interpreter does; return its verdict on a call."""
    code = compiled(machine)
    audit = inside.ARCHITECTURES[machine][0] if audit is None else audit
    padded = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("=IIQ6Q", number, audit, 0, *padded)
    accumulator, at = 0, 0
    while True:
        operation, yes, no, value = struct.unpack_from("HBBI", code, 8 * at)
        at += 1
        if operation == inside.RETURN:
            return value
        if operation == inside.LOAD:
            accumulator = struct.unpack_from("=I", data, value)[0]
            continue
        if operation == inside.AND:
            accumulator &= value
            continue
        is_true = {
            inside.EQUAL: accumulator == value,
            inside.AT_LEAST: accumulator >= value,
            inside.ANY_BIT: accumulator & value != 0,
        }[operation]
        at += yes if is_true else no


@pytest.mark.parametrize("machine", inside.ARCHITECTURES)
def test_every_denied_call_fails_and_its_neighbours_pass(machine: str):
    column = inside.ARCHITECTURES[machine][1]
    denied = {numbers[column] for _, numbers in CALLS if numbers[column] is not None}
    special = {pair[column] for pair in (inside.CLONE3, inside.SOCKET, inside.SOCKETPAIR)}
    for number in range(600):
        wanted = EPERM if number in denied else ALLOW
        if number not in special:
            assert judge(machine, number) == wanted, number


@pytest.mark.parametrize("machine", inside.ARCHITECTURES)
def test_arguments_decide_where_the_call_alone_does_not(machine: str):
    column = inside.ARCHITECTURES[machine][1]
    clone, clone3, socket, ioctl = (
        each[column] for each in (inside.CLONE, inside.CLONE3, inside.SOCKET, inside.IOCTL)
    )
    thread, fork, user_namespace, network = 0x3D0F00, 17, 0x1000_0011, 0x4000_0011
    assert [judge(machine, clone, flag) for flag in (thread, fork)] == [ALLOW, ALLOW]
    assert [judge(machine, clone, flag) for flag in (user_namespace, network)] == [EPERM, EPERM]
    assert judge(machine, clone3) == ENOSYS
    families = {1: ALLOW, 2: ALLOW, 10: ALLOW, 0: EPERM, 16: EPERM, 17: EPERM, 38: EPERM, 40: EPERM}
    assert {family: judge(machine, socket, family, 1) for family in families} == families
    nonblocking, multipath = 0x800, 262
    assert judge(machine, socket, 1, 5) == judge(machine, socket, 2, 2 | nonblocking, 17) == ALLOW
    assert judge(machine, socket, 2, 5) == judge(machine, socket, 2, 1, multipath) == EPERM
    requests = {0x5412: EPERM, 0x541C: EPERM, 0x5413: ALLOW, 0x5401: ALLOW}
    assert {request: judge(machine, ioctl, 0, request) for request in requests} == requests
    # The kernel reads 32 bits of a request; what stands above them is no way around.
    assert judge(machine, ioctl, 0, 0x5412 | 1 << 32) == EPERM


@pytest.mark.parametrize("machine", inside.ARCHITECTURES)
def test_memory_that_no_limit_counts_is_denied(machine: str):
    column = inside.ARCHITECTURES[machine][1]
    mmap, pair, option = (
        each[column] for each in (inside.MMAP, inside.SOCKETPAIR, inside.SETSOCKOPT)
    )
    shared, validated, private, anonymous, huge = 1, 3, 2, 0x20, 0x40000
    wanted = {shared: ALLOW, validated: ALLOW, private | anonymous: ALLOW,
              shared | anonymous: EPERM, validated | anonymous: EPERM,
              private | anonymous | huge: EPERM}  # fmt: skip
    assert {flags: judge(machine, mmap, 0, 1, 3, flags) for flags in wanted} == wanted
    assert [judge(machine, pair, family, 1) for family in (1, 30)] == [ALLOW, EPERM]
    level, pretended = 1, inside.FAIL
    wanted = {2: ALLOW, 7: pretended, 8: pretended, 9: ALLOW}
    assert {name: judge(machine, option, 3, level, name) for name in wanted} == wanted
    assert judge(machine, option, 3, 6, 7) == ALLOW  # of TCP, another option


def test_calls_of_another_processor_end_the_program():
    assert judge("x86_64", 0, audit=0x4000_0003) == KILL  # 32-bit x86
    assert judge("x86_64", 0x4000_0000) == KILL  # x32
    assert judge("aarch64", 0, audit=0x4000_0028) == KILL  # 32-bit ARM


def test_a_processor_without_a_table_is_refused():
    with pytest.raises(OSError, match="no table of system calls for riscv64"):
        inside._system_call_filter("riscv64", DENIED)


@pytest.mark.parametrize("machine", HEADERS)
def test_the_table_is_the_kernels(machine: str):
    if not HEADERS[machine].is_file():
        pytest.skip("the kernel's headers are not installed")
    text = HEADERS[machine].read_text()
    known = dict(re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", text))
    column = inside.ARCHITECTURES[machine][1]
    names = ("clone", "clone3", "socket", "socketpair", "setsockopt", "ioctl", "mmap")
    special = {name: getattr(inside, name.upper()) for name in names}
    table = {**dict(CALLS), **special}
    wrong = {
        name: (numbers[column], known.get(name))
        for name, numbers in table.items()
        if name in known
        and int(known[name]) != numbers[column]
        or name not in known
        and numbers[column] is not None
        and numbers[column] < 460
    }
    assert not wrong
    assert sum(name in known for name in table) > 55


def test_mounts_are_what_the_root_is_built_from():
    assert {kind for kind, _, _ in _mounts([])} == {"read", "device", "link"}
