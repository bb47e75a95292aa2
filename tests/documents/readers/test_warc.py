"""Archives give every page once, however they are split and whatever is broken in them."""

import gzip
import random

import pytest

from groundup.documents import Record, Rejected
from groundup.documents.readers.warc import Warc, WarcConfig, _decode_chunked, _parse_content_type

pytest.importorskip("fastwarc")
OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=koi8-r\r\n"


def record(type: bytes, body: bytes, url: bytes = b"http://a/") -> bytes:
    http = b"application/http; msgtype=response" if type == b"response" else b"text/plain"
    head = (
        b"WARC/1.0\r\nWARC-Type: " + type + b"\r\nWARC-Target-URI: " + url
        + b"\r\nWARC-Date: 2026-01-01T00:00:00Z\r\nWARC-Record-ID: <urn:uuid:1>\r\nContent-Type: "
        + http + b"\r\nContent-Length: %d\r\n\r\n" % len(body)
    )  # fmt: skip
    return head + body + b"\r\n\r\n"


def page(number: int) -> bytes:
    text = f"<p>страница {number} "
    return record(b"response", OK + b"\r\n" + text.encode("koi8-r") * (number % 40 + 1))


def all_of(root, config: WarcConfig | None = None) -> list[Record | Rejected]:
    reader = Warc(config or WarcConfig())
    return [one for part in reader.plan(root) for one in reader.read(root, part, "s")]


@pytest.mark.parametrize("pack, name", [(gzip.compress, "a.warc.gz"), (bytes, "a.warc")])
@pytest.mark.parametrize("part_bytes", [100, 333, 4096, 10**6])
def test_split_anywhere_every_page_comes_once(tmp_path, pack, name, part_bytes):
    fake = record(b"response", OK + b"\r\nx\r\n\r\n" + record(b"response", OK + b"\r\nfake"))
    pieces = [page(number) for number in range(60)] + [fake, page(61)]
    (tmp_path / name).write_bytes(b"".join(pack(piece) for piece in pieces))
    found = all_of(tmp_path, WarcConfig(part_bytes=part_bytes))
    assert [one.data for one in found] == [one.data for one in all_of(tmp_path)]
    assert len(found) == 62 and len({one.id for one in found}) == 62
    assert found[1].data.decode("koi8-r").startswith("<p>страница 1")
    assert (found[1].metadata["charset"], found[1].metadata["url"]) == ("koi8-r", "http://a/")


def test_damage_costs_one_record(tmp_path):
    members = [gzip.compress(page(number)) for number in range(5)]
    broken = bytearray(members[2])
    broken[60:70] = random.Random(0).randbytes(10)
    members[2] = bytes(broken)
    (tmp_path / "a.warc.gz").write_bytes(b"".join(members)[:-30])
    found = all_of(tmp_path)
    assert [type(one) for one in found] == [Record, Record, Rejected, Record, Rejected]
    assert found[2].reason in ("broken archive", "cut off", "not HTTP")
    assert found[4].reason == "cut off"


def test_a_member_cut_off_in_its_header_is_seen(tmp_path):
    (tmp_path / "a.warc.gz").write_bytes(gzip.compress(page(1)) + gzip.compress(page(2))[:120])
    one, two = all_of(tmp_path)
    assert isinstance(one, Record) and two.reason in ("broken archive", "cut off")


@pytest.mark.parametrize("part_bytes", [10**6, 150])
@pytest.mark.parametrize("bytes_left", [1, 5, 10, 18, 50])
def test_a_member_cut_off_in_its_first_bytes_is_counted(tmp_path, bytes_left, part_bytes):
    good = [gzip.compress(page(number)) for number in (1, 2)]
    end = len(good[0]) + len(good[1])
    cut = gzip.compress(page(3))[:bytes_left]
    (tmp_path / "a.warc.gz").write_bytes(b"".join(good) + cut)
    one, two, lost = all_of(tmp_path, WarcConfig(part_bytes=part_bytes))
    assert isinstance(one, Record) and isinstance(two, Record)
    assert lost[:2] == (f"a.warc.gz#{end}", "cut off")


def test_padding_is_no_damage_and_other_bytes_are(tmp_path):
    member = gzip.compress(page(1))
    (tmp_path / "a.warc.gz").write_bytes(member + b"\0" * 1_000)
    (tmp_path / "b.warc.gz").write_bytes(member + b"other" * 9 + member)
    (tmp_path / "c.warc").write_bytes(page(1) + b"\r\n" * 9)
    one, two, lost, three, four = all_of(tmp_path)
    assert lost[:2] == (f"b.warc.gz#{len(member)}", "broken archive")
    assert [type(found) for found in (one, two, three, four)] == [Record] * 4


def test_damage_has_a_place_of_its_own(tmp_path):
    whole = page(1) + page(2)
    (tmp_path / "a.warc").write_bytes(whole + b"WAR")
    (tmp_path / "b.warc.gz").write_bytes(gzip.compress(page(1) * 3 + b"no record" * 9))
    found = all_of(tmp_path)
    assert found[2][:2] == (f"a.warc#{len(whole)}", "cut off")
    assert len({one.path for one in found}) == len(found) and isinstance(found[5], Record)


def test_plain_archives_cut_off_and_files_that_are_none(tmp_path):
    (tmp_path / "a.warc").write_bytes(page(1) + page(2)[:-40])
    (tmp_path / "b.warc").write_bytes(b"nothing of the kind")
    (tmp_path / "c.warc.gz").write_bytes(gzip.compress(b"nothing of the kind"))
    (tmp_path / "d.warc").write_bytes(b"")
    reasons = [one.reason if isinstance(one, Rejected) else "" for one in all_of(tmp_path)]
    assert reasons == ["", "cut off", "not an archive", "not an archive"]


def test_what_is_no_delivered_page_is_rejected_by_name(tmp_path):
    bomb = gzip.compress(b"<p>" + b"x" * 10_000_000)
    coded = OK + b"Content-Encoding: gzip\r\n"
    chunks = b"Transfer-Encoding: chunked\r\n\r\n3\r\n<p>\r\n2;a=b\r\nhi\r\n0\r\n\r\n"
    pieces = [
        record(b"warcinfo", b"software: x"), record(b"request", b"GET / HTTP/1.1\r\n\r\n"),
        record(b"revisit", b""), record(b"metadata", b"a: b"),
        record(b"response", b"HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\n\r\nno"),
        record(b"response", b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n\r\nx"),
        record(b"response", b"HTTP/1.1 200 OK\r\n\r\nx"), record(b"response", b"junk"),
        record(b"response", OK + b"\r\n" + b"x" * 6_000_000),
        record(b"response", coded + b"\r\n" + bomb),
        record(b"response", coded + b"\r\n" + bomb[:999]),
        record(b"response", coded + b"\r\n" + gzip.compress(b"<p>packed")),
        record(b"response", coded + b"\r\n<p>unpacked"), record(b"response", OK + chunks),
        record(b"response", OK + b"\r\n"),
    ]  # fmt: skip
    (tmp_path / "a.warc").write_bytes(b"".join(pieces))
    found = all_of(tmp_path)
    assert [one.reason if isinstance(one, Rejected) else one.data for one in found] == [
        "not delivered", "another kind of content", "another kind of content", "not HTTP",
        "too large", "too large", "cut off", b"<p>packed", b"<p>unpacked", b"<p>hi", "empty",
    ]  # fmt: skip


def test_wet_conversions_are_texts_mapped_to_their_bytes(tmp_path):
    text = "Überschrift\nText 世界\n"
    data = record(b"warcinfo", b"x") + record(b"conversion", text.encode()) * 3
    (tmp_path / "a.warc.wet.gz").write_bytes(gzip.compress(data))  # one member for all
    one, *others = all_of(tmp_path, WarcConfig(part_bytes=50))
    assert len({one.id, *(other.id for other in others)}) == 3
    assert (one.kind, one.text) == ("text", text)
    start, end = one.map.byte_range(17, 19)
    assert text.encode()[start:end].decode() == "世界"


def test_headers_and_chunks_that_lie_are_taken_as_they_are():
    assert _parse_content_type("") == ("", "") and _parse_content_type(";charset=") == ("", "")
    assert _decode_chunked(b"<p>no chunks") == b"<p>no chunks"
    assert _decode_chunked(b"ffffffffff\r\nabc") == b"abc"
    assert _decode_chunked(b"2\r\nab\r\nzz\r\n") == b"ab"
