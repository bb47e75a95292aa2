"""What is refused, answered in part or answered for another word: small folders, one rule each."""

import pydoc
import shutil
import zipfile
from pathlib import Path

import pytest

from groundup.core import Answer
from groundup.documents import Record, with_titles
from groundup.documents.readers.files import make_record
from groundup.retrieve import (
    answer_question,
    answer_to_json,
    answer_to_text,
    index,
    open_index,
    verify_quotes,
)
from groundup.retrieve.answers.answer import _claims_of
from groundup.retrieve.answers.quote import QuoteSpan
from groundup.retrieve.answers.session import Session
from groundup.retrieve.verification.texts import check_text
from groundup.retrieve.wording.question import _asks, _measures, parse_question

STATIONS = "".join(f"| Elm{n}X | {300 + n} | Oslo |\n" for n in range(80))


def session(folder: Path, **texts: str) -> Session:
    """A session over files of one folder: name and ending with `__` for the dot."""
    (folder / "docs").mkdir(parents=True)
    for name, text in texts.items():
        (folder / "docs" / name.replace("__", ".")).write_text(text)
    return Session(open_index(index(folder / "docs", folder / "i").path))


def ask(folder: Path, question: str, **texts: str) -> Answer:
    return answer_question(session(folder, **texts).index, question)


PUMP = "# Pump\n\n`-n NUM` sets the number of strokes. The default is 4.\n"
MODULES = "# Modules\n\nThe limit of river-core is 3 units.\n"


@pytest.mark.parametrize(
    ("text", "question", "missing"),
    [
        (PUMP, "What is the default of -m?", ["-m"]),
        (PUMP, "What does --all do?", ["--all"]),
        (MODULES, "What is the limit of ocean-core?", ["ocean-core"]),
        (MODULES, "What is the limit of stone-core?", ["stone-core"]),
    ],
)
def test_a_name_that_is_nowhere_is_refused_though_its_letters_or_halves_are_not(
    text, question, missing, tmp_path
):
    answer = ask(tmp_path, question, a__md=text)
    assert answer.refused and answer.details["missing"] == missing


@pytest.mark.parametrize(
    ("text", "question"),
    [
        (PUMP, "What is the default of -n?"),
        (MODULES, "What is the limit of river-core?"),
        ("The tank of the Petrel holds 40 litres.", "How large is the tank of the Petrel?"),
        ("The field of the Petrel has 3 hectares.", "How big is the field of the Petrel?"),
        ("Descaling the Petrel takes a fortnight.", "How long does descaling the Petrel take?"),
    ],
)
def test_what_is_there_is_answered_whatever_its_unit(text, question, tmp_path):
    assert not ask(tmp_path, question, a__md=text).refused


def test_a_refusal_says_which_quantity_is_lacking(tmp_path):
    answer = ask(tmp_path, "How large is the tank of the Petrel?", a__txt="The Petrel has a tank.")
    assert answer.refused and answer_to_json(answer)["no_quantity"] == "size"
    assert "no size in it" in answer_to_text(answer)


def test_a_part_that_no_quote_answers_is_named(tmp_path):
    text = "# Gantry\n\nThe gantry Ostrava was made by the Vitek works in 1961.\n"
    made = ask(tmp_path, "Who made the gantry Ostrava and what does it cost?", a__md=text)
    assert not made.refused and answer_to_json(made)["unanswered"] == ["cost"]
    assert answer_to_text(made).endswith("not answered: cost")


def test_a_part_that_is_answered_of_another_thing_is_named_too(tmp_path):
    text = "# Gantry\n\nThe gantry Ostrava was made by the Vitek works in 1961.\n"
    other = "# Fares\n\nA ticket for the tram has a cost of 3 euros."
    made = ask(
        tmp_path, "Who made the gantry Ostrava and what is its cost?", a__md=text, b__md=other
    )
    assert made.details["missing"] == [] and made.details["unanswered"] == ["cost"]


FERRIES = "# S\n\nThe ferry Lumo has 40 seats.\n\nThe ferry Nerva has nine decks.\n"


def test_nothing_is_quoted_twice(tmp_path):
    question = "What is the seats of Lumo or the decks of Nerva?"
    answer = ask(tmp_path, question, a__md=FERRIES)
    text = answer.text
    assert text.count("40 seats") == text.count("nine decks") == 1
    assert answer.details["unanswered"] == []
    assert verify_quotes(answer, tmp_path / "docs") == []


@pytest.mark.parametrize("kind", ["md", "html"])
def test_a_row_of_a_long_table_is_quoted_alone_with_its_head(kind, tmp_path):
    text = "# Stations\n\n| Station | Voltage | Town |\n|---|---|---|\n" + STATIONS
    if kind == "html":
        rows = [line.strip("| ").replace(" | ", "<td>") for line in STATIONS.splitlines()]
        head = "<tr><th>Station<th>Voltage<th>Town"
        text = f"<h1>Stations</h1><table>{head}{''.join(f'<tr><td>{row}' for row in rows)}</table>"
    answer = ask(tmp_path, "What is the voltage of Elm70X?", **{f"a__{kind}": text})
    head, row = answer.claims[0].quotes
    assert head.text.split()[0 if kind == "html" else 1] == "Station"
    assert "Elm70X" in row.text and "370" in row.text and "Elm69X" not in row.text
    two = answer_question(
        open_index(tmp_path / "i"), "What is the voltage of Elm69X and of Elm70X?"
    )
    assert [sum(name in claim.text for name in ("Elm69X", "Elm70X")) for claim in two.claims] == [
        1,
        1,
    ]
    assert verify_quotes(answer, tmp_path / "docs") == []


def test_a_row_of_html_has_all_lines_of_its_cells(tmp_path):
    row = "<tr><td>plugin{0}<p>Reads meter {0}.<td>lib{0}a<br>lib{0}b"
    rows = "".join(row.format(number) for number in range(20))
    page = f"<table><tr><th>Component<th>Library required{rows}</table><p>End."
    answer = ask(tmp_path, "Which library does plugin7 require?", a__html=page)
    head, quoted = answer.claims[0].quotes
    assert head.text == "Component\tLibrary required"
    assert quoted.text.split() == ["plugin7", "Reads", "meter", "7.", "lib7a", "lib7b"]
    assert verify_quotes(answer, tmp_path / "docs") == []


def test_a_cell_of_two_lines_belongs_to_its_row(tmp_path):
    rows = "".join(f'bolt-{n},30,"Grease it.\nThen turn {n * 3} degrees."\n' for n in range(60))
    answer = ask(
        tmp_path, "How many degrees do I turn bolt-17?", c__csv="Part,Torque,Note\n" + rows
    )
    assert "turn 51 degrees" in answer.claims[0].quotes[-1].text
    assert answer.claims[0].quotes[0].text == "Part,Torque,Note"


def test_a_row_of_docx_has_all_paragraphs_of_its_cells(tmp_path):
    cell = "<w:tc>{}</w:tc>".format
    paragraph = "<w:p><w:r><w:t>{}</w:t></w:r></w:p>".format
    rows = [
        cell(paragraph(f"plugin{n}"))
        + cell(paragraph(f"Reads meter {n}.") + paragraph(f"Needs lib{n}a."))
        + cell(paragraph(f"{n + 30} litres"))
        for n in range(40)
    ]
    head = "".join(cell(paragraph(name)) for name in ("Component", "Purpose", "Capacity"))
    table = "".join(f"<w:tr>{row}</w:tr>" for row in (head, *rows))
    (tmp_path / "docs").mkdir()
    with zipfile.ZipFile(tmp_path / "docs" / "a.docx", "w") as file:
        document = f"<w:document><w:body><w:tbl>{table}</w:tbl></w:body></w:document>"
        file.writestr("word/document.xml", document)
    opened = open_index(index(tmp_path / "docs", tmp_path / "i").path)
    answer = answer_question(opened, "What is the capacity of plugin7?")
    first, row = answer.claims[0].quotes
    assert first.text.split() == ["Component", "Purpose", "Capacity"]
    assert row.text.split() == "plugin7 Reads meter 7. Needs lib7a. 37 litres".split()
    assert verify_quotes(answer, tmp_path / "docs") == []


def test_a_row_longer_than_a_quote_is_quoted_in_part(tmp_path):
    note = " ".join(f"word{n}" for n in range(90))
    rows = "".join(f"bolt-{n},{note},{n * 3} newtons\n" for n in range(5))
    answer = ask(tmp_path, "How many newtons has bolt-4?", c__csv="Part,Note,Torque\n" + rows)
    assert all(len(quote.text) <= 600 for claim in answer.claims for quote in claim.quotes)


OPTIONS = """# Options of carve

-q, --quiet
    Print nothing but errors.

-t, --timeout SECONDS
    How long to wait for the lathe. The default is 40 seconds.

-w, --width MILLIMETRES
    The width of the cut. The default is 3.
"""


@pytest.mark.parametrize("option", ["-q", "--quiet"])
def test_the_default_of_the_next_option_is_no_answer(option, tmp_path):
    answer = ask(tmp_path, f"What is the default of {option} of carve?", a__txt=OPTIONS)
    assert answer.refused or "not answered" in answer_to_text(answer)
    assert "40" not in answer.text


def test_an_option_is_quoted_with_its_own_default(tmp_path):
    answer = ask(tmp_path, "What is the default of --timeout?", a__txt=OPTIONS)
    assert "40 seconds" in answer.text and "width" not in answer.text


def test_a_sentence_of_two_files_that_differ_elsewhere_is_quoted_once(tmp_path):
    fact = "The kiln Vesta is fired at 1,180 degrees for nine hours."
    one = f"# Kilns\n\n{fact} It stands in the yard behind the old mill.\n"
    two = f"# Firing\n\n{fact} Ask Mr Holm for the key before noon on Mondays.\n"
    answer = ask(tmp_path, "At how many degrees is the kiln Vesta fired?", a__md=one, b__md=two)
    assert answer.text.count("1,180") == 1


@pytest.mark.parametrize(
    ("text", "question", "meant", "refused"),
    [
        ("The setting retry_limit is 7.", "What is the value of retry_limt?", "retry_limit", True),
        ("The setting max-depth is 7.", "What is the setting max-deth?", "max-depth", False),
        ("The setting version2 is 7.", "What is the setting version3?", None, True),
        ("The drill's diameter is 7 mm.", "What is the drill's diamter?", "diameter", False),
        ("The axle is lubricated with grease.", "What grese lubricates it?", "grease", False),
        ("Needles are kept in a tin.", "Where are needels kept?", "Needles", False),
        ("The vault is deep. A valve opens.", "How is the valt?", "vault", False),
        ("MAX = 3\n\nThe maximum is 4.", "What is the maximun?", "maximum", False),
        ("The north wall. Take a note.", "What is the noth wall?", "north", False),
        ("The boathouse was built in 1904.", "Who repairs the boathook?", None, True),
    ],
)
def test_a_mistyped_name_gets_a_suggestion(text, question, meant, refused, tmp_path):
    answer = ask(tmp_path, question, a__txt=text)
    assert list((answer.details.get("did_you_mean") or {}).values()) == ([meant] if meant else [])
    assert answer.refused == refused


def test_a_mistyped_follow_up_keeps_its_subject(tmp_path):
    engines = (
        "# Engines\n\nThe Talbot engine has a minimum speed of 200 turns.\n\n"
        "The Renfrew engine has a minimum speed of 150 turns.\n"
    )
    talk = session(tmp_path, a__md=engines)
    assert "150" in talk.ask("What about the Renfrew engine?").text
    talk.ask("and its mininum?")
    assert talk.subject == "Renfrew" and talk.questions[-1] == "and its mininum (Renfrew)"
    talk.ask("What is a Talbut?")
    assert talk.subject == "Talbot"


SETTINGS = {
    "a__ini": "[sender]\nretry = 4\n\n[receiver]\nqueue = 9\n",
    "a__yaml": "sender:\n  retry: 4\nreceiver:\n  queue: 9\n",
    "a__yml": "parts:\n  - name: sender\n    retry: 4\n  - name: receiver\n    queue: 9\n",
    "b__yml": "- name: sender\n  retry: 4\n- name: 'receiver'\n  queue: 9\n",
    "a__json": '{\n  "sender": {\n    "retry": 4\n  },\n  "receiver": {\n    "queue": 9\n  }\n}\n',
    "sender__toml": "[sender]\nretry = 4\n\n[receiver]\nqueue = 9\n",
}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("shutil.copytree", "Recursively copy a directory tree and return the destination"),
        ("shutil.SpecialFileError", "class SpecialFileError("),
        ("tea.brew", "brew(pot)"),
        ("shutil.copyforest", ""),
        ("os.copytree", ""),
        ("shutil.copytree.walk", ""),
    ],
)
def test_an_entry_that_pydoc_prints_is_known_by_the_name_of_its_module(name, said, tmp_path):
    page = pydoc.render_doc(shutil, renderer=pydoc.plaintext)
    tea = "NAME\n    tea\n\nFUNCTIONS\n    brew(pot)\n        Let it draw.\n\n    pour(pot)\n"
    answer = ask(tmp_path, f"What does {name} do?", shutil__txt=page, tea__txt=tea)
    assert answer.refused is (not said) and said in answer.text


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_is_of_its_block(name, tmp_path):
    index = session(tmp_path, **{name: SETTINGS[name]}).index
    answer = answer_question(index, "What is the queue of the receiver?")
    assert "9" in answer.text and "4" not in answer.text
    assert answer_question(index, "What is the queue of the sender?").refused


def test_a_block_of_settings_is_known_by_its_name_whatever_is_in_it(tmp_path):
    texts = {
        "a__yaml": "# of the kiln\ncontroller:\n  model: TC 88\n  poll: 15\nlan:\n  port: 5020\n",
        "b__yaml": "post:\n  sender: ann@larch.example\n  workers: 3\n",
        "c__yaml": "garage:\n  color: red\n",
    }
    index = session(tmp_path, **texts).index
    for question, word in (
        ("What is the poll of the controller?", "15"),
        ("What is the workers of the post?", "3"),
        ("What is the color of the garage?", "red"),
    ):
        assert word in answer_question(index, question).text
    assert answer_question(index, "What is the poll of the lan?").refused
    assert answer_question(index, "What is the port of the controller?").refused


def test_who_somebody_is_is_answered_by_a_name(tmp_path):
    page = (
        "# Club\n\nThe post of junior umpire is advertised until 30 April.\n\n"
        "## Jobs (dome warden or helper)\n\n- Sweep the dome.\n\n"
        "## Officers\n\n- Dome warden: Colm Tranter\n- Loans officer: Hetty Quayle\n"
    )
    index = session(tmp_path, a__md=page).index
    assert answer_question(index, "Who is the junior umpire?").refused
    assert "Colm Tranter" in answer_question(index, "Who is the dome warden?").claims[0].text


def test_a_superseded_document_answers_only_where_it_is_meant(tmp_path):
    old, new = (f"# Siting\n\n- Rear clearance: {mm} mm\n" for mm in (150, 200))
    index = session(tmp_path, manual_2019_SUPERSEDED__md=old, manual_2025__md=new).index
    for question, mm in (
        ("How much is the rear clearance?", "200"), ("What was the rear clearance in 2019?", "150"),
        ("What is the rear clearance of the superseded manual?", "150"),
    ):  # fmt: skip
        assert mm in answer_question(index, question).claims[0].text


def test_the_title_of_a_table_is_answered_by_the_table(tmp_path):
    text = ask(tmp_path, "Trains", a__md=f"# Line\n\n## Trains\n\n{TRAINS}\nMore.\n").text
    assert "390" in text and "402" in text


def test_a_list_below_its_title_is_quoted_to_its_end(tmp_path):
    items = "".join(f"- step number {n} of the way\n" for n in range(9))
    text = ask(
        tmp_path, "How to leave port", a__md=f"# Guide\n\n## How to leave port\n\n{items}"
    ).text
    assert "number 0" in text and "number 8" in text


def test_a_bare_number_of_a_setting_counts_for_the_name_that_is_asked(tmp_path):
    text = "turbine:\n  maker: Osberg\n  height: 180\n"
    assert "180" in ask(tmp_path, "How high is the height of the turbine?", a__yaml=text).text


ERRORS = (
    "| Error | Cause | Remedy |\n|-|-|-|\n| F1 | no power | fuse |\n| F3 | oil low | refill |\n"
)
PACKING = (
    "# Packing\n\n## What goes into a box?\n\nBefore you close the box, put in:\n\n"
    "- one leaflet\n- two cool packs\n\nThe box is closed with brown tape.\n"
)


def test_a_row_whose_first_cell_is_asked_for_is_quoted_with_its_head(tmp_path):
    text = f"# Pump\n\nThe pump stops with error F3 when the oil is low.\n\n{ERRORS}"
    answer = ask(tmp_path, "What does error F3 mean?", a__md=text)
    assert "refill" in answer.claims[0].text and "fuse" not in answer.text


def test_a_head_is_not_quoted_without_a_row(tmp_path):
    text = f"# Pump\n\nThe pump stops with error F9 when the oil is low.\n\n{ERRORS}"
    assert "Remedy" not in ask(tmp_path, "When does the pump stop with error F9?", a__md=text).text


def test_a_list_below_the_title_that_is_the_question_is_quoted_whole(tmp_path):
    text = ask(tmp_path, "What goes into a box?", a__md=PACKING).claims[0].text
    assert text.startswith("Before you close") and "leaflet" in text and "cool packs" in text


@pytest.mark.parametrize(
    "question",
    [
        "From which day is a note needed?",
        "Up to what depth is the fence buried?",
        "Until which time may orders be changed?",
        "How often are the gutters swept?",
    ],
)
def test_a_quantity_is_known_in_the_form_that_the_text_has(question, tmp_path):
    text = (
        "A note is needed from the fourth day. The fence is buried to a depth of 30. "
        "Orders may be changed until 18:00. The gutters are swept on Mondays.\n"
    )
    assert not ask(tmp_path, question, a__txt=text).refused


def test_a_part_that_is_a_question_of_its_own_needs_no_name_of_another(tmp_path):
    texts = {
        "a__txt": "The price per tonne of pellets is 310.",
        "b__ini": "night_temperature = 16\n",
    }
    question = "What is the price per tonne of pellets and what is the night_temperature?"
    text = ask(tmp_path, question, **texts).text
    assert "310" in text and "16" in text


SCALES = (
    "## Deposit and warranty\n\nThe deposit of the Halden scale is 40 euros.\n\n"
    "## Returns\n\nThe warranty of the Halden scale lasts three years.\n"
)


def test_below_a_title_of_two_things_each_part_gets_what_says_it(tmp_path):
    made = ask(tmp_path, "What are the deposit and warranty of the Halden scale?", a__md=SCALES)
    assert [claim.text.split()[1] for claim in made.claims] == ["deposit", "warranty"]


def test_a_quantity_that_a_part_asks_for_in_vain_is_named(tmp_path):
    made = ask(tmp_path, "What are the deposit and the colour of the Halden scale?", a__md=SCALES)
    assert not made.refused and made.details["unanswered"] == ["colour"]


def test_a_name_with_a_number_is_not_there_because_its_halves_are(tmp_path):
    text = "The error E-21 means that the pump is dry. Bay E holds 22 bikes.\n"
    made = ask(tmp_path, "What does the error E-22 mean?", a__md=text)
    assert made.refused and made.details["missing"] == ["E-22"]


def test_a_name_that_a_dictionary_has_is_suggested_and_not_answered_for_another(tmp_path):
    made = ask(
        tmp_path, "What does Rosalind Quin clean?", a__md="Rosalind Quinn cleans the mill.\n"
    )
    assert made.refused and made.details["did_you_mean"] == {"Quin": "Quinn"}


def test_an_english_word_is_found_in_its_other_spelling(tmp_path):
    made = ask(tmp_path, "Who cleans the pasteurizer?", a__md="Ann cleans the pasteuriser.\n")
    assert not made.refused and made.details["did_you_mean"] == {"pasteurizer": "pasteuriser"}


def test_a_part_that_is_not_shown_is_said_not_to_be_answered(tmp_path):
    text = "The price of pellets is 310 euros.\n\nThe colour of the silo is green.\n"
    opened = session(tmp_path, a__txt=text).index
    question = "What is the price of pellets and what is the colour of the silo?"
    assert "not answered: silo" in answer_to_text(answer_question(opened, question, 1))
    assert "not answered" not in answer_to_text(answer_question(opened, question))


def test_a_refusal_names_files_that_were_not_read(tmp_path):
    (tmp_path / "docs").mkdir()
    for name in ("a.png", "b.png", "c.png", "photo.png"):
        (tmp_path / "docs" / name).write_bytes(b"\x89PNG\0")
    (tmp_path / "docs" / "a.txt").write_text("The bell is old.")
    opened = open_index(index(tmp_path / "docs", tmp_path / "i").path)
    text = answer_to_text(answer_question(opened, "What is in photo.png?"))
    assert "files that were not read: 4 (photo.png, a.png, b.png, …)" in text


TRAINS = "| From | To | Minutes |\n|-|-|-|\n| Oslo | Bergen | 390 |\n| Bergen | Oslo | 402 |\n"


def test_a_function_word_that_heads_a_column_says_which_cell_is_meant(tmp_path):
    index = session(tmp_path, a__md=f"# Trains\n\n{TRAINS}").index
    for places, minutes in (("from Oslo to Bergen", "390"), ("from Bergen to Oslo", "402")):
        answer = answer_question(index, f"How long does the train {places} take?", 1)
        assert minutes in answer.text


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("The package has no defects.", "What is dselect?"),
        ("The kernel is built by Marten.", "Who is Martha?"),
    ],
)
def test_a_name_two_letters_off_a_word_is_no_typing_error(text, question, tmp_path):
    answer = ask(tmp_path, question, a__txt=text)
    assert answer.refused and answer.details.get("did_you_mean") is None


def test_a_word_of_the_quote_is_not_said_to_be_unanswered(tmp_path):
    text = "# S\n\nThe captain of the Lumo is Ada Holm.\n\nThe Nerva sails from Turku.\n"
    answer = ask(tmp_path, "Is Ada Holm or Bo Berg the captain of the Lumo?", a__md=text)
    assert answer.details["unanswered"] == ["Bo", "Berg"]


def test_a_refusal_shows_the_nearest_quote_though_no_word_is_right(tmp_path):
    answer = ask(tmp_path, "What is max_depth?", a__txt="The setting max-depth is 9.")
    assert answer.refused and "nearest is a.txt:1\n" in answer_to_text(answer)


def test_a_quote_ends_with_its_list(tmp_path):
    text = (
        "# K\n\nThe kit of the Faro has:\n\n- a lamp of 5 watts\n- a rope of 20 metres\n\n"
        "Before the start, check:\n\n1. the oil\n2. the brakes\n"
    )
    answer = ask(tmp_path, "How long is the rope of the Faro?", a__md=text)
    assert "20 metres" in answer.text and "brakes" not in answer.text


def test_chinese_asks_for_a_year(tmp_path):
    answer = ask(tmp_path, "鹅銮鼻灯塔建于哪一年？", a__txt="鹅銮鼻灯塔建于1883年。")
    assert "1883" in answer.text


@pytest.mark.parametrize(
    ("sentence", "support"),
    [
        ("The pump Orlo is safe if it is never opened.", "quoted"),
        ("The pump Orlo is safe if it is never opened. The Orlo costs 5 €.", "quoted"),
        ("The Orlo costs 5 $.", "nowhere"),
        ("The pump Orlo is safe if it is.", "nowhere"),
    ],
)
def test_only_whole_sentences_with_their_signs_are_quoted(sentence, support, tmp_path):
    text = "The pump Orlo is safe if it is never opened. The Orlo costs 5 €."
    session(tmp_path, a__txt=text)
    assert check_text(sentence, tmp_path / "i").sentences[-1].support == support


def test_the_name_must_be_in_the_sentence_that_supports(tmp_path):
    text = "The grill of the Falcon needs 40 minutes. The oven of the Kestrel needs 55 minutes."
    session(tmp_path, a__md=text)
    checked = check_text("The oven of the Falcon needs 55 minutes.", tmp_path / "i")
    assert checked.sentences[0].support == "nowhere"


def test_a_number_of_another_sentence_supports_nothing(tmp_path):
    text = "The grill of the Falcon needs 40 minutes. The oven of the Kestrel needs 55 minutes."
    session(tmp_path, a__md=text)
    for sentence, support in [
        ("The grill of the Falcon needs 55 minutes.", "nowhere"),
        ("The Falcon's grill needs 40 minutes.", "supported"),
    ]:
        assert check_text(sentence, tmp_path / "i").sentences[0].support == support


def test_a_follow_up_to_nothing_says_so(tmp_path):
    text = "# Pump\n\nThe minimum of the pump is 4 litres.\n"
    answer = session(tmp_path, a__md=text).ask("and its minimum?")
    assert "no question came before it" in answer_to_text(answer)


@pytest.mark.parametrize("name", ["LISTMAX", "list-max", "list_max"])
def test_the_default_of_the_next_definition_is_no_answer(name, tmp_path):
    page = (
        f"<h1>Settings of carve</h1><dl><dt>{name}</dt><dd>Matches to list without asking.</dd>"
        "<dt>MAILPATH</dt><dt>mail-path</dt><dd>Where mail is. The default is /var/mail.</dd></dl>"
    )
    answer = ask(tmp_path, f"What is the default of {name}?", a__html=page)
    assert "/var/mail" not in answer.text
    for other in ("MAILPATH", "mail-path"):
        quoted = answer_question(open_index(tmp_path / "i"), f"What is the default of {other}?")
        assert "/var/mail" in quoted.text and name not in quoted.text


def test_a_part_without_a_name_asks_of_the_first(tmp_path):
    text = "The tool carve was forked from hew in 2004. Carve had threads first in version 3.\n"
    answer = ask(
        tmp_path, "When was carve forked from hew, and which version first had threads?", a__md=text
    )
    assert "2004" in answer.text and "version 3" in answer.text


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_no_passage_ends_inside_a_row(end, tmp_path):
    rows = [
        f'Tree{n},"Stands in row {n}.{end}{end}Planted in {1900 + n}. Pruned by hand.",{n}7'
        for n in range(60)
    ]
    questions = session(tmp_path, t__csv=end.join(["Name,Note,Price", *rows])).index
    for n in range(60):
        answer = answer_question(questions, f"What is the price of Tree{n}?")
        assert answer.claims[0].quotes[-1].text.endswith(f",{n}7"), answer.text


def test_an_option_whose_letters_alone_are_there_is_nowhere(tmp_path):
    text = "# Reader\n\nThe default size of the cache is 5 MB.\n\n- `--limit N`: most files.\n"
    answer = ask(tmp_path, "What is the default of --cache?", a__md=text)
    assert answer.refused and answer.details["missing"] == ["--cache"]


MANUAL = """OPTIONS
       --timeout SECONDS
              Give up when no data arrives. The default is 90 seconds.

       -q
       --quiet
              Print nothing but errors.
"""
HELP = """Options:
  --timeout SECONDS   Give up when no data arrives. The default is 90 seconds.
  -q, --quiet         Print nothing but errors.
"""
TABLE = """| Option | Meaning |
|---|---|
| `--timeout` | Give up when no data arrives. The default is 90 seconds. |
| `--quiet` | Print nothing but errors. |
"""
GLOSSARY = """--timeout
: Give up when no data arrives. The default is 90 seconds.

--quiet
: Print nothing but errors.
"""


@pytest.mark.parametrize("text", [MANUAL, HELP, TABLE, GLOSSARY])
def test_entries_of_every_layout_are_apart(text, tmp_path):
    questions = session(tmp_path, a__md=text).index
    assert "90 seconds" in answer_question(questions, "What is the default of --timeout?").text
    answer = answer_question(questions, "What is the default of --quiet?")
    assert "90" not in answer.text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a__csv", 'Name,Note\ncrane,"The crane is green. It lifts 3 tons."\n'),
        ("a__html", "<table><tr><th>N<th>Note<tr><td>crane<td>The crane is green.</table>"),
    ],
)
def test_a_sentence_of_a_cell_is_quoted(name, text, tmp_path):
    session(tmp_path, **{name: text})
    [found] = check_text("The crane is green.", tmp_path / "i").sentences
    assert found.support == "quoted"


FLAGS = "   --delta   Compare with the last. Default: 9.\n   --gamma   Correct the tone.\n"
VARIABLES = """ENVIRONMENT
       TOOL_HOST
              The host that is asked.  The default is hub.example.net.

       TOOL_STYLE
              Style of the table.
"""


@pytest.mark.parametrize(
    ("text", "owner", "value", "neighbour"),
    [
        ("FLAGS\n   Switches of the tool.\n\n" + FLAGS, "--delta", "9", "--gamma"),
        ("FLAGS\nSwitches of the tool.\n\n" + FLAGS, "--delta", "9", "--gamma"),
        (VARIABLES, "TOOL_HOST", "hub", "TOOL_STYLE"),
        (VARIABLES.replace("ENVIRONMENT\n", "ENVIRONMENT\n       Read at the start.\n\n"),
         "TOOL_HOST", "hub", "TOOL_STYLE"),
        ("**HUB_ONE** – Its default is 4.\n\n**HUB_TWO** – It is silent.\n",
         "HUB_ONE", "4", "HUB_TWO"),
        ("HUB_ONE:: Its default is 4.\nHUB_TWO:: It is silent.\n", "HUB_ONE", "4", "HUB_TWO"),
        ("  HUB_ONE   Its default is 4.\n  HUB_TWO   It is silent.\n", "HUB_ONE", "4", "HUB_TWO"),
    ],
)  # fmt: skip
def test_entries_below_a_line_of_text_and_of_code_names_are_apart(
    text, owner, value, neighbour, tmp_path
):
    opened = session(tmp_path, t__txt=text).index
    answer = answer_question(opened, f"What is the default of {owner}?")
    assert not answer.refused and value in answer.text
    assert answer_question(opened, f"What is the default of {neighbour}?").refused


BOATS = "# Heron\n\nThe Heron reaches 27 knots.\n\n# Teal\n\nThe Teal has a crew of three.\n"


@pytest.mark.parametrize("text", [BOATS, "# Boats\n\n" + BOATS.replace("# ", "## ")])
def test_a_sentence_below_another_title_is_of_another_thing(text, tmp_path):
    opened = session(tmp_path, b__md=text).index
    assert not answer_question(opened, "How many knots does the Heron reach?").refused
    assert answer_question(opened, "How many knots does the Teal reach?").refused
    assert answer_question(opened, "What is the crew of the Heron?").refused


def test_a_sentence_below_a_title_is_of_the_titles_above(tmp_path):
    text = "# Heron\n\nA boat of the harbour.\n\n## Speed\n\nIt reaches 27 knots.\n"
    assert not ask(tmp_path, "How many knots does the Heron reach?", b__md=text).refused


def test_she_is_nobody_who_is_named_in_a_later_paragraph(tmp_path):
    text = "The Heron is old.\n\nShe reaches 27 knots.\n\nThe Teal is an open boat.\n"
    answer = ask(tmp_path, "Which speed does the Teal reach?", b__md=text)
    assert answer.refused or not answer.text.startswith("She")


KEYS = [["Key", "Type", "Default", "Owner"], ["alpha", "word", "red", "Lund"],
        ["beta", "name", "", ""], ["gamma", "", "12", "Moen"]]  # fmt: skip
KEYS_HTML = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) for row in KEYS)


@pytest.mark.parametrize(
    ("name", "text", "row"),
    [
        ("k__html", f"<h1>Keys</h1><table>{KEYS_HTML}</table>", "gamma\t\t12\tMoen"),
        ("k__csv", "".join(",".join(row) + "\n" for row in KEYS), "gamma,,12,Moen"),
        ("k__md", "| Key | Type | Default | Owner |\n|---|---|---|---|\n" + "".join(
            f"| {' | '.join(row)} |\n" for row in KEYS[1:]), "| gamma |  | 12 | Moen |"),
    ],
)  # fmt: skip
def test_an_empty_cell_keeps_its_column_and_answers_nothing(name, text, row, tmp_path):
    opened = session(tmp_path, **{name: text}).index
    assert row in answer_question(opened, "What is the default of gamma?").text
    assert answer_question(opened, "What is the default of beta?").refused


@pytest.mark.parametrize(
    "question", ["How old is Erik Lund?", "How tall is Erik Lund?", "How heavy is Sigrid Moen?"]
)
def test_the_age_or_size_of_nobody_is_any_number(question, tmp_path):
    text = (
        "Erik Lund keeps the archive. His room number is 318.\n\n"
        "Sigrid Moen keeps the keys. Her locker is 12 on the left.\n\n"
        "Kari Ness is 34 years old, 180 cm tall and weighs 60 kg.\n"
    )
    opened = session(tmp_path, a__md=text).index
    assert answer_question(opened, question).refused
    assert not answer_question(opened, "How old is Kari Ness?").refused


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("Le jardin ferme le mardi.", "Quel jour ferme le jardin ?"),
        ("Die Halle wurde 1911 gebaut.", "In welchem Jahr wurde die Halle gebaut?"),
        ("Le dortoir compte dix-huit lits.", "Combien de lits compte le dortoir ?"),
        ("The garden closes on Mondays.", "Which day does the garden close?"),
    ],
)
def test_days_years_and_numbers_are_asked_for_in_many_languages(text, question, tmp_path):
    assert not ask(tmp_path, question, a__md=text + "\n").refused


@pytest.mark.parametrize(
    "text",
    [
        "Settings\n\nmax_rows: Sets the width. The default is 37.\nmin_cols: Corrects the tone.\n",
        "max.rows — Sets the width. The default is 37.\nmin.cols — Corrects the tone.\n",
        "--max-rows: Sets the width. The default is 37.\n--min-cols: Corrects the tone.\n",
        "max_rows\n    Sets the width. The default is 37.\nmin_cols\n    Corrects the tone.\n",
        "max_rows\tSets the width. The default is 37.\nmin_cols\tCorrects the tone of it.\n",
        ":max_rows: Sets the width. The default is 37.\n:min_cols: Corrects the tone of it.\n",
        "/etc/max: Sets the width. The default is 37.\n/etc/min: Corrects the tone of it.\n",
        "~/.max: Sets the width. The default is 37.\n~/.min: Corrects the tone of pages.\n",
        "max_rows (number): The width. The default is 37.\nmin_cols (number): The tone of it.\n",
    ],
)
def test_entries_on_lines_of_one_paragraph_are_apart(text, tmp_path):
    opened = session(tmp_path, t__txt=text).index
    first, second = (name for name in ("max", "min") if name in text)
    name = next(word for word in text.split() if first in word).strip(":")
    assert "37" in answer_question(opened, f"What is the default of {name}?").text
    other = next(word for word in text.split() if second in word).strip(":")
    assert answer_question(opened, f"What is the default of {other}?").refused


@pytest.mark.parametrize(
    "text",
    [
        "<dl><dt>Wood max</dt><dd>The default is 37.</dd><dt>Metal min</dt><dd>Red.</dd></dl>",
        "<ul><li><b>max_rows</b> The default is 37.</li><li><b>min_cols</b> It is red.</li></ul>",
    ],
)
def test_terms_of_several_words_and_bold_names_are_entries(text, tmp_path):
    opened = session(tmp_path, t__html=f"<h1>Things</h1>{text}").index
    names = ("Wood max", "Metal min") if "dl" in text else ("max_rows", "min_cols")
    assert "37" in answer_question(opened, f"What is the default of {names[0]}?").text
    assert answer_question(opened, f"What is the default of {names[1]}?").refused


def test_a_title_underlined_by_tildes_is_no_fence(tmp_path):
    text = (
        "Robots\n======\n\nBolt\n~~~~\n\nBolt lifts 45 kilos.\n\n"
        "Rivet\n~~~~~\n\nRivet costs 7,200 euro.\n"
    )
    answer = ask(tmp_path, "How many kilos does Bolt lift?", t__rst=text)
    assert answer.text == "Bolt lifts 45 kilos."


BERTHS = "Berth,Boat,Draught,Fee\nA7,Merlin,,340\nC9,Osprey,2.1 m,410\n"


@pytest.mark.parametrize("name", ["b__csv", "b__html"])
@pytest.mark.parametrize("thing", ["berth A7", "Merlin"])
def test_the_head_of_a_column_is_no_answer_to_an_empty_cell(name, thing, tmp_path):
    rows = (line.split(",") for line in BERTHS.splitlines())
    cells = "".join("<tr>" + "".join(f"<td>{cell}" for cell in row) for row in rows)
    text = BERTHS if name == "b__csv" else f"<h1>Harbour</h1><table>{cells}</table>"
    opened = session(tmp_path, **{name: text}).index
    assert answer_question(opened, f"What is the draught of {thing}?").refused
    assert "2.1 m" in answer_question(opened, "What is the draught of berth C9?").text


@pytest.mark.parametrize("cell", ["\xa0", " \t ", " - ", "&nbsp;", "?", " n/a ", "TBD", "unknown"])
@pytest.mark.parametrize("name", ["b__csv", "b__md", "b__html"])
def test_a_cell_of_spaces_or_of_words_for_nothing_is_empty(name, cell, tmp_path):
    rows = [line.split(",") for line in BERTHS.replace("Merlin,,", f"Merlin,{cell},").splitlines()]
    if name == "b__html":
        row = "".join("<tr>" + "".join(f"<td>{each}" for each in row) for row in rows)
        text = f"<h1>Harbour</h1><table>{row}</table>"
    elif name == "b__md":
        rows.insert(1, ["---"] * 4)
        text = "# Harbour\n\n" + "".join(f"| {' | '.join(row)} |\n" for row in rows)
    else:
        text = "".join(",".join(row) + "\n" for row in rows)
    opened = session(tmp_path, **{name: text}).index
    assert answer_question(opened, "What is the draught of berth A7?").refused
    assert "2.1 m" in answer_question(opened, "What is the draught of berth C9?").text


@pytest.mark.parametrize(
    ("name", "text", "question", "expected"),
    [
        (
            "t__csv",
            'plank,6" nail,"8 inch nail\nOak,3,7\nPine,5,12\n',
            "What is the plank of Oak?",
            "Oak",
        ),
        ("t__csv", 'tool,"size,price\nHammer,3,9\nSaw,5,12\n', "Where is the hammer?", "Hammer"),
        (
            "t__html",
            "<h1>People</h1><table><tr><th>Name, first<br>or last</th></tr>"
            "<tr><td>Bo Ek</td></tr></table>",
            "Who is Bo Ek?",
            "Bo Ek",
        ),
    ],
)
def test_a_head_that_is_no_csv_is_split_at_its_commas(name, text, question, expected, tmp_path):
    assert expected in ask(tmp_path, question, **{name: text}).text


def test_a_quoted_cell_with_a_comma_is_one_cell(tmp_path):
    text = 'kiln,maker,colour\nVulcan,Brandt,red\nEmber,,"blue, matt"\n'
    assert ask(tmp_path, "Who is the maker of Ember?", k__csv=text).refused


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("De cursus duurt 3 weken.", "Hoe lang duurt de cursus?"),
        ("Le prêt dure trois semaines.", "Combien de temps dure le prêt ?"),
        ("Курс длится 3 недели.", "Как долго длится курс?"),
        ("The tour takes eleven hours.", "How long does the tour take?"),
        ("Sergi üç hafta sürer.", "Sergi ne kadar sürer?"),
        ("L'exposition dure une heure.", "Combien de temps dure l'exposition ?"),
        ("La mostra dura mezz'ora.", "Quanto dura la mostra?"),
        ("Wystawa trwa trzy tygodnie.", "Jak długo trwa wystawa?"),
        ("The drum turns at 12 rpm.", "How fast does the drum turn?"),
        ("The log is rotated each week.", "How often is the log rotated?"),
    ],
)
def test_durations_are_known_in_many_languages(text, question, tmp_path):
    assert not ask(tmp_path, question, a__md=text + "\n").refused


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("The harbour has berths. Their fee is due in spring.", "How many berths has the harbour?"),
        ("The garden has trees. They are quince trees.", "How many trees has the garden?"),
        ("Der Verein hat Kajaks und ein Boot.", "Wie viele Kajaks hat der Verein?"),
    ],
)
def test_a_numeral_of_another_language_is_no_number(text, question, tmp_path):
    assert ask(tmp_path, question, a__md=text + "\n").refused


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("The drum turns. It weighs 9 kg.", "How fast does the drum turn?"),
        ("The car drives well. It is 4 m long.", "How fast does the car drive?"),
        ("The battery holds well. It weighs 9 kg.", "How long does the battery hold?"),
        ("The drum weighs little. It is washed for 9 minutes.", "How much does the drum weigh?"),
        ("Die Trommel wiegt wenig. Sie läuft 9 Minuten.", "Wie viel wiegt die Trommel?"),
        ("Le tambour pèse peu. Il tourne 9 minutes.", "Combien pèse le tambour ?"),
        (
            "The queue holds jobs. It is emptied every 5 minutes.",
            "How many jobs does the queue hold?",
        ),
        ("The hall holds guests. It opens at 9:30.", "How many guests does the hall hold?"),
    ],
)
def test_a_number_with_a_unit_of_another_kind_is_no_answer(text, question, tmp_path):
    assert ask(tmp_path, question, a__md=text + "\n").refused


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("The car drives at 40 km/h.", "How fast does the car drive?"),
        ("The drum turns nine times a minute.", "How fast does the drum turn?"),
        ("The link sends 3 files per second.", "How fast does the link send?"),
        ("The drum weighs 9 kg.", "How much does the drum weigh?"),
        ("The drum weighs nine kilos.", "How heavy is the drum?"),
        ("Die Trommel wiegt 9 kg.", "Wie viel wiegt die Trommel?"),
        ("La caja pesa 9 kg.", "¿Cuánto pesa la caja?"),
        ("Le tambour pèse 9 kg.", "Combien pèse le tambour ?"),
        ("The queue holds at most 800 jobs.", "How many jobs does the queue hold?"),
        ("The queue is emptied every 5 minutes.", "After how many minutes is the queue emptied?"),
        ("The holidays are 30 days.", "How many holidays are there?"),
        ("The hall has seats for 1,200.", "How many seats has the hall?"),
    ],
)
def test_a_number_with_a_unit_of_its_kind_is_an_answer(text, question, tmp_path):
    assert not ask(tmp_path, question, a__md=text + "\n").refused


def test_of_two_questions_joined_by_and_both_are_answered(tmp_path):
    text = (
        "# Ladders\n\nLadders are kept in the barn.\n\n# Trees\n\nBoskoop was planted in 1962.\n\n"
        "# Gate\n\nIts lock was painted red in March.\n"
    )
    opened = session(tmp_path, t__md=text).index
    for question in ("Where are the ladders kept and when was Boskoop planted?",
                     "When was Boskoop planted and where are the ladders kept?"):  # fmt: skip
        text = answer_question(opened, question).text
        assert "barn" in text and "1962" in text
    bound = answer_question(opened, "When was Boskoop planted and when was it painted red?")
    assert "March" not in bound.text and "painted" in bound.details["unanswered"]


WINCH = (
    "WINCH\n\n{0}The brake holds the load. Its lining is replaced after 900 hours.\n\n"
    "{1}The gearbox holds 1.8 litres of oil.\n\n{2}The rope has a diameter of 8 mm.\n"
)


@pytest.mark.parametrize("gap", ["\n", "\n\n", "\r\n\r\n"])
@pytest.mark.parametrize(
    "titles",
    [
        ("Chapter 1. Brake", "Chapter 2. Oil", "Chapter 3. Rope"),
        ("Kapitel 1 – Brake", "Kapitel 2 – Oil", "Kapitel 3 – Rope"),
        ("2.3 Brake", "3.1 Oil", "3.2 Rope"),
        ("1. Brake", "2. Oil", "3. Rope"),
        ("BRAKE", "OILS", "ROPE"),
        ("Brake:", "Oil:", "Rope:"),
        ("Brake\n-----", "Oil\n---", "Rope\n----"),
    ],
)
def test_a_sentence_below_another_title_of_plain_text_is_of_another_thing(titles, gap, tmp_path):
    opened = session(tmp_path, w__txt=WINCH.format(*(title + gap for title in titles))).index
    for question, value in (
        ("After how many hours is the lining of the brake replaced?", "900"),
        ("How many litres of oil does the gearbox hold?", "1.8"),
        ("What is the diameter of the rope?", "8 mm"),
    ):
        assert value in answer_question(opened, question).text
    for question in (
        "How much oil does the brake hold?",
        "After how many hours is the rope replaced?",
        "What is the diameter of the brake?",
    ):
        assert answer_question(opened, question).refused


@pytest.mark.parametrize(
    "text",
    [
        "1. Oil the brake\n\n2. Turn the rope\n\nThen start it.\n",
        "1. Oil the brake\n2. Turn the rope\n",
        "2.3 Brake\n2.4 Rope\n",
        "Section 3 describes how the brake\nis oiled.\n",
        "NAME   SIZE   COLOUR\nBrake  4      red\n",
        "THE BRAKE IS PROVIDED AS IT IS AND\nWITHOUT ANY WARRANTY\nof any kind.\n",
        "HOME\n    The folder.\nPATH\n    The list.\n",
        "Before the start, check:\n\n- the oil\n",
        "Options:\n  --fast\n",
        "1.8 litres of oil are needed\n\nIt is cold.\n",
        "Oil 1.8 litres\n\nIt is cold.\n",
        "制动器\n\n它是红色的。\n",
    ],
)
def test_lists_tables_sentences_and_shouting_are_no_titles(text):
    record = make_record("", "a.txt", "text", f"It is a winch.\n\n{text}".encode(), {})
    assert isinstance(record, Record) and not with_titles(record).headings


def test_kinds_of_titles_are_levels():
    lines = (
        "WINCH",
        "Chapter 1. Brake",
        "1.1 Pads",
        "They wear.",
        "Note:\nRed.",
        "Chapter 2. Oil",
        "A.",
    )
    text = "\n\n".join(lines)
    record = with_titles(make_record("", "a.txt", "text", text.encode(), {}))
    assert [heading.level for heading in record.headings] == [1, 2, 3, 9, 2]


TIMES = (
    "# A\n\nLadders are kept in the barn.\n\n# B\n\nThe course lasts three weeks.\n\n"
    "# C\n\nThe drum turns at 12 rpm.\n\n# D\n\nThe hall has 40 seats. Olga opened the hall.\n"
)


@pytest.mark.parametrize(
    ("question", "first", "second"),
    [
        ("Where are the ladders kept and how long does the course last?", "barn", "three weeks"),
        ("How long does the course last and where are the ladders kept?", "barn", "three weeks"),
        ("How long does the course last and how fast does the drum turn?", "weeks", "12 rpm"),
        ("How many seats has the hall and where are the ladders kept?", "40", "barn"),
        ("Where are the ladders kept, and how many seats has the hall?", "40", "barn"),
    ],
)
def test_each_part_of_a_question_asks_for_its_own_quantity(question, first, second, tmp_path):
    text = ask(tmp_path, question, t__md=TIMES).text
    assert first in text and second in text


def test_a_part_without_a_question_word_asks_for_the_quantity_of_the_part_before():
    parts = parse_question("How many seats has Lumo, and Nerva, and who steers Nerva?").parts
    assert [part.measure.name for part in parts] == ["count", "count", ""]


def test_every_language_that_asks_for_a_quantity_has_numerals():
    languages = {language for _, language in _asks()}
    assert languages <= _measures()["NUMERAL"].keys()


@pytest.mark.parametrize("question", ["Which year is the {} from?", "From what year is the {}?"])
def test_a_year_has_four_digits(question, tmp_path):
    text = "Ferry,Captain,Cars,Year\nTilde,,40,2004\nGudrun,Mona Ek,12,\n"
    opened = session(tmp_path, f__csv=text).index
    assert answer_question(opened, question.format("Gudrun")).refused
    assert "2004" in answer_question(opened, question.format("Tilde")).text


def test_a_sentence_of_two_overlapping_quotes_is_in_the_first_alone(tmp_path):
    text = "One is here. Two is there. Three is far away from here. Four is lost in the woods."
    opened = session(tmp_path, a__md=text + "\n").index
    [hit] = opened.lexical.search("three", 1)
    spans = [
        QuoteSpan(hit, 0, 26, 1.0, 2.0, short_end=26),
        QuoteSpan(hit, 13, len(text), 0.9, 1.0, short_end=len(text)),
    ]
    first, second = _claims_of(opened, spans, 3, [])
    assert first.text == "One is here. Two is there."
    assert second.text == "Three is far away from here. Four is lost in the woods."


SENTENCES = (
    "The forge weighs 38 kilograms.", "The cabin lies 35 minutes from the road.",
    "The lining of the kiln is 4 mm thick.", "The tower is 41 metres tall.",
    "Tickets for the tower cost 90 kroner.", "The needle valve is made of brass.",
    "Other valves cost more.", "The barn was built in 1911.", "The drum is oiled annually.",
    "The filter is cleaned every Monday.", "The hose costs 12 euros.",
    "Die Pumpe wird jeden Monat geprüft.",
)  # fmt: skip
CODES = "| Exit code | Meaning |\n|---|---|\n| 0 | success |\n| 2 | no input |\n"
KINDS = "".join(f"## Part {n}\n\n{each}\n\n" for n, each in enumerate(SENTENCES)) + CODES


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("How tall is the tower?", "41 metres"),
        ("How tall is the forge?", ""),
        ("How thick is the lining of the kiln?", "4 mm"),
        ("How old is the lining of the kiln?", ""),
        ("How old is the cabin?", ""),
        ("How old is the barn?", "1911"),
        ("What does the needle valve cost?", ""),
        ("What does the hose cost?", "12 euros"),
        ("How much do tickets for the tower cost?", "90 kroner"),
        ("How often is the filter cleaned?", "every Monday"),
        ("How often is the drum oiled?", "annually"),
        ("Wie oft wird die Pumpe geprüft?", "jeden Monat"),
        ("What does exit code 2 mean?", "no input"),
        ("What does exit code 5 mean?", ""),
    ],
)
def test_a_quantity_is_of_the_kind_that_is_asked_for(question, said, tmp_path):
    answer = ask(tmp_path, question, y__md=KINDS)
    assert answer.refused if not said else said in answer.claims[0].text


TEAM = """# Team

Ada Berg is the secretary.

## Kiln

The kiln warden is Olaf Brekke.

## Parts

BX-1004 is a drive belt. `--quiet` suppresses progress messages.

## Lighthouse

Skarvholm Lighthouse was designed by Per Lie.

"""


@pytest.mark.parametrize(
    ("question", "first", "second"),
    [
        ("What does --quiet do and what does exit code 2 mean?", "suppresses", "no input"),
        ("What is BX-1004 and who is the kiln warden?", "drive belt", "Olaf Brekke"),
        ("Who is the secretary, and who designed Skarvholm Lighthouse?", "Ada Berg", "Per Lie"),
    ],
)
def test_two_questions_in_one_are_each_asked_alone(question, first, second, tmp_path):
    text = ask(tmp_path, question, t__md=TEAM + CODES).text
    assert first in text and second in text


FAQ = {
    "f.html": "<h1>Hostel</h1><p>We answer about check-in, breakfast and dogs.</p>"
    "<p><strong>When is check-in?</strong></p><p>From two in the afternoon.</p>"
    "<p><b>Is breakfast included?</b></p><p>Yes, until ten.</p>"
    "<p><b>May dogs stay?</b></p><p>Only in the barn.</p>",
    "f.txt": "Hostel\n\nWhen is check-in?\nFrom two in the afternoon.\n\nIs breakfast included?\n"
    "Yes, until ten.\n\nMay dogs stay?\nOnly in the barn.\n",
    "f.md": "# Hostel\n\n**When is check-in?**\n\nFrom two in the afternoon.\n\n"
    "**Is breakfast included?**\n\nYes, until ten.\n\n**May dogs stay?**\n\nOnly in the barn.\n",
}


@pytest.mark.parametrize("name", FAQ)
@pytest.mark.parametrize(
    ("question", "said", "other"),
    [
        ("When is check-in?", "From two in the afternoon.", "until ten"),
        ("Is breakfast included?", "Yes, until ten.", "barn"),
        ("May dogs stay?", "Only in the barn.", "until ten"),
    ],
)
def test_a_line_that_is_the_question_is_quoted_with_its_answer(
    name, question, said, other, tmp_path
):
    first = ask(tmp_path, question, **{name.replace(".", "__"): FAQ[name]}).claims[0].text
    assert said in first and other not in first


@pytest.mark.parametrize(
    ("question", "is_refused"),
    [
        ("What is the maximum inlet pressure of the kiln?", False),
        ("What is the maximum inlet pressure of the compressor?", True),
        ("How many litres does the carp tank hold?", False),
        ("How many litres does the newt tank hold?", True),
    ],
)
def test_a_thing_that_is_nowhere_is_refused_however_many_words_are_there(
    question, is_refused, tmp_path
):
    text = (
        "The maximum inlet pressure of the kiln is 3 bar.\n\n## Carp\n\n"
        "The carp tank holds 900 litres.\n"
    )
    assert ask(tmp_path, question, k__md=text).refused == is_refused


@pytest.mark.parametrize(
    ("text", "question", "answer"),
    [
        ("The barn burnt down in 1967.", "When did the barn burn down?", "1967"),
        ("The guild bought the mill and wrote a chronicle.", "Who wrote the chronicle?", "guild"),
        ("The bridge is 84 metres long.", "What is the length of the bridge?", "84 metres"),
        ("The saw weighs 9 kg.", "What is the weight of the saw?", "9 kg"),
        ("Die Zunft kaufte die Laute 1877.", "Wann hat die Zunft die Laute gekauft?", "1877"),
        ("Der Dichter schrieb das Lied 1911.", "Wann wurde das Lied geschrieben?", "1911"),
        ("Chaque abonné peut emprunter douze documents pour trois semaines, et c'est tout.",
         "Combien de documents peut-on emprunter ?", "douze"),
        ("The bolts, which are painted red, are removed.", "What colour are the bolts?", "red"),
        ("The lecture starts at 19:30.", "What time does the lecture start?", "19:30"),
        ("Version 3.0 was released in March 2023.", "When was version 3.0 released?", "March"),
        ("Room 40 holds 12 people.", "How many people does room 40 hold?", "12 people"),
        ("The pond is 3 metres deep.", "How deep is the pond?", "3 metres"),
        ("The pond is 3 metres deep.", "What depth is the pond?", "3 metres"),
        ("The pond is very deep.", "What depth is the pond?", ""),
        ("The curve holds up to 2.9 metres.", "Up to which level does the curve hold?", "2.9"),
        ("The curve holds well.", "Up to which level does the curve hold?", ""),
        ("The pond is 3 metres deep.", "How high is the pond?", ""),
        ("The ferry leaves every forty minutes. It was built in Bergen.",
         "When was the ferry built?", ""),
        ("The ferry leaves every forty minutes.", "When does the ferry leave?", "forty"),
        ("The ferry was built in 1974.", "When was the ferry built?", "1974"),
        ("The ferry leaves every forty minutes.", "How long is the ferry?", ""),
        ("pump.weight=140 kg", "What is the price of the pump?", ""),
        ("pump.price=140", "What is the price of the pump?", "140"),
        ("The oak is 600 years old.", "How long is the oak?", ""),
        ("The bolts, which are heavy, are removed.", "What colour are the bolts?", ""),
        ("The mill grinds wheat.", "When was the mill built?", ""),
        ("The train takes 12 minutes.", "Where is the train?", ""),
        ("Version 2.1 was released in July 2021. Version 3.0 was released on 14 March 2023.",
         "When was version 4.0 released?", ""),
        ("Room 12 holds 40 people.", "How many people does room 40 hold?", ""),
        ("Line 6 runs every 12 minutes.", "How often does line 12 run?", ""),
        ("The soup costs 4 euros. The bus is red.", "How much does the bus cost?", ""),
        ("2024-06-01 INFO backup finished\n\n2024-06-02 INFO backup failed",
         "backup 2024-06-02", "failed"),
        ("2024-06-01 INFO backup finished\n\n2024-06-02 INFO backup failed",
         "What happened on 2024-06-07?", ""),
        ("| Program | Purpose | Hold |\n|---|---|---|\n| 2 | Curing | 15 min |\n"
         "| 3 | Baking | 2 min |\n", "What is the hold of program 2?", "Curing"),
        ("| Program | Purpose | Hold |\n|---|---|---|\n| 2 | Curing | 30 min |\n"
         "| 3 | Baking | 2 min |\n", "What is the hold of program 30?", ""),
        ("The card holds up to 30 recipes.", "How many recipes fit on the card?", "30"),
        ("# Sales\n\nThe process is [here](https://a.example/e/85d-4d7b).",
         "How long does the sales process take?", ""),
        ("## First Responder\n\nThe First Responder is the first team member who becomes aware of "
         "the incident.\n\n- For 15 minutes the First Responder may work alone. If needed, the "
         "First Responder begins forming the team.\n",
         "What is a First Responder?", "is the first team"),
        ("## Tech Lead\n\n- Fills out the form\n- Draws the plan\n\n## Writer\n\n- Writes it",
         "Who draws the plan?", "Tech Lead"),
        ("The 37signals team has 18 days of vacation.",
         "How many vacation days does 37signals offer?", "18 days"),
        ("class 6B would like to visit you with 24 pupils.",
         "How many pupils come with class 6B?", "24 pupils"),
        ("The card is blue, and the recipes are French.", "How many recipes fit on the card?", ""),
        ("The stable dates from 1764. The great barn burnt down in 1967.",
         "When did the stable burn down?", ""),
        ("The stable dates from 1764. The stable burnt down in 1967.",
         "When did the stable burn down?", "1967"),
        ("The clock was insured for 38,000 pounds.", "How heavy is the clock?", ""),
        ("The clock, a gift, weighs 38 pounds.", "How heavy is the clock?", "38 pounds"),
        ("The wheel measures 5 metres across. The mill has a wheel.", "How high is the wheel?", ""),
        ("Olga won a prize in 2016.", "How old is Olga?", ""),
        ("Olga was born in 1961.", "How old is Olga?", "1961"),
        ("Ventilate above a wind speed of 3. Close the dome when the wind reaches 58 km/h.",
         "At what wind speed do we close the dome?", "58 km/h"),
        ("| Name | Default | Unit |\n|---|---|---|\n| press | 25 | min |\n"
         "| drum | 40 | min |\n", "How loud is the press?", ""),
        ("| Name | Noise | Price |\n|---|---|---|\n| press | 25 | 90 |\n"
         "| drum | 40 | 80 |\n", "How loud is the press?", "25"),
        ("| Flour | Price per kg |\n|---|---|\n| rye | 1.60 |\n| spelt | 2.10 |\n",
         "What does rye cost?", "1.60"),
        ("The barn was built in 1810. It is empty.", "What is the barn made of?", ""),
        ("The barn was built in 1810. Its doors are oak.", "What are its doors made of?",
         "oak"),
        ("The barn was built in 1810.", "What is the barn used for?", ""),
        ("Hay is kept in the barn.", "What is the barn used for?", "Hay"),
        ("The barn was built in 1810.", "What is the barn called?", ""),
        ("The barn, built in 1810, is known as the Ark.", "What is the barn called?", "Ark"),
        ("The chest was mended in 1981.", "What does the chest contain?", ""),
        ("The chest holds two splints.", "What does the chest contain?", "splints"),
        ("The barn was built in 1810.", "Where is the barn?", ""),
        ("The barn is by the river.", "Where is the barn?", "river"),
        ("The mask above the stage smiles.", "Who made the mask above the stage?", ""),
        ("The mask is by Ines Calder.", "Who made the mask?", "Calder"),
        ("Edith Sallow, of Leck, ground the lens.", "Who made the lens?", "Sallow"),
        ("Jobs are kept for 5 weeks.", "How many jobs are kept?", ""),
        ("The holidays of a team are 30 days.", "How many holidays has a team?", "30 days"),
        ("Die Katze schläft im Ofen.", "Wie heißt die Katze?", ""),
        ("Die Katze heißt Mohrle.", "Wie heißt die Katze?", "Mohrle"),
        ("The pool is thirty yards long.", "How long is the pool?", "thirty yards"),
        ("We keep a jar that we call the puncture fund.", "What is the jar called?", "puncture"),
        ('{"city":"Bergen","bridges":7}', "How many bridges has Bergen?", "7"),
        ("os.join makes one path of two.", "What is os.join used for?", "one path"),
        ("## Gull\n\n| Dome | Motor |\n|---|---|\n| Tern | none |\n| Gull | |\n",
         "What is the motor of the Gull?", ""),
        ("## Gull\n\n| Dome | Motor |\n|---|---|\n| Tern | none |\n| Gull | M-4 |\n",
         "What is the motor of the Gull?", "M-4"),
        ("12:01 \x1b[31mgannet\x1b[0m failed with code 77.", "Why has the gannet failed?", "77"),
    ],
)  # fmt: skip
def test_forms_numbers_and_quantities_are_those_that_are_asked_for(
    tmp_path, text, question, answer
):
    found = ask(tmp_path, question, a__md=text)
    assert found.refused == (not answer), found.text
    assert not answer or answer in found.claims[0].text


@pytest.mark.parametrize(
    ("text", "question", "answer"),
    [
        ("Gegründet wurde der Verein 1991.", "Wann wurde der Verein gegründet?", "1991"),
        ("Das Geschäft öffnet um neun Uhr.", "Wann öffnet das Geschäft?", "neun Uhr"),
        ("La médiathèque est ouverte à 10 heures du mardi au samedi.",
         "À quelle heure ouvre la médiathèque ?", "10 heures"),
        ("La impresión cuesta veinte pesos.", "¿Cuánto cuesta la impresión?", "veinte pesos"),
        ("The backup finished in 315 s.", "How long did the backup take?", "315 s"),
        ("A full plot measures 250 square metres. Its rent is 68 pounds.",
         "How large is a full plot?", "250 square"),
        ("A full plot costs 68 pounds.", "How large is a full plot?", ""),
        ("In winds of 14 knots no boat sails.", "On which days does the boat sail?", ""),
        ("The boat sails on 3 May.", "On which day does the boat sail?", "3 May"),
    ],
)  # fmt: skip
def test_words_and_units_of_other_languages_and_kinds(tmp_path, text, question, answer):
    found = ask(tmp_path, question, a__md=text)
    assert found.refused == (not answer), found.text
    assert not answer or answer in found.claims[0].text


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What is the range of the wind gauge?", "60 m/s"),
        ("What is the range of the door contact?", ""),
        ("Where is the door contact?", "car Odin"),
    ],
)
def test_a_record_of_json_lines_answers_for_itself(tmp_path, question, answer):
    text = (
        '{"id": "WX-02", "name": "wind gauge", "range": "0 to 60 m/s"}\n'
        '{"id": "DX-31", "name": "door contact", "location": "car Odin"}\n'
    )
    found = ask(tmp_path, question, a__jsonl=text)
    assert found.refused == (not answer), found.text
    assert answer in found.text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("nginx__conf", "# The eland server keeps 40 workers.\nworker 40;\n"),
        ("env__sample", "# The eland server keeps 40 workers\nWORKERS=40\n"),
        ("main__tf", '# The eland server keeps 40 workers.\nresource "x" "y" {\n a = 1\n}\n'),
    ],
)
def test_a_comment_that_answers_is_quoted(name, text, tmp_path):
    made = ask(tmp_path, "How many workers does the eland server keep?", **{name: text})
    assert "keeps 40 workers" in made.claims[0].text


CLOSED, GAUGE = "Pontoon F is closed at night.\n", "The gauge stands at pontoon D.\n"


@pytest.mark.parametrize(
    ("question", "is_refused"),
    [
        ("When is pontoon F closed?", False),
        ("When is pontoon D closed?", True),
        ("When is pontoon A closed?", True),
        ("When can I find that pontoon F is closed?", False),
    ],
)
def test_a_letter_behind_a_thing_is_its_name(question, is_refused, tmp_path):
    assert ask(tmp_path, question, pier__md=CLOSED, gauge__md=GAUGE).refused == is_refused


def test_things_of_a_list_are_asked_for_one_by_one(tmp_path):
    made = ask(
        tmp_path, "What is the muster point, the careening grid, and the harbourmaster?",
        a__md="The harbourmaster is Ingrid Solheim.\n", b__md="The muster point is the church.\n",
        c__md="The careening grid is a row of beams on which a boat dries out.\n",
    )  # fmt: skip
    assert len(made.claims) == 3 and made.details["unanswered"] == []


def test_the_head_of_a_table_is_quoted_once(tmp_path):
    text = "machine,load\nMiele,13 kg\nPrimus,11 kg\n"
    made = ask(tmp_path, "What is the load of the Miele and the Primus?", a__csv=text)
    assert [len(claim.quotes) for claim in made.claims] == [2, 1]
    cells = [claim["cells"] for claim in answer_to_json(made)["claims"]]
    assert cells[0] == {"machine": "Miele", "load": "13 kg"} and cells[1]["load"] == "11 kg"


@pytest.mark.parametrize(
    ("language", "text", "question"),
    [
        ("fr", "Un nettoyage coûte 6 livres par mètre.\n", "Combien coûte un nettoyage ?"),
        ("de", "Eine Absaugung kostet 8 Pfund.\n", "Was kostet eine Absaugung?"),
    ],
)
def test_pounds_of_other_languages_are_a_price(language, text, question, tmp_path):
    assert not ask(tmp_path, question, **{f"{language}__md": text}).refused


TARIFFS = "berth_class,price_per_season,max_length_m\nA1,1450,8\nB1,2650,12\n"
PEOPLE = "The harbourmaster is Ingrid Solheim.\n\nThe caretaker is Pavel Novotny.\n"
SHOP = (
    "The fan speed of the cellar north is 320. The shop opens at nine.\n\n"
    "On Sundays the shop opens at noon.\n\nThe fan speed of the cellar south is 280.\n\n"
    "Vat Berta holds 900 litres.\n\nVat Clara holds 2800 litres.\n"
)
MACHINES = "| Machine | Load |\n| --- | --- |\n| Miele PW 413 | 13 kg |\n| Primus SD11 | 11 kg |\n"


@pytest.mark.parametrize(
    ("questions", "said"),
    [
        (("What is the price per season of class B1?", "and its max_length_m?"), "B1,2650,12"),
        (("Who is the harbourmaster?", "and the caretaker?"), "Pavel Novotny"),
        (("What is the load of the Miele PW 413?", "and the Primus SD11?"), "11 kg"),
        (("What is the fan speed of the cellar north?", "and of the cellar south?"), "280"),
        (("How much does Vat Berta hold?", "and Vat Clara?"), "2800 litres"),
        (("When does the shop open?", "and on Sundays?"), "at noon"),
    ],
)
def test_a_follow_up_asks_of_the_same_thing_or_the_same_of_another(questions, said, tmp_path):
    talk = session(tmp_path, a__csv=TARIFFS, b__md=PEOPLE, c__md=MACHINES, d__md=SHOP)
    assert said in [talk.ask(question) for question in questions][-1].claims[0].text


def test_a_session_outlives_the_snapshot_that_it_has_open(tmp_path):
    talk = session(tmp_path, a__md="The barn is red.\n")
    for word in ("old", "tall"):
        (tmp_path / "docs" / "b.md").write_text(f"The mill is {word}.\n")
        index(tmp_path / "docs", tmp_path / "i")
    assert "open the index again" in str(talk.reply("What is the barn?"))


@pytest.mark.parametrize("entry", ["<p>{}, {}</p>", "<li>{} <a>{}</a></li>", "{}, {};"])
def test_an_index_of_a_book_is_no_passage(entry, tmp_path):
    names = enumerate("Abel Dunn Keeper Quay Tower".split())
    entries = "".join(entry.format(name, n) for n, name in names)
    pages = f"<h1>Life</h1><p>Dunn kept the light.</p><h1>Index</h1>{entries}"
    opened = session(tmp_path, a__html=f"<main>{pages}</main>").index
    assert "Quay" not in "".join(each.text for each in opened.lexical.passages())


def test_a_list_that_is_longer_than_a_quote_is_said_to_go_on(tmp_path):
    items = "".join(f"- a coil of rope of {n} metres and a spare for it\n" for n in range(60))
    made = ask(tmp_path, "What must the crew bring?", a__md=f"The crew must bring:\n\n{items}")
    assert made.details["continues"].startswith("a.md:") and "the list goes on" in answer_to_text(
        made
    )
    short = ask(
        tmp_path / "b", "What must the crew bring?", a__md="The crew must bring:\n\n- rope\n"
    )
    assert not short.details.get("continues")


def test_a_question_of_four_parts_has_four_quotes(tmp_path):
    made = ask(
        tmp_path,
        "What does a tour cost, who guides schools, when does the shop close and which bus stops "
        "at the bridge?",
        a__md="A tour costs 9 euros.\n", b__md="Ann Lee guides schools.\n",
        c__md="The shop closes at five.\n", d__md="Bus 12 stops at the bridge.\n",
    )  # fmt: skip
    assert len(made.claims) == 4 and made.details["unanswered"] == []


def test_an_entry_of_a_glossary_comes_before_a_sentence_with_the_word(tmp_path):
    made = ask(
        tmp_path, "What is whey?", a__md="Whey of the creamery holds 0.7 percent of protein.\n",
        b__md="# Glossary\n\nWhey\n: The liquid that remains.\n\nCurd\n: The rest.\n",
    )  # fmt: skip
    assert "The liquid that remains" in made.claims[0].text
