"""Names and addresses are told by what stands around them, in seven languages."""

import pytest

from groundup.corpus.safety.personal import BY_CONTEXT, find_personal

NAMES = [
    "Dear Mr. *John Smith*,",
    "Hallo *Petra*,",
    "Sehr geehrte Frau *von der Leyen*,",
    "Cher Monsieur *Dupont*,",
    "Estimada *María José García*,",
    "Gentile Sig.ra *Rossi*,",
    "Beste *Jan de Vries*,",
    "Szanowny Panie *Kowalski*,",
    "Name: *Anna Schmidt*",
    "Nom : *Jean-Pierre Martin*",
    "Nombre y apellidos: *Ana Ruiz*",
    "Nome e cognome: *Ugo Bo Bianchi*",
    "My name is *Ada Lovelace* and",
    "Ich heiße *Karl Müller*.",
    "Je m'appelle *Luc Petit*.",
    "Dr. *Weber* is out",
    "Kind regards,\n*Mary Jones*",
    "Mit freundlichen Grüßen\n\n*Karl Huber*\n",
    "Saludos\n*Pablo Gil*",
    "Thanks!\n\nRegards,\n*Paul Fries*\n",
    "*Janka M. Szász* is out",
    "Guten Tag *Karin M Beike*,",
    "My name is *Rubija*",
    "On Monday *Niall O Broin* wrote:",
    "*Scott A. Crosby* <scott@acme.com> asked",
    "Maintainer: *Paul Brossier* <piem@acme.com>",
]
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
def test_a_name_is_found_by_its_context(marked):
    text = marked.replace("*", "")
    name = marked.split("*")[1]
    found = [text[a:b] for a, b, kind in find_personal(text, ["name"])]
    assert found == [name]


@pytest.mark.parametrize("marked", ADDRESSES)
def test_an_address_is_found_with_its_place(marked):
    text = f"We live at {marked.replace('*', '')}. Come by."
    found = [text[a:b] for a, b, kind in find_personal(text, ["address"])]
    assert found == [marked.split("*")[1]]


@pytest.mark.parametrize("block", BLOCKS)
def test_two_lines_with_a_number_and_a_postal_code_are_an_address(block):
    text = f"Send it to:\nAnn\n{block}\nThank you."
    assert [text[a:b] for a, b, kind in find_personal(text, ["address"])] == [block]


@pytest.mark.parametrize("text", NOBODY)
def test_what_greets_anybody_is_no_name(text):
    assert find_personal(text, BY_CONTEXT) == []


@pytest.mark.parametrize(
    "hostile",
    ["a" * 50_000, "Ab " * 15_000, "Dear " * 10_000, "straße " * 7_000, "12 Ab " * 7_000,
     "Calle " * 7_000, "rue " * 10_000, "1 rue " * 7_000, "Ab 1\n" * 12_000,
     "A B 1\n1234 A" * 4_000,
     "Ab A " * 12_000, "Regards\n" * 7_000],
)  # fmt: skip
def test_hostile_text_is_linear(hostile):
    found = find_personal(hostile, BY_CONTEXT)
    assert all(0 <= start < end <= len(hostile) for start, end, _ in found)
