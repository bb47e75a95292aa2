"""A complete file opens as it was written; a cut or malicious one is an error in one line."""

import os
import random
import resource
import struct
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from groundup.core import ArtifactError, DataError
from groundup.model.weights.gguf.blocks import block_types
from groundup.model.weights.gguf.format import (
    ALIGNMENT,
    Parser,
    TensorToWrite,
    _encode_value,
    open_gguf,
    write_gguf_file,
)

METADATA = {
    "general.architecture": "llama", "llama.block_count": 2, "a.float": 1e-6, "a.bool": True,
    "a.negative": -5, "a.text": "ünï", "a.texts": ["a", "", "☃"],
    "a.numbers": np.array([-1, 7], np.int32), "a.scores": np.array([0.5, -2], np.float32),
}  # fmt: skip


def tensors():
    drawn = np.random.default_rng(0)
    shapes = {"one": ("F32", (5,)), "two": ("Q8_0", (3, 64)), "three": ("BF16", (2, 3, 4))}
    shapes |= {"four": ("Q4_0", (2, 32)), "five": ("F16", (1, 1, 2, 3))}
    for name, (type, shape) in shapes.items():
        values = drawn.standard_normal(shape).astype(np.float32)
        yield TensorToWrite(name, block_types()[type], shape, lambda values=values: values)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("gguf") / "whole.gguf"
    write_gguf_file(path, METADATA, tensors())
    return path


def test_what_was_written_is_read(whole):
    opened = open_gguf(whole)
    assert opened.version == 3
    assert list(opened.metadata) == list(METADATA)
    for key, value in METADATA.items():
        found = opened.metadata[key]
        assert type(found) is type(value)
        assert np.array_equal(found, value)
    for one in tensors():
        found = opened.values(one.name)
        assert found.shape == one.shape
        np.testing.assert_allclose(found, one.values(), atol=0.3)
    np.testing.assert_array_equal(opened.values("one"), next(iter(tensors())).values())


def test_blocks_are_mapped_not_copied(whole):
    opened = open_gguf(whole)
    assert all(np.shares_memory(opened.blocks(name), opened.content) for name in opened.tensors)
    with pytest.raises(ArtifactError, match="has no tensor six"):
        opened.values("six")


def string(text):
    return struct.pack("<Q", len(text)) + text


def gguf(entries=(), tensors=(), version=3, data=b""):
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(entries))
    head += b"".join(entries) + b"".join(tensors)
    return head + bytes(-len(head) % ALIGNMENT) + data


def tensor(name=b"t", sizes=(4,), type=0, offset=0):
    packed = struct.pack(f"<I{len(sizes)}Q", len(sizes), *sizes)
    return string(name) + packed + struct.pack("<IQ", type, offset)


def entry(key, kind, value):
    return string(key) + struct.pack("<I", kind) + value


EVERY_KIND = {
    0: (struct.pack("<B", 200), 200), 1: (struct.pack("<b", -3), -3),
    2: (struct.pack("<H", 60_000), 60_000), 3: (struct.pack("<h", -300), -300),
    4: (struct.pack("<I", 1 << 31), 1 << 31), 5: (struct.pack("<i", -9), -9),
    6: (struct.pack("<f", 0.1), 0.1), 7: (b"\x01", True), 8: (string(b"x"), "x"),
    9: (struct.pack("<IQ", 9, 1) + struct.pack("<IQ", 8, 1) + string(b"deep"), [["deep"]]),
    10: (struct.pack("<Q", 1 << 60), 1 << 60), 11: (struct.pack("<q", -(1 << 60)), -(1 << 60)),
    12: (struct.pack("<d", 0.1), 0.1),
}  # fmt: skip


@pytest.mark.parametrize("version", [2, 3])
def test_every_type_of_metadata_is_read(tmp_path, version):
    path = tmp_path / "a.gguf"
    entries = [entry(b"k%d" % kind, kind, raw) for kind, (raw, _) in EVERY_KIND.items()]
    path.write_bytes(gguf(entries, version=version))
    found = open_gguf(path).metadata
    assert found == {f"k{kind}": value for kind, (_, value) in EVERY_KIND.items()}
    assert {key: type(value) for key, value in found.items()} == {
        f"k{kind}": type(value) for kind, (_, value) in EVERY_KIND.items()
    }


def test_the_alignment_of_the_file_counts(tmp_path):
    path, numbers = tmp_path / "a.gguf", np.arange(4, dtype=np.float32)
    head = gguf([entry(b"general.alignment", 4, struct.pack("<I", 256))], [tensor()])
    head = head + bytes(256 - len(head))
    path.write_bytes(head + numbers.tobytes())
    assert np.array_equal(open_gguf(path).values("t"), numbers)


HUGE = 1 << 62
LIE = {
    "begin": (b"GGML" + bytes(20), "does not begin with GGUF"),
    "short": (b"GGUF\x03\x00", "do not fit the 2 bytes"),
    "version 1": (gguf(version=1), "version 1; groundup reads little-endian"),
    "big endian": (gguf(version=3 << 24), "of big-endian machines"),
    "tensors": (b"GGUF" + struct.pack("<IQQ", 3, HUGE, 0), f"{HUGE} tensors do not fit"),
    "entries": (b"GGUF" + struct.pack("<IQQ", 3, 0, HUGE), f"{HUGE} entries of metadata do not"),
    "key": (gguf([struct.pack("<Q", HUGE) + bytes(99)]), "a key has 4,611,686,018,427,387,904 byt"),
    "text": (gguf([entry(b"k", 8, struct.pack("<Q", HUGE))]), "the text of 'k' of 4,611,"),
    "utf-8": (gguf([entry(b"k", 8, string(b"\xff"))]), "the text of 'k' .* is not UTF-8"),
    "numbers": (gguf([entry(b"k", 9, struct.pack("<IQ", 4, HUGE))]), "numbers of 'k' do not fit"),
    "texts": (gguf([entry(b"k", 9, struct.pack("<IQ", 8, HUGE))]), "elements of 'k' do not fit"),
    "lists": (gguf([entry(b"k", 9, struct.pack("<IQ", 9, HUGE))]), "elements of 'k' do not fit"),
    "depth": (gguf([entry(b"k", 9, struct.pack("<IQ", 9, 1) * 2000)]), "lists more than 4 deep"),
    "kind": (gguf([entry(b"k", 13, b"")]), "'k' has the unknown type 13"),
    "truth": (gguf([entry(b"k", 7, b"\x02")]), "neither 0 nor 1"),
    "twice": (gguf([entry(b"k", 0, b"\x00")] * 2), "the key 'k' is duplicated"),
    "alignment": (gguf([entry(b"general.alignment", 4, struct.pack("<I", 24))]), "not a power of"),
    "alignment 0": (gguf([entry(b"general.alignment", 4, bytes(4))]), "not a power of two"),
    "alignment text": (gguf([entry(b"general.alignment", 8, string(b"x"))]), "not a power of two"),
    "dimensions": (gguf((), [tensor(sizes=(1,) * 5)], data=bytes(4)), "has 5 dimensions"),
    "no dimensions": (gguf((), [tensor(sizes=())], data=bytes(64)), "has 0 dimensions"),
    "type": (gguf((), [tensor(type=9)], data=bytes(16)), "in type 9; groundup reads F32, F16"),
    "rows": (gguf((), [tensor(sizes=(33, 32), type=8)], data=bytes(9999)), "not complete blocks"),
    "none": (gguf((), [tensor(sizes=(4, 0))], data=bytes(16)), "not complete blocks of F32"),
    "product": (gguf((), [tensor(sizes=(HUGE, HUGE, HUGE))], data=bytes(16)), "'t' ends at byte"),
    "wraps": (gguf((), [tensor(sizes=(1 << 32, 1 << 30))], data=bytes(16)), "'t' ends at byte"),
    "offset": (gguf((), [tensor(offset=(1 << 64) - 32)], data=bytes(16)), "'t' ends at byte"),
    "unaligned": (gguf((), [tensor(offset=4)], data=bytes(64)), "starts at 4, not a mul"),
    "overlap": (gguf((), [tensor(b"a"), tensor(b"b")], data=bytes(64)), "overlaps another"),
    "one name": (gguf((), [tensor(), tensor(offset=32)], data=bytes(64)), "have the same name"),
}  # fmt: skip


@pytest.mark.parametrize("name", LIE)
def test_a_file_that_lies_is_refused_in_one_line(tmp_path, name):
    content, said = LIE[name]
    path = tmp_path / "a.gguf"
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=said) as caught:
        open_gguf(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_missing_and_empty_files_and_folders_are_refused(tmp_path):
    (tmp_path / "empty").touch()
    with pytest.raises(ArtifactError, match="is empty; expected a GGUF file"):
        open_gguf(tmp_path / "empty")
    with pytest.raises(ArtifactError, match="No such file"):
        open_gguf(tmp_path / "none")
    with pytest.raises(ArtifactError, match="Is a directory"):
        open_gguf(tmp_path)


def test_every_cut_is_refused(whole):
    content = np.fromfile(whole, np.uint8)
    last = max(one.start + one.bytes for one in open_gguf(whole).tensors.values())
    for size in range(1, last):
        with pytest.raises(ArtifactError, match=r"do not fit|does not begin|ends at byte"):
            Parser(whole, content[:size]).parse()


def mutated(content, chance, rest=b""):
    """A copy with a few bytes changed, a number replaced, or a piece lost or doubled; then rest."""
    content = bytearray(content)
    match chance.randrange(4):
        case 0:
            for _ in range(chance.randint(1, 8)):
                content[chance.randrange(len(content))] = chance.randrange(256)
        case 1:
            place = chance.randrange(len(content) - 8)
            number = chance.choice([0, 1, 255, 1 << 31, (1 << 32) - 1, HUGE, (1 << 64) - 1])
            content[place : place + 8] = struct.pack("<Q", number)
        case 2:
            begin, end = sorted(chance.sample(range(len(content)), 2))
            del content[begin:end]
        case 3:
            begin, end = sorted(chance.sample(range(len(content)), 2))
            content[begin:begin] = content[begin:end]
    return np.frombuffer(content + rest, np.uint8)


@contextmanager
def at_most(more):
    """Let the process take so many bytes of memory more."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + more, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are Linux's")
def test_two_thousand_mutations_are_opened_or_refused_in_little_memory(whole):
    content, chance = whole.read_bytes(), random.Random(0)
    outcomes = {"opened": 0, "refused": 0}
    with at_most(64 << 20):
        for _ in range(2000):
            try:
                opened = Parser(whole, mutated(content, chance)).parse()
                for name in opened.tensors:
                    opened.values(name)
                outcomes["opened"] += 1
            except ArtifactError as error:
                assert "\n" not in str(error)
                outcomes["refused"] += 1
    assert min(outcomes.values()) > 300, outcomes


def test_a_pipe_and_a_device_are_never_read(tmp_path):
    os.mkfifo(tmp_path / "a.gguf")
    (tmp_path / "b.gguf").symlink_to("/dev/zero")
    for name in ("a.gguf", "b.gguf"):
        with pytest.raises(ArtifactError, match=f"{name} cannot be read .*no regular file"):
            open_gguf(tmp_path / name)


def written(values, type="F32", name="t"):
    return TensorToWrite(name, block_types()[type], values.shape, lambda: values)


@pytest.mark.parametrize("value", [1 << 63, -(1 << 64), [1, 2], np.ones((2, 2)), np.array(["a"])])
def test_values_that_metadata_cannot_hold_are_named(value):
    with pytest.raises(DataError, match="metadata cannot hold some.key="):
        _encode_value("some.key", value)


def test_a_failed_write_keeps_what_was_there(tmp_path):
    path = tmp_path / "a.gguf"
    write_gguf_file(path, {}, [written(np.ones(3, np.float32))])
    before = path.read_bytes()
    bad = written(np.array([np.inf], np.float32), name="bad")
    with pytest.raises(DataError, match="Tensor bad: A value of magnitude inf"):
        write_gguf_file(path, {}, [written(np.ones(3, np.float32)), bad])
    with pytest.raises(DataError, match="5 dimensions; GGUF has 1 to 4"):
        write_gguf_file(path, {}, [written(np.ones((1,) * 5, np.float32))])
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["a.gguf"]


def test_tensors_begin_at_multiples_and_do_not_touch(tmp_path):
    path = tmp_path / "a.gguf"
    sizes = (1, 7, 8, 9, 31)
    write_gguf_file(path, {}, [written(np.full(n, n, np.float32), name=str(n)) for n in sizes])
    opened = open_gguf(path)
    for n in sizes:
        assert opened.tensors[str(n)].start % 32 == 0
        assert opened.values(str(n)).tolist() == [n] * n
    assert path.stat().st_size % 32 == 0
