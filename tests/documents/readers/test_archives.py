"""Members are records; bombs, links and names that lead out are told by name and cost little."""

import bz2
import gzip
import io
import lzma
import random
import tarfile
import zipfile

import pytest

from groundup.documents import Record, Rejected
from groundup.documents.readers.archives import Archive, ArchiveConfig

TEX = b"\\documentclass{article}\n\\begin{document}\nHello\n\\end{document}\n"


def all_of(root, config: ArchiveConfig | None = None) -> dict[str, str]:
    reader = Archive(config or ArchiveConfig())
    found = [one for part in reader.plan(root) for one in reader.read(root, part, "s")]
    assert len({one.path for one in found}) == len(found)
    return {
        one.path: one.reason if isinstance(one, Rejected) else f"{one.kind}: {one.text or one.data}"
        for one in found
    }


def tar(entries: dict[str, bytes], mode: str = "w:gz", odd: tuple = ()) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        for name, data in entries.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for name, type, target in odd:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = type, target
            archive.addfile(info)
    return file.getvalue()


def zipped(entries: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return file.getvalue()


def test_every_way_of_packing_gives_the_same_members(tmp_path):
    entries = {"a/b.txt": "é one".encode(), "c.md": b"# two", "d.html": b"<p>three", "e.png": b"x"}
    (tmp_path / "a.zip").write_bytes(zipped(entries))
    for name, mode in (
        ("b.tar", "w"),
        ("c.tgz", "w:gz"),
        ("d.tar.bz2", "w:bz2"),
        ("e.txz", "w:xz"),
    ):
        (tmp_path / name).write_bytes(tar(entries, mode))
    found = all_of(tmp_path)
    for name in ("a.zip", "b.tar", "c.tgz", "d.tar.bz2", "e.txz"):
        assert [found[f"{name}#{entry}"] for entry in entries] == [
            "text: é one", "markdown: # two", "html: b'<p>three'", "another kind of file",
        ]  # fmt: skip


def test_hidden_members_are_left_out_by_their_topmost_hidden_folder(tmp_path):
    entries = {
        ".git/": b"", ".git/config": b"[core]", ".git/hooks/a.txt": b"x", "__MACOSX/._b": b"x",
        "a/.DS_Store": b"x", "a/node_modules/x.js": b"x", "a/b.txt": b"one", "../.out.txt": b"x",
        "./c.txt": b"two", ".": b"x",
    }  # fmt: skip
    (tmp_path / "a.zip").write_bytes(zipped(entries))
    (tmp_path / "b.zip").write_bytes(zipped(entries)[: zipped(entries).index(b"PK\1\2")])
    (tmp_path / "c.tgz").write_bytes(tar({k: v for k, v in entries.items() if k != ".git/"}))
    hidden = dict.fromkeys((".git", "__MACOSX", "a/.DS_Store", "a/node_modules"), "hidden")
    kept = {"a/b.txt": "text: one", "c.txt": "text: two"}
    for name in ("a.zip", "b.zip", "c.tgz"):
        found = all_of(tmp_path / name)
        assert found.pop(f"{name}#../.out.txt") == "name leads out of the archive"
        assert {path: found.get(f"{name}#{path}") for path in hidden | kept} == hidden | kept
        assert not any("hooks" in path or "config" in path for path in found)


def test_papers_in_the_shapes_of_arxiv(tmp_path):
    (tmp_path / "2601.00001.gz").write_bytes(tar({"main.tex": TEX, "fig.eps": b"%!PS"}))
    (tmp_path / "2601.00002.gz").write_bytes(gzip.compress(TEX))
    (tmp_path / "2601.00003.tar.gz").write_bytes(tar({"main.tex": TEX, "ref.bbl": b"x"}))
    found = all_of(tmp_path, ArchiveConfig(kinds=("latex",)))
    latex = [path for path, said in found.items() if said == f"latex: {TEX.decode()}"]
    assert latex == [
        "2601.00001.gz#main.tex", "2601.00002.gz#2601.00002.tex", "2601.00003.tar.gz#main.tex",
    ]  # fmt: skip
    assert found["2601.00001.gz#fig.eps"] == "another kind of file"


def test_single_files_by_their_inner_ending(tmp_path):
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(b"one"))
    (tmp_path / "b.md.xz").write_bytes(lzma.compress(b"# two"))
    (tmp_path / "c.py.bz2").write_bytes(bz2.compress(b"x = 3"))
    (tmp_path / "d.txt.gz").write_bytes(
        gzip.compress(random.Random(0).randbytes(999).hex().encode())[:-40]
    )
    (tmp_path / "e.txt.xz").write_bytes(lzma.compress(b"cut off" * 99)[:-30])
    assert list(all_of(tmp_path).values()) == [
        "text: one", "markdown: # two", "python: x = 3", "broken archive", "broken archive",
    ]  # fmt: skip


def random_texts(count: int) -> dict[str, bytes]:
    source = random.Random(1)
    return {f"{n:02d}.txt": source.randbytes(1_500).hex().encode() for n in range(count)}


@pytest.mark.parametrize(
    "mode, name, count, least",
    [("w:gz", "a.tgz", 60, 27), ("w:bz2", "a.tbz2", 800, 200), ("w:xz", "a.txz", 60, 27),
     ("w", "a.tar", 60, 27)],
)  # fmt: skip
def test_what_stands_before_a_cut_in_a_tar_is_kept(tmp_path, mode, name, count, least):
    entries = random_texts(count)  # bzip2 packs 900,000 bytes together
    whole = tar(entries, mode)
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    found = all_of(tmp_path)
    assert found.pop(name) == "broken archive"
    assert list(found) == [f"{name}#{n:02d}.txt" for n in range(len(found))]
    assert len(found) >= least
    assert all(found[f"{name}#{key}"] == f"text: {text.decode()}"
               for key, text in entries.items() if f"{name}#{key}" in found)  # fmt: skip


def test_a_tar_that_ends_early_is_told_wherever_it_ends(tmp_path):
    whole = tar({"a.txt": b"one", "b.txt": b"two"}, "w")
    packed = tar({"a.txt": b"one"})
    damaged = bytearray(whole)
    damaged[1024 + 150] ^= 255  # in the sum of the second header
    for name, data in (("a.tar", whole[:1024]), ("b.tar", whole[:1100]), ("c.tgz", packed[:-10]),
                       ("d.tar", bytes(damaged))):  # fmt: skip
        (tmp_path / name).write_bytes(data)
        assert all_of(tmp_path / name)[f"{name}#a.txt"] == "text: one"
        assert all_of(tmp_path / name)[name] == "broken archive"
    (tmp_path / "whole.tar").write_bytes(whole)
    assert list(all_of(tmp_path / "whole.tar").values()) == ["text: one", "text: two"]


def test_a_name_longer_than_any_is_a_bomb(tmp_path):
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 8 * 2**20
    data = info.tobuf() + b"n" * info.size
    (tmp_path / "a.tar").write_bytes(tar({"a.txt": b"one"}, "w")[:1024] + data)
    assert all_of(tmp_path) == {"a.tar#a.txt": "text: one", "a.tar": "bomb"}


class Unseekable(io.BytesIO):
    """A file that zipfile cannot go back in, so sizes follow the members."""

    def seekable(self) -> bool:
        return False

    def seek(self, *place: int) -> int:
        raise OSError

    def tell(self) -> int:
        raise OSError


@pytest.mark.parametrize("file", [io.BytesIO, Unseekable])
def test_a_zip_without_its_directory_is_walked(tmp_path, file):
    entries, made = random_texts(20) | {"z/": b"", "../x.txt": b"x"}, file()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    whole = made.getvalue()
    (tmp_path / "a.zip").write_bytes(whole[: whole.index(b"PK\x01\x02")])
    (tmp_path / "b.zip").write_bytes(whole[: len(whole) // 2])
    first, half = all_of(tmp_path / "a.zip"), all_of(tmp_path / "b.zip")
    assert first.pop("a.zip") == half.pop("b.zip") == "broken archive"
    assert list(first.values()) == [f"text: {data.decode()}" for data in entries.values()][:20] + [
        "name leads out of the archive"
    ]
    *kept, cut = half.values()
    assert len(kept) in (9, 10) and cut == "cut off"
    assert kept == [f"text: {data.decode()}" for data in entries.values()][: len(kept)]


def test_a_zip_without_its_directory_keeps_its_limits(tmp_path):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.txt", b"0" * 9_000_000)
        archive.writestr("big.txt", random.Random(0).randbytes(40_000).hex())
        archive.writestr("packed.txt", b"ok", zipfile.ZIP_LZMA)
        archive.writestr("ok.txt", b"ok", zipfile.ZIP_STORED)
        archive.writestr("bad.txt", b"spoilt", zipfile.ZIP_STORED)
    data = made.getvalue().replace(b"spoilt", b"Spoilt", 1)
    (tmp_path / "a.zip").write_bytes(data[: data.index(b"PK\x01\x02")])
    limits = ArchiveConfig(max_bytes=70_000, max_ratio=50)
    assert list(all_of(tmp_path, limits).values()) == [
        "too large", "too large", "broken archive", "text: ok", "broken archive", "broken archive",
    ]  # fmt: skip
    found = all_of(tmp_path, ArchiveConfig(max_ratio=50))
    assert found["a.zip#bomb.txt"] == "bomb" and found["a.zip#big.txt"].startswith("text")
    assert all_of(tmp_path, ArchiveConfig(max_members=2, max_bytes=70_000))["a.zip"] == (
        "too many members"
    )
    found = all_of(tmp_path, ArchiveConfig(max_total_bytes=79_999))
    assert found["a.zip#big.txt"] == "bomb"


def test_names_links_and_devices_lead_nowhere(tmp_path):
    entries = {"../out.txt": b"x", "/etc/passwd.txt": b"x", "a/../../b.txt": b"x", "ok.txt": b"y"}
    odd = (("link.txt", tarfile.SYMTYPE, "/etc/passwd"), ("hard.txt", tarfile.LNKTYPE, "ok.txt"),
           ("dev.txt", tarfile.CHRTYPE, ""), ("pipe.txt", tarfile.FIFOTYPE, ""))  # fmt: skip
    (tmp_path / "a.tar").write_bytes(tar(entries, "w", odd))
    link = zipfile.ZipInfo("link.txt")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("..\\out.txt", "x")
        archive.writestr("ok.txt", "y")
        archive.writestr(link, "/etc/passwd")
    found = all_of(tmp_path)
    out, odd = "name leads out of the archive", "not a regular file"
    assert list(found.values()) == [
        out,
        out,
        out,
        "text: y",
        odd,
        odd,
        odd,
        odd,
        out,
        "text: y",
        odd,
    ]


def test_bombs_are_put_out(tmp_path):
    zeros = b"0" * 30_000_000
    (tmp_path / "a.zip").write_bytes(zipped({"zeros.txt": zeros, "ok.txt": b"y"}))
    (tmp_path / "b.tgz").write_bytes(tar({"ok.txt": b"y", "zeros.txt": zeros}))
    (tmp_path / "c.txt.gz").write_bytes(gzip.compress(zeros))
    (tmp_path / "d.txt.xz").write_bytes(lzma.compress(zeros))
    (tmp_path / "e.zip").write_bytes(zipped({"inner.zip": zipped({"x.txt": zeros})}))
    overlapping = bytearray(zipped({"a.txt": b"x" * 99, "b.txt": b"y" * 99}))
    directory = overlapping.index(b"PK\1\2")
    second = overlapping.index(b"PK\1\2", directory + 1)
    overlapping[second + 42 : second + 46] = (0).to_bytes(4, "little")
    (tmp_path / "f.zip").write_bytes(overlapping)
    assert all_of(tmp_path) == {
        "a.zip#zeros.txt": "bomb", "a.zip#ok.txt": "text: y",
        "b.tgz#ok.txt": "text: y", "b.tgz": "bomb", "c.txt.gz": "bomb", "d.txt.xz": "bomb",
        "e.zip#inner.zip": "archive in an archive", "f.zip": "bomb",
    }  # fmt: skip


def test_caps_on_members_sizes_and_the_whole(tmp_path):
    entries = {f"{number}.txt": b"x" * 100 for number in range(10)}
    (tmp_path / "a.zip").write_bytes(zipped(entries))
    assert set(all_of(tmp_path, ArchiveConfig(max_members=9)).values()) == {"too many members"}
    assert set(all_of(tmp_path, ArchiveConfig(max_bytes=99)).values()) == {"too large"}
    assert set(all_of(tmp_path, ArchiveConfig(max_total_bytes=999)).values()) == {"bomb"}


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tgz", "a.txz", "a.tar.bz2", "a.gz"])
def test_damage_of_any_kind_is_a_reject(tmp_path, name):
    entries = {"a.txt": b"one " * 500, "b.txt": random.Random(1).randbytes(2_000).hex().encode()}
    whole = zipped(entries) if name == "a.zip" else tar(
        entries, {"a.tar": "w", "a.txz": "w:xz", "a.tar.bz2": "w:bz2"}.get(name, "w:gz")
    )  # fmt: skip
    chance = random.Random(2)
    for _ in range(40):
        data = bytearray(whole)
        for _ in range(chance.randrange(1, 20)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        (tmp_path / name).write_bytes(data[: chance.randrange(len(data))] if _ % 2 else data)
        all_of(tmp_path)
    for data in (b"", b"\0" * 512, b"junk" * 500):
        (tmp_path / name).write_bytes(data)
        assert all(isinstance(said, str) for said in all_of(tmp_path).values())


def test_an_encrypted_member_is_named(tmp_path):
    data = bytearray(zipped({"a.txt": b"secret"}))
    data[6] |= 1
    data[data.index(b"PK\1\2") + 8] |= 1
    (tmp_path / "a.zip").write_bytes(data)
    assert all_of(tmp_path) == {"a.zip#a.txt": "encrypted"}


def test_records_have_their_map(tmp_path):
    (tmp_path / "a.zip").write_bytes(zipped({"a.txt": "x é".encode()}))
    reader = Archive(ArchiveConfig())
    (one,) = reader.read(tmp_path, reader.plan(tmp_path)[0], "s")
    assert isinstance(one, Record) and one.map.byte_range(2, 3) == (2, 4)
