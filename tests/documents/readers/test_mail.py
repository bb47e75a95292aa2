"""Messages come once each, with the headers that make threads and a map to their bytes."""

import base64
import quopri

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.documents import Record, Rejected
from groundup.documents.readers.mail import Mail, MailConfig, _decode_header, _iso_date

FROM = b"From ada@example.org  Fri Jan  2 10:20:30 2026\n"


def message(number: int, body: bytes = b"", extra: bytes = b"") -> bytes:
    return (
        b"From: =?utf-8?q?Ad=C3=A9?= <ada@example.org>\nSubject: Number %d\n"
        b"Date: Fri, 2 Jan 2026 10:20:30 +0100\nMessage-ID: <%d@example.org>\n"
        b"In-Reply-To: <0@example.org>\nReferences: <a@b> <0@example.org>\n" % (number, number)
        + extra + b"\n" + (body or b"Hello %d\n\n> quoted\n-- \nAda\n" % number)
    )  # fmt: skip


def all_of(root, config: MailConfig | None = None) -> list[Record | Rejected]:
    reader = Mail(config or MailConfig())
    return [one for part in reader.plan(root) for one in reader.read(root, part, "s")]


def one_of(tmp_path, data: bytes) -> Record | Rejected:
    (tmp_path / "a.eml").write_bytes(data)
    (one,) = all_of(tmp_path)
    return one


@pytest.mark.parametrize("part_bytes", [60, 200, 333, 10**6])
def test_split_anywhere_every_message_comes_once(tmp_path, part_bytes):
    tricky = b"Text\n\nFrom here on it is prose.\nFrom: not a header\n"
    bodies = [b"", tricky, b"Last line without end"]
    box = b"\n\n".join(FROM + message(n, bodies[n % 3]) for n in range(20))
    (tmp_path / "a.mbox").write_bytes(box)
    found = all_of(tmp_path, MailConfig(part_bytes=part_bytes))
    assert [one.metadata["title"] for one in found] == [f"Number {n}" for n in range(20)]
    assert found == all_of(tmp_path)
    assert tricky.decode().strip() in found[1].text
    for one in found:
        offset = int(one.path.partition("#")[2])
        data = box[offset:]
        start, end = one.map.byte_range(0, 5)
        assert box[:offset].endswith(FROM)
        assert data[start:end].decode() == one.text[:5]


def test_headers_become_what_threads_need(tmp_path):
    one = one_of(tmp_path, message(7))
    assert one.metadata == {
        "format": "mail", "title": "Number 7", "from": "Adé <ada@example.org>",
        "date": "2026-01-02T10:20:30+01:00", "message_id": "7@example.org",
        "in_reply_to": "0@example.org", "references": ["a@b", "0@example.org"],
    }  # fmt: skip
    assert one.kind == "conversation" and "> quoted" in one.text
    assert [(s.kind, s.value) for s in one.spans] == [("turn", "Adé <ada@example.org>")]


@settings(max_examples=40)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0\r\x0b\x0c\x1c\x1d\x1e\x85"),
               min_size=1, max_size=60), st.data())  # fmt: skip
def test_slices_of_a_body_are_its_bytes_decoded(tmp_path_factory, text, data):
    root = tmp_path_factory.mktemp("mail")
    text = "é" + text.strip() + "\n"
    raw = quopri.encodestring(text.encode())
    mime = b"MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n"
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    for coding, body, undo in (
        (b"8bit", text.encode(), bytes), (b"quoted-printable", raw, quopri.decodestring),
        (b"base64", base64.encodebytes(text.encode()), base64.b64decode),
    ):  # fmt: skip
        header = mime + b"Content-Transfer-Encoding: " + coding + b"\n"
        whole = message(1, body, header)
        one = one_of(root, whole)
        assert one.text == text
        first, last = one.map.byte_range(start, end)
        assert text[start:end] in undo(whole[first:last]).decode()
        if coding == b"8bit":
            assert whole[first:last].decode() == text[start:end]


def test_charsets_parts_and_attachments(tmp_path):
    kinds = b'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="b"\n'
    latin = "Grüße".encode("latin-1")
    body = (
        b"--b\nContent-Type: text/plain; charset=iso-8859-1\n\n" + latin
        + b"\n--b\nContent-Type: text/html\n\n<p>no\n--b\nContent-Type: image/png\n\nxx\n"
        b"--b\nContent-Type: text/plain\nContent-Disposition: attachment\n\nno\n"
        b"--b\nContent-Type: text/plain; charset=shift_jis\n\n" + "日本\n語".encode("shift_jis")
        + b"\n--b--\n"
    )  # fmt: skip
    whole = message(1, body, kinds)
    one = one_of(tmp_path, whole)
    assert one.text == "Grüße\n\n日本\n語" and one.metadata["attachments"] == 2
    start, end = one.map.byte_range(2, 4)
    assert whole[start:end].decode("latin-1") == "üß"
    html = one_of(tmp_path, message(1, b"<p>Only <b>this</b>", b"Content-Type: text/html\n"))
    assert html.text == "Only this"


def test_maildirs_and_packed_boxes(tmp_path):
    for folder in ("cur", "new", "tmp"):
        (tmp_path / "box" / folder).mkdir(parents=True)
        (tmp_path / "box" / folder / "1700.a.host:2,S").write_bytes(message(1))
    import gzip

    (tmp_path / "b.mbox.gz").write_bytes(gzip.compress((FROM + message(2) + b"\n") * 3))
    (tmp_path / "c.mbox.gz").write_bytes(gzip.compress((FROM + message(2) + b"\n") * 3)[:-20])
    found = all_of(tmp_path)
    assert [one.path for one in found if one.path.startswith("box")] == [
        "box/cur/1700.a.host:2,S", "box/new/1700.a.host:2,S",
    ]  # fmt: skip
    assert sum(one.path.startswith("b.mbox.gz#") for one in found) == 3
    last = next(one for one in found if one.path == "c.mbox.gz")
    assert isinstance(last, Rejected) and last.reason == "broken archive"


def test_a_million_lines_of_headers_are_refused_at_once(tmp_path):
    many = b"X-A: b\n" * 1_000_000
    assert one_of(tmp_path, many + b"\ntext").reason == "headers too long"
    (tmp_path / "a.eml").unlink()
    (tmp_path / "a.mbox").write_bytes(FROM + many + b"\n\n" + FROM + message(2))
    found = all_of(tmp_path)
    assert [getattr(one, "reason", "") for one in found] == ["headers too long", ""]
    found = all_of(tmp_path, MailConfig(max_bytes=10_000))
    assert [getattr(one, "reason", "") for one in found] == ["too large", ""]


def test_hostile_messages_cost_themselves_alone(tmp_path):
    nest = b"".join(
        b'Content-Type: multipart/mixed; boundary="%d"\n\n--%d\n' % (n, n) for n in range(3_000)
    )
    deep = b"From: a\n" + nest + b"\ntext"
    words = b"From: " + b"=?a?q?" * 100_000 + b"\n\ntext"
    for data in (deep, words, b"", b"\n\n", b"no headers at all", b"\xff" * 999,
                 b"From: \xff\xfe\nContent-Type: text/plain; charset=\xff\n\nx",
                 b"From: a\nContent-Transfer-Encoding: base64\n\n!!!!", b"From: a\n\nz\0ero",
                 b"From: =?nope?b?////?=\nDate: 99 Foo\n\nx"):  # fmt: skip
        one = one_of(tmp_path, data)
        assert isinstance(one, Rejected) or one.text
    assert _decode_header("=?nope?b?aGk=?= x") and _iso_date("32 Nov") == "32 Nov"


@pytest.mark.parametrize("name", ["unicode_escape", "idna", "punycode", "zlib", "utf-7"])
def test_an_encoded_word_runs_no_codec(name):
    assert _decode_header(f"=?{name}?Q?=5Cx41?=") == f"=?{name}?Q?=5Cx41?="
    assert _decode_header("=?iso-8859-1?Q?caf=E9?= =?utf-8?B?w6k=?=") == "caféé"


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_a_message_of_parts_without_end_is_refused_at_once(tmp_path, end):
    head = b"From: a@b\nContent-Type: multipart/mixed; boundary=x\n\n"
    found = one_of(tmp_path, head + (b"--x" + end + end) * 200_000)
    assert isinstance(found, Rejected) and found.reason == "too many parts"
