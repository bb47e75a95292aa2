"""Each kind's examples are found whole; what looks alike and is none is not."""

import pytest

from groundup.corpus.safety.personal import VALIDATED, find_personal

FOUND = [
    ("email", "jo.doe+x@mail.uni-mainz.de"),
    ("email", "müller@firma.com"),
    ("email", "john (at) acme (dot) com"),
    ("email", "john [at] acme.com"),
    ("email", "иван@почта.рф"),
    ("email", "jane@acme.technology"),
    ("email", "o'brien@acme.com"),
    ("mac", "001b.4411.3ab7"),
    ("iban", "de89370400440532013000"),
    ("iban", "gb82 west 1234 5698 7654 32"),
    ("ip", "84.17.3.220"),
    ("ip", "2a00:1450:4001:81b::200e"),
    ("card", "4111-1111-1111-1111"),
    ("card", "378282246310005"),
    ("iban", "DE89 3704 0044 0532 0130 00"),
    ("iban", "NL91ABNA0417164300"),
    ("mac", "00:1b:44:11:3a:b7"),
    ("national_id", "536-22-1234"),
    ("national_id", "86 095 742 719"),
    ("national_id", "12345678Z"),
    ("national_id", "RSSMRA85T10A562S"),
    ("national_id", "AB 12 34 56 C"),
    ("national_id", "44051401359"),
    ("national_id", "529.982.247-25"),
    ("coordinates", "52°31'12\" N, 13°24'18\" E"),
]
NOT_FOUND = """user@example.com|root@localhost
getty@tty1.service|a@b|git@host.conf|192.168.1.1|10.0.0.1
127.0.0.1|203.0.113.7|2001:db8::1|fe80::1|::1|std::vector|12:30:45|4111 1111 1111 1112
DE88 3704 0044 0532 0130 00|version 1.2.3.4|2.6.32.5
00:11:22:33:44:55|000-12-3456|12345678A
git@github.com:foo/bar.git|ssh://git@host.de/x|rows[at].name|a (at) b|dead.beef.cafe|1234.5678.9012
0011.2233.4455|de88370400440532013000|f(at) x.y|o'clock@noon
255.255.255.0|0.12345, 0.67890|86095742719|111222333|A12345678|ff:ff:ff:ff:ff:ff""".replace(
    "\n", "|"
)


@pytest.mark.parametrize(("kind", "value"), FOUND)
def test_a_value_is_found_whole(kind, value):
    for text in (f"It is {value}.", f"({value})", f"{value}", f"x: {value}, y", f"\n{value}\n"):
        found = [(one.kind, text[one.start : one.end]) for one in find_personal(text)]
        assert found == [(kind, value)], text


@pytest.mark.parametrize("value", NOT_FOUND.split("|"))
def test_what_looks_alike_is_not(value):
    assert find_personal(f"It is {value} here.") == []


def test_a_word_nearby_decides_where_the_number_does_not():
    for text, kind in (
        ("BSN: 111222333", "national_id"),
        ("Steuer-ID 86095742719", "national_id"),
        ("CPF 52998224725", "national_id"),
        ("GPS 52.52000, 13.40500", "coordinates"),
        ("ping 9.9.9.9", "ip"),
    ):
        assert [one.kind for one in find_personal(text)] == [kind]


def test_an_address_in_a_string_of_code_has_no_prefix():
    for text in ("b'jo@acme.com'", "u'jo@acme.com'", "x = 'jo@acme.com'", "'jo@acme.com','x'"):
        assert [text[a:b] for a, b, _ in find_personal(text)] == ["jo@acme.com"]


def test_what_follows_an_account_stays():
    text = "IBAN DE89 3704 0044 0532 0130 00 BIC COBADEFF"
    assert [text[a:b] for a, b, _ in find_personal(text)] == ["DE89 3704 0044 0532 0130 00"]


@pytest.mark.parametrize(
    "hostile",
    ["a" * 10**6, "<" * 10**6, "1" * 10**6, "1." * 300_000, "1 " * 300_000, "a@" * 300_000,
     "A" * 10**6, "a:" * 300_000, "(0)" * 50_000, "AB12 " * 50_000, "ab12 " * 50_000,
     "a (at) " * 100_000, "a'" * 300_000, "aaaa." * 100_000, "é@é." * 100_000, "+" * 10**6,
     "\0\ud800" * 10**5],
)  # fmt: skip
def test_hostile_text_is_linear(hostile):
    assert find_personal(hostile, VALIDATED) == []
