"""Each kind's examples are found whole; what looks alike and is none is not."""

import pytest

from groundup.corpus.safety.personal import CONTEXT_KINDS, VALIDATED_KINDS, _find_personal

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
        found = [(one.kind, text[one.start : one.end]) for one in _find_personal(text)]
        assert found == [(kind, value)], text


@pytest.mark.parametrize("value", NOT_FOUND.split("|"))
def test_what_looks_alike_is_not(value):
    assert _find_personal(f"It is {value} here.") == []


def test_a_word_nearby_decides_where_the_number_does_not():
    for text, kind in (
        ("BSN: 111222333", "national_id"),
        ("Steuer-ID 86095742719", "national_id"),
        ("CPF 52998224725", "national_id"),
        ("GPS 52.52000, 13.40500", "coordinates"),
        ("ping 9.9.9.9", "ip"),
    ):
        assert [one.kind for one in _find_personal(text)] == [kind]


def test_an_address_in_a_string_of_code_has_no_prefix():
    for text in ("b'jo@acme.com'", "u'jo@acme.com'", "x = 'jo@acme.com'", "'jo@acme.com','x'"):
        assert [text[a:b] for a, b, _ in _find_personal(text)] == ["jo@acme.com"]


def test_what_follows_an_account_stays():
    text = "IBAN DE89 3704 0044 0532 0130 00 BIC COBADEFF"
    assert [text[a:b] for a, b, _ in _find_personal(text)] == ["DE89 3704 0044 0532 0130 00"]


@pytest.mark.parametrize(
    "hostile",
    ["a" * 10**6, "<" * 10**6, "1" * 10**6, "1." * 300_000, "1 " * 300_000, "a@" * 300_000,
     "A" * 10**6, "a:" * 300_000, "(0)" * 50_000, "AB12 " * 50_000, "ab12 " * 50_000,
     "a (at) " * 100_000, "a'" * 300_000, "aaaa." * 100_000, "é@é." * 100_000, "+" * 10**6,
     "\0\ud800" * 10**5],
)  # fmt: skip
def test_hostile_text_is_linear(hostile):
    assert _find_personal(hostile, VALIDATED_KINDS) == []


NAMES = [
    "Dear Mr. *John Smith*,",
    "Hallo *Petra*,",
    "Sehr geehrte Frau *von der Leyen*,",
    "Cher Monsieur *Dupont*,",
    "Estimada *María José García*,",
    "Gentile Sig.ra *Rossi*,",
    "Beste *Jan de Vries*,",
    "Szanowny Panie *Kowalski*,",
    "Guten Tag *Karin M Beike*,",
]
NOT_AFTER_A_SALUTATION = [
    "Name: Anna Schmidt", "My name is Ada Lovelace", "Dr. Weber is out",
    "Kind regards,\nMary Jones", "On Monday Niall O Broin wrote:",
]  # fmt: skip
ADDRESSES = [
    "*Musterstraße 12a, 10115 Berlin*", "*Am Kirchweg 3, 80331 München*",
    "*12 rue de la Paix, 75002 Paris*", "*Calle Mayor 5, 28013 Madrid*",
    "*Via Roma 12, 00184 Roma*", "*221B Baker Street, London NW1 6XE*",
    "*1600 Pennsylvania Avenue*", "*Prinsengracht 263, 1016 GV Amsterdam*",
    "*ul. Długa 7/3, 00-238 Warszawa*", "*12 Baker Street\nNew York City, NY 10014*",
    "*4123 Robson St\nVancouver BC V6B 3K9*", "*7 Caradon Hill\nULLINISH\nIV56 8DF*",
    "*85 Spencer Street\nINSKIP QLD 4581*", "*Rua Firenza 442\nFranco da Rocha - SP\n07811-190*",
]  # fmt: skip
BLOCKS = ["Castelao 71\n48860 Zalla", "R Regato 53\n6090-336 Benquerença",
          "Ånhult 25\n388 70 Halltorp",
          "'t Goylaan 46\n3525 AE Utrecht", "Rue du Château 414\n4357 Limont"]  # fmt: skip
NOBODY = [
    "Dear Customer,", "Hello World", "Hello everyone,", "Name: Value", "Dear Sir or Madam,",
    "Hi there,", "The author says: Use it", "in the street 12 people", "Section 12 Way of working",
    "Via the menu choose 3 items", "Considering 90 of them", "Offering 3 products", "string 2",
    "Chapter 3\n10 Tests", "This is Debian", "Regards,\nCheers,\n",
]  # fmt: skip


@pytest.mark.parametrize("marked", NAMES)
def test_a_name_after_a_salutation_is_found(marked):
    text = marked.replace("*", "")
    name = marked.split("*")[1]
    found = [text[a:b] for a, b, kind in _find_personal(text, ["name"])]
    assert found == [name]


@pytest.mark.parametrize("text", NOT_AFTER_A_SALUTATION)
def test_a_name_elsewhere_stays(text):
    assert _find_personal(text, ["name"]) == []


@pytest.mark.parametrize("marked", ADDRESSES)
def test_an_address_is_found_with_its_place(marked):
    text = f"We live at {marked.replace('*', '')}. Come by."
    found = [text[a:b] for a, b, kind in _find_personal(text, ["address"])]
    assert found == [marked.split("*")[1]]


@pytest.mark.parametrize("block", BLOCKS)
def test_two_lines_with_a_number_and_a_postal_code_are_an_address(block):
    text = f"Send it to:\nAnn\n{block}\nThank you."
    assert [text[a:b] for a, b, kind in _find_personal(text, ["address"])] == [block]


@pytest.mark.parametrize("text", NOBODY)
def test_what_greets_anybody_is_no_name(text):
    assert _find_personal(text, CONTEXT_KINDS) == []


@pytest.mark.parametrize(
    "hostile",
    ["a" * 50_000, "Ab " * 15_000, "Dear " * 10_000, "straße " * 7_000, "12 Ab " * 7_000,
     "Calle " * 7_000, "rue " * 10_000, "1 rue " * 7_000, "Ab 1\n" * 12_000,
     "A B 1\n1234 A" * 4_000,
     "Ab A " * 12_000, "Regards\n" * 7_000],
)  # fmt: skip
def test_hostile_context_is_linear(hostile):
    found = _find_personal(hostile, CONTEXT_KINDS)
    assert all(0 <= start < end <= len(hostile) for start, end, _ in found)
