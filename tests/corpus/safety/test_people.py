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
]
ADDRESSES = [
    "*Musterstraße 12a, 10115 Berlin*", "*Am Kirchweg 3, 80331 München*",
    "*12 rue de la Paix, 75002 Paris*", "*Calle Mayor 5, 28013 Madrid*",
    "*Via Roma 12, 00184 Roma*", "*221B Baker Street, London NW1 6XE*",
    "*1600 Pennsylvania Avenue*", "*Prinsengracht 263, 1016 GV Amsterdam*",
    "*ul. Długa 7/3, 00-238 Warszawa*",
]  # fmt: skip
NOBODY = [
    "Dear Customer,", "Hello World", "Hello everyone,", "Name: Value", "Dear Sir or Madam,",
    "Hi there,", "The author says: Use it", "in the street 12 people", "Section 12 Way of working",
    "Via the menu choose 3 items",
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


@pytest.mark.parametrize("text", NOBODY)
def test_what_greets_anybody_is_no_name(text):
    assert find_personal(text, BY_CONTEXT) == []


@pytest.mark.parametrize(
    "hostile",
    ["a" * 50_000, "Ab " * 15_000, "Dear " * 10_000, "straße " * 7_000, "12 Ab " * 7_000,
     "Calle " * 7_000, "rue " * 10_000, "1 rue " * 7_000],
)  # fmt: skip
def test_hostile_text_is_linear(hostile):
    find_personal(hostile, BY_CONTEXT)
