"""Numbers as people of nine countries write them; dates, versions and prices are none."""

import pytest

pytest.importorskip("phonenumbers")
import phonenumbers

from groundup.corpus.safety.personal import _find_personal
from groundup.corpus.safety.phones import _is_phone

PHONES = """+49 30 901820|+49 (0)30 901820-11|030 12345678|(030) 1234567|0171 2345678|0171/2345678
089/123456-78|+1 212-555-0142|(212) 555-0142|212-555-0142|1-800-555-0199|+33 1 42 68 53 00
01 42 68 53 00|06.12.34.56.78|0612345678|+34 612 345 678|612 345 678|91 123 45 67|+39 06 1234567
06 1234 5678|347 123 4567|333 1234567|+31 20 123 4567|020-1234567|06-12345678|06 12 34 56 78
+44 20 7946 0958|020 7946 0958|07700 900123|+48 601 234 567|601 234 567|+55 11 91234-5678
(11) 91234-5678|0049 30 901820|8 (495) 123-45-67|03-1234-5678""".replace("\n", "|").split("|")
OTHERS = """01.02.2003|2023-10-11 12:00:30|10.11.2012 - 12.11.2012|ISBN 978-3-16-148410-0
3.14159265358|version 10.04.20.1|1234567|$1 234 567 890|0x0612345678|12345678901234|2001-2010 2011
1 000 000 000|1 234 567 890|1990–2000|12.5–14.75
order 612345678|ticket 06 12 34 56 78|1999 2000 2001|0-13-110362-8|4.19.0-21-amd64|100 200 300 400
01 02 03 04 05|00 11 22 33 44 55 66|1 800 200 300|1920 1930 1940|02 04 06 08 10
Boston, MA 02110-1301|modes 0755 0644 0600
1699999999|192.168.100.200|00:11:22:33:44:55|7.1.2-3""".replace("\n", "|").split("|")


@pytest.mark.parametrize("number", PHONES)
def test_a_number_is_found_whole(number):
    tells = number.startswith(("+", "0", "(", "8")) or "-" in number or len(number) > 12
    before = "Please write. " if tells else "Tel. "
    text = f"{before}{number} until five."
    assert [text[a:b] for a, b, kind in _find_personal(text) if kind == "phone"] == [number]


@pytest.mark.parametrize("other", OTHERS)
def test_what_is_no_number_stays(other):
    assert _find_personal(f"It was {other} then.", ["phone"]) == []


@pytest.mark.parametrize("before", ["PHONE=", "whatsapp://send?phone=", "x/"])
def test_a_plus_tells_a_number_in_settings_and_addresses(before):
    text = f"Write to {before}+8801812345678 please."
    assert [text[a:b] for a, b, _ in _find_personal(text, ["phone"])] == ["+8801812345678"]


@pytest.mark.parametrize("sign", "\u2002\u3000\t\u2014\u2212\u00ad\u200b")
def test_groups_may_stand_apart_by_any_space_or_dash(sign):
    text = f"Write to +880{sign}1812{sign}345678 please."
    assert [text[a:b] for a, b, _ in _find_personal(text, ["phone"])] == [text[9:-8]]


def test_numbers_around_it_do_not_get_in():
    text = "Room 12 0171 2345678 2 times"
    assert [text[a:b] for a, b, _ in _find_personal(text, ["phone"])] == ["0171 2345678"]


@pytest.mark.parametrize(
    "text",
    ["电话: 138 0013 8000", "手机 13800138000", "tlf. 22 12 34 56", "Тел.: 8 912 345 67 89",
     "call 1 800 250 3570"],
)  # fmt: skip
def test_words_of_more_languages_tell_a_number(text):
    assert [text[b] if b < len(text) else "" for _, b, _ in _find_personal(text, ["phone"])] == [""]


@pytest.mark.parametrize(
    "text",
    ["phone book 1234567890", "Telephone exchanges in 1920 1930 1940",
     "telephone lines 612 345 6789"],
)  # fmt: skip
def test_telephony_is_no_number(text):
    assert _find_personal(text, ["phone"]) == []


def written(number: phonenumbers.PhoneNumber) -> list[str]:
    """A number as people write it with a `+`."""
    usual = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.INTERNATIONAL)
    plain = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    code, _, rest = usual.partition(" ")
    return [usual, plain, usual.replace("-", " "), f"{code}-{rest.replace(' ', '-')}",
            f"({code}) {rest}", usual.replace(" ", "\u202f"), usual.replace(" ", "\u2009"),
            usual.replace("-", "\u2013"), f"\uff0b{usual[1:]}", f"00{usual[1:]}"]  # fmt: skip


@pytest.mark.parametrize("region", sorted(phonenumbers.SUPPORTED_REGIONS))
def test_numbers_of_every_country_are_found_behind_a_plus(region):
    kinds = (phonenumbers.PhoneNumberType.FIXED_LINE, phonenumbers.PhoneNumberType.MOBILE)
    examples = [phonenumbers.example_number_for_type(region, kind) for kind in kinds]
    forms = {form for example in examples if example for form in written(example)}
    assert forms
    for form in forms:
        text = f"Please ask {form} before noon."
        assert [text[a:b] for a, b, _ in _find_personal(text, ["phone"])] == [form]


@pytest.mark.parametrize(
    "other", ["+880 1812-3456", "+999 1812 345678", "+3 1234 5678", "+0 123 456 789", "a +210 12 3"]
)
def test_a_plus_before_what_no_country_has_is_no_number(other):
    assert _find_personal(f"It was {other} then.", ["phone"]) == []


def test_seven_digits_are_the_fewest():
    assert _is_phone("612 34 57", "Tel. ") and not _is_phone("612 345", "Tel. ")
