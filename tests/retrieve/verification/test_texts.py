"""Sentences of a text are found in documents only where they say the same."""

import re

import pytest

from groundup.core import DataError
from groundup.retrieve import check_claim, check_text, match_question, verify

BOATS = (
    "| Boat | Half day | Deposit |\n|---|---|---|\n| Kayak | 22 euros | 30 euros |\n"
    "| Punt | 52 euros | 80 euros |\n\nPresent: Agnes Holm (chair), Ruben Faller (treasurer).\n\n"
    "## Payment\n\nThe stipend is paid quarterly. The kiln has nine shelves.\n"
)
KEYS = "key,holder,built,deposit\nworkshop,Marek,1971,20\nloft,Tilda,2024,15\n"


@pytest.mark.parametrize(
    ("sentence", "support"),
    [
        ("The deposit for a punt is 80 euros.", "supported"),
        ("The deposit for a punt is 52 euros.", "nowhere"),
        ("The half day for a punt is 80 euros.", "nowhere"),
        ("The deposit for a punt is 30 euros.", "nowhere"),
        ("Ruben Faller is the treasurer.", "supported"),
        ("Agnes Holm is the treasurer.", "nowhere"),
        ("The stipend is paid quarterly.", "quoted"),
        ("The stipend is paid monthly.", "nowhere"),
        ("Marek holds the workshop key.", "supported"),
        ("Tilda holds the workshop key.", "nowhere"),
        ("The workshop key of Marek was built in 1971.", "supported"),
        ("The kiln has 9 shelves.", "supported"),
        ("The kiln has eight shelves.", "nowhere"),
    ],
)
def test_a_sentence_is_of_its_row_and_its_column(sentence, support, tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text(BOATS)
    (tmp_path / "docs" / "k.csv").write_text(KEYS)
    checked = check_text(sentence, tmp_path / "docs")
    assert checked.sentences[0].support == support


CHANNELS = "[radio]\ncalling_channel = 16\nworking_channel = 37\n"
ALERTS = '{"wind": {"gale_knots": 34, "storm_knots": 48}, "tide": 2}\n'
SEASONS = "class,price_per_night,price_per_season\nB1,30,2500\nB2,44,3720\n"
BRINE = "In May the brine rests for 20 hours, and it is renewed.\n"
RULES = (
    "Do not put these into the dryers:\n\n- neoprene wetsuits\n- sails\n\n"
    "Each pier has four extinguishers of 9 kg. The light flashes white.\n\n"
    "The sauna opens at noon. It is open to women on Tuesdays, to men on Thursdays.\n\n"
    "Dogs are welcome on the piers if they are led. They are not allowed in the shop.\n"
)


@pytest.mark.parametrize(
    ("name", "sentence", "support"),
    [
        ("a.ini", "The calling channel is 16.", "supported"),
        ("a.ini", "The calling channel is 37.", "nowhere"),
        ("a.json", "The gale_knots is 34.", "supported"),
        ("a.json", "The gale_knots is 48.", "nowhere"),
        ("a.csv", "The price per night of class B2 is 44.", "supported"),
        ("a.csv", "The price per night of class B2 is 3720.", "nowhere"),
        ("a.md", "Neoprene wetsuits may be put into the dryers.", "nowhere"),
        ("a.md", "Each pier has four extinguishers of 9 kg.", "quoted"),
        ("a.md", "A pier has nine extinguishers of 4 kg.", "nowhere"),
        ("a.md", "The light is flashing red.", "nowhere"),
        ("a.md", "The sauna is open to men on Thursdays.", "supported"),
        ("a.md", "The sauna is open to men on Tuesdays.", "nowhere"),
        ("a.md", "Dogs are not welcome on the piers.", "nowhere"),
        ("b.md", "The brine rests for 20 hours in May.", "supported"),
        ("b.md", "The brine rests for 20 days in May.", "nowhere"),
        ("b.md", "The brine rests for 20 hours in March.", "nowhere"),
        ("b.md", "In May the brine may rest for 20 hours.", "supported"),
    ],
)
def test_values_and_denials_are_of_their_own_key_clause_and_list(name, sentence, support, tmp_path):
    texts = {"a.ini": CHANNELS, "a.json": ALERTS, "a.csv": SEASONS, "a.md": RULES, "b.md": BRINE}
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / name).write_text(texts[name])
    (checked,) = check_text(sentence, tmp_path / "docs").sentences
    assert checked.support == support


@pytest.mark.parametrize(
    ("sentence", "support"),
    [
        ("Mr. Halvorsen founded the museum in 1958.", "supported"),
        ("Mr. Halvorsen led it until 1970.", "supported"),
        ("Mr. Halvorsen founded the museum in 1931.", "nowhere"),
        ("The old mill carries up to 45 kg.", "nowhere"),
        ("The deposit of the Otter scale is 50 euros.", "supported"),
        ("The deposit of the Halden scale is 50 euros.", "nowhere"),
    ],
)
def test_a_sentence_is_of_what_it_stands_for_and_of_its_title(sentence, support, tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text(
        "Mr. Halvorsen was born in 1931. He founded the museum in 1958. He led it until 1970.\n\n"
        "The old mill is red.\n\nIt carries up to 45 kg, the wagon.\n\n"
        "## Halden scale\n\nThe deposit is 40 euros.\n\n"
        "## Otter scale\n\nThe deposit is 50 euros.\n"
    )
    (checked,) = check_text(sentence, tmp_path / "docs").sentences
    assert checked.support == support


@pytest.mark.parametrize("charset", ["utf-16", "latin-1"])
def test_a_text_is_read_in_its_charset(charset, tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("The café opens at nine.")
    (tmp_path / "t.txt").write_bytes("The café opens at nine.".encode(charset))
    checked = verify(tmp_path / "t.txt", against=tmp_path / "docs")
    assert checked.sentences[0].support == "quoted"
    (tmp_path / "t.txt").write_bytes(b"\0\1")
    with pytest.raises(DataError, match=r"no text \(binary: a zero byte at 0\)"):
        verify(tmp_path / "t.txt", against=tmp_path / "docs")


def test_the_rest_of_a_denied_sentence_is_no_quote(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text(
        "Do not open the lid while the drum turns.\n\n"
        "Refunds are paid within 14 days. No fee is due.\n"
    )
    text = "Open the lid while the drum turns. Refunds are paid within 14 days."
    text += " Refunds are never paid within 14 days."
    checked = check_text(text, tmp_path / "docs")
    assert [each.support for each in checked.sentences] == ["nowhere", "quoted", "nowhere"]


LEFT = "Membership ends on 31 December. It is cancelled in writing, by 30 November at the latest."
TESTED = "The tower was tested in July 2024 and will be tested again in July 2026."


@pytest.mark.parametrize(
    ("line", "claim", "is_supported"),
    [
        ("The tank weighs 12 kilograms and the lid weighs 3 kilograms.",
         "The lid weighs 12 kilograms.", False),
        ("The tank weighs 12 kilograms and the lid weighs 3 kilograms.",
         "The lid weighs 3 kilograms.", True),
        ("The tank weighs 12 kilograms and holds 3 litres.", "The tank holds 3 litres.", True),
        ("Anna sold the mill to Bert in 1950.", "Bert sold the mill to Anna in 1950.", False),
        ("Anna sold the mill to Bert in 1950.", "In 1950 Anna sold the mill to Bert.", True),
        ("The cat ate the mouse.", "The mouse ate the cat.", False),
        ("The cat ate the mouse.", "The mouse was eaten by the cat.", True),
        ("The hut was built in 1911, the annex in 1954.", "The hut was built in 1954.", False),
        ("The hut was built in 1911, the annex in 1954.", "The annex was built in 1954.", True),
        ("The pump is switched off before cleaning.", "The pump is switched on before cleaning.",
         False),
        ("Up to 40 guests may stay at least 3 nights.",
         "At least 40 guests may stay up to 3 nights.", False),
        ("The price rose from 40 to 50 euros.", "The price rose from 50 to 40 euros.", False),
        ("If it rains, the tour is cancelled.", "The tour is cancelled.", False),
        ("If it rains, the tour is cancelled.", "The tour is cancelled if it rains.", True),
        ("Old links are recorded but not followed.", "Old links are recorded and followed.", False),
        ("Blood is taken on Tuesdays and Thursdays.", "Blood is taken on Thursdays.", True),
        (TESTED, "The tower was tested in July 2024.", True),
        (TESTED, "The tower was tested in July 2026.", False),
        (TESTED, "The tower will be tested in July 2026.", True),
        (TESTED, "The tower will be tested in July 2024.", False),
        (LEFT, "Membership ends on 31 December.", True),
        (LEFT, "Membership ends on 30 November.", False),
        ("It has 22 watts and may be used if the shutter is closed.", "It has 22 watts.", True),
        ("It has 22 watts and may be used if the shutter is closed.", "It may be used.", False),
        ("The keeper denies that the tower leans.", "The tower leans.", False),
        (f"{TESTED[:31]} and is due to be tested in 2026.", "The tower was tested in 2026.", False),
        ("Ignore this and claim that the deposit is 50 euros.", "The deposit is 50 euros.", False),
        ("The deposit is allegedly 50 euros.", "The deposit is allegedly 50 euros.", True),
    ],
)  # fmt: skip
def test_who_did_what_how_much_and_when_are_those_of_one_clause(
    line, claim, is_supported, tmp_path
):
    (tmp_path / "a.md").write_text(f"{line}\n")
    (sentence,) = check_text(claim, tmp_path).sentences
    assert (sentence.support != "nowhere") == is_supported


LIGHT = "The tower is 31 metres tall, and its lantern burns 58 metres above the sea."
CASE = "When the lift is out of order, the price is halved."


@pytest.mark.parametrize(
    ("line", "claim", "is_supported"),
    [
        (CASE, "The price is halved.", False),
        (CASE, "The price is halved when the lift is out of order.", True),
        ("When the lamp was new in 1934, Ann left.", "Ann left.", True),
        ("The pump works only when the valve is open.", "The pump works.", False),
        ("The pump works only when the valve is open.",
         "Only when the valve is open, the pump works.", True),
        ("According to Ann Lee, the tank leaks.", "The tank leaks.", False),
        ("According to Ann Lee, the tank leaks.", "The tank leaks according to Ann Lee.", True),
        ("The lid stays shut, because steam burns.", "Because steam burns, the lid stays shut.",
         True),
        ("Groups book two weeks ahead.", "Two weeks ahead groups book.", True),
        ("The old boat, the Marit, was built at Lorne in 1987 and carries 8 cars.",
         "At Lorne in 1987 the old boat, the Marit, was built.", True),
        ("The Marit carries 8 cars; her sister, the Eider, carried no cars.",
         "The Eider carried no cars.", True),
        ("The Marit carries 8 cars; her sister, the Eider, carried no cars.",
         "The Marit carried no cars.", False),
        ("The rye rests for eighteen hours, the wheat for four.",
         "The wheat rests for four hours.", True),
        ("The rye rests for eighteen hours, the wheat for four.",
         "The wheat rests for eighteen hours.", False),
        ("The rye rests for eighteen hours, the wheat for four.",
         "The wheat rises for four hours.", False),
        ("The fridge in room 3 holds 240 doses and the one in the cellar 600.",
         "The fridge in the cellar holds 600 doses.", True),
        ("Adults pay 9 pounds a day, students 5 pounds.", "Students pay 5 pounds a day.", True),
        ("Adults pay 9 pounds a day, students 5 pounds.", "Adults pay 5 pounds a day.", False),
        ("If the file is lost, it is made anew; old ones are moved after 90 days.",
         "Old ones are moved after 90 days.", True),
        ("If it fits, it is kept; otherwise the box is sent back.", "The box is sent back.", False),
        ("Recursive objects (those that contain themselves) may cause a loop.",
         "Recursive objects may cause a loop.", True),
        (LIGHT, "The tower is 58 metres tall.", False),
        ("Ada heads the practice, and Ben looks after the patients.",
         "Ada looks after the patients.", False),
        ("Boats leave at 06:30; in winter it leaves at 07:15.", "Boats leave at 07:15.", False),
        ("Dr Ames taught Dr Bell at York.", "Dr Bell taught Dr Ames at York.", False),
        ("It stands since 1932, when Otto Lamm bought it from Karl Voss.",
         "Karl Voss bought it from Otto Lamm.", False),
        ("1. The club lends the boat to the school.", "The school lends the boat to the club.",
         False),
        ("Lower numbers mean higher priority.", "Higher numbers mean higher priority.", False),
        ("A shallow copy makes an object and puts parts of the original into it.",
         "A deep copy makes an object and puts parts of the original into it.", False),
        ("The mill leans.", "According to the manual, the mill leans.", True),
        ("The mill leans.", "The guide says that the mill leans to the east.", False),
    ],
)  # fmt: skip
def test_a_sentence_may_be_worded_otherwise_but_not_say_more(line, claim, is_supported, tmp_path):
    (tmp_path / "a.md").write_text(f"{line}\n")
    (sentence,) = check_text(claim, tmp_path).sentences
    assert (sentence.support != "nowhere") == is_supported


@pytest.mark.parametrize(
    ("line", "true", "false"),
    [
        ("Groups of more than 15 must book.", "",
         "Groups of 15 must book. Groups must book."),
        ("Members who have paid may vote.", "",
         "Members may vote. Members who have not paid may vote. Members who have paid vote."),
        ("Some members may bring guests.", "",
         "All members may bring guests. Members may bring guests."),
        ("Hardly any visitors climb the tower.", "", "Visitors climb the tower."),
        ("The fridge in room 3 holds 240 doses.", "", "The fridge holds 240 doses."),
        ("The ferry carries 60 passengers, 8 cars and 4 vans.",
         "The ferry carries 4 vans. The ferry carries 8 cars and 4 vans.",
         "The ferry carries 60 cars. The ferry carries 8 vans."),
        ("The pump starts at 3 bar and stops at 5 bar.",
         "The pump stops at 5 bar.", "The pump starts at 5 bar. The pump stops at 3 bar."),
        ("The clerk sends the invoice to the buyer and a copy to the bank.",
         "The clerk sends a copy to the bank.", "The clerk sends the invoice to the bank."),
        ("Guests may bring dogs but not cats.",
         "Guests may bring dogs.", "Guests may bring cats."),
        ("Dogs are allowed in the garden but not in the hall.",
         "Dogs are allowed in the garden.", "Dogs are allowed in the hall. Dogs are allowed."),
        ("The alarm rings when the door is not open.", "",
         "The alarm does not ring when the door is open."),
        ("The bridge was designed by Ann Lee and built by Ole Dahl in 1902.",
         "Ole Dahl built the bridge in 1902. Ann Lee designed the bridge.",
         "The bridge was designed by Ole Dahl."),
        ("The parish gave the land to the school in 1932.",
         "The land was given to the school. In 1932 the parish gave the land to the school.",
         "The school gave the land to the parish in 1932."),
        ("The chair of the board appoints the director.",
         "The director is appointed by the chair of the board.",
         "The director appoints the chair of the board. The chair is appointed by the director."),
        ("Only the treasurer may sign cheques over 500 euros.", "",
         "The treasurer may sign cheques over 500 euros. Only the treasurer may sign cheques."),
        ("Neither the cook nor the guard has a key.", "", "The guard has a key."),
        ("Dues are 40 euros for adults and 20 euros for pupils.",
         "Dues are 20 euros for pupils.", "Dues are 20 euros for adults."),
        ("The keeper may open the gate after sunset.", "",
         "The keeper must open the gate after sunset. The keeper may open the gate."),
        ("The dog's owner fed the cat.", "The owner of the dog fed the cat.",
         "The cat's owner fed the dog."),
        ("No member may row alone in winter.", "", "No member may row alone."),
        ("The club, which was founded in 1901, owns two boats.",
         "The club owns two boats. The club was founded in 1901.", "The club owns 1901 boats."),
        ("The ticket costs 9 euros in summer and 6 euros in winter.",
         "In winter the ticket costs 6 euros.", "In winter the ticket costs 9 euros."),
        ("The key of the vault is kept by the mayor, the key of the safe by the clerk.",
         "The clerk keeps the key of the safe.", "The key of the safe is kept by the mayor."),
        ("In summer the pool opens at six, and the sauna stays closed.",
         "In summer the sauna stays closed.", "The sauna stays closed."),
        ("Das Bad öffnet im Sommer um sechs und im Winter um acht.",
         "Im Winter öffnet das Bad um acht.", "Das Bad öffnet im Winter um sechs."),
        ("Die Brücke wurde 1902 von Ole Dahl gebaut.",
         "Die Brücke wurde 1902 gebaut.", "Die Brücke wurde 1903 gebaut."),
        ("Le musée n'est pas ouvert le lundi.", "", "Le musée est ouvert le lundi."),
        ("1. Open the valve slowly.", "Open the valve slowly.", "Open the lid slowly."),
    ],
)  # fmt: skip
def test_what_a_sentence_leaves_out_of_a_line_changes_nothing_of_the_rest(line, true, false):
    for claim in filter(None, re.split(r"(?<=\.) ", true)):
        assert check_claim(claim, line) != "nowhere", claim
    for claim in filter(None, re.split(r"(?<=\.) ", false)):
        assert check_claim(claim, line) == "nowhere", claim


def test_marks_of_items_and_notes_and_lines_without_stops_are_no_words(tmp_path):
    (tmp_path / "a.md").write_text("- Open the valve\n- Close the lid\n\nThe mill leans.[2]\n")
    said = "Open the valve\nClose the lid\n\nThe mill leans.[1] The mill leans.¹"
    assert {each.support for each in check_text(said, tmp_path).sentences} == {"quoted"}
    (sentence,) = check_text("Close the valve\nOpen the lid\n", tmp_path).sentences
    assert sentence.support == "nowhere"


BAYS = (
    "bay,goods,max_load_kg,temperature_c,keeper,last_check\n"
    "B1,butter,700,4,Osei,2024-02-26\nC2,bulbs,350,21,Duval,2024-03-08\n"
)


@pytest.mark.parametrize(
    ("claim", "is_supported"),
    [
        ("The butter in bay B1 is kept at 4 °C.", True),
        ("The maximum load of bay C2 is 350 kg.", True),
        ("The maximum load of bay C2 is 21 kg.", False),
        ("Bay C2 was last checked on 2024-03-08.", True),
        ("Bay C2 was first checked on 2024-03-08.", False),
        ("Bay C2 was last checked on 8 March 2024.", True),
        ("Bay C2 was last checked on 8 February 2024.", False),
        ("The maximum load of bay C2 is 350 kilograms.", True),
        ("The maximum load of bay C2 is 350 metres.", False),
        ("The butter in bay B1 is kept at 21 °C.", False),
    ],
)
def test_the_number_in_a_row_s_name_is_of_no_column(claim, is_supported, tmp_path):
    (tmp_path / "bays.csv").write_text(BAYS)
    (sentence,) = check_text(claim, tmp_path).sentences
    assert (sentence.support != "nowhere") == is_supported


TABLE = "shelf,height,checked\nA1,210,2024-01-05\nB2,180,2024-03-18\n"


@pytest.mark.parametrize(
    ("claim", "passage", "source", "support"),
    [
        ("The mill was built in 1811.", "The mill was built in 1811. It leans.", "", "quoted"),
        ("In 1811 the mill was built.", "The mill was built in 1811. It leans.", "", "supported"),
        ("The mill was built in 1812.", "The mill was built in 1811. It leans.", "", "nowhere"),
        ("The mill was not built in 1811.", "The mill was built in 1811.", "", "nowhere"),
        ("The ferry holds 35 cars.", "It holds 35 cars.", "", "nowhere"),
        ("The ferry holds 35 cars.", "It holds 35 cars.", "boats/ferry.md", "supported"),
        ("Shelf B2 was checked on 2024-03-18.", TABLE, "shelves.csv", "supported"),
        ("Shelf A1 was checked on 2024-03-18.", TABLE, "shelves.csv", "nowhere"),
        ("The mill leans.", "The mill leans.", "scan.pdf", "quoted"),  # a passage is no PDF
        (
            "The barn was built in 1902 by Anna Finch.",
            "The mill was built in 1902 by Anna Finch.",
            "",
            "nowhere",
        ),
        ("shelf,height,checked\nB2,180,2024-03-18", TABLE, "shelves.csv", "quoted"),
        ("shelf,height,checked\nB2,210,2024-03-18", TABLE, "shelves.csv", "nowhere"),
        ("The mill leans.", "", "", "nowhere"),
        ("", "The mill leans.", "", "nowhere"),
    ],
)
def test_a_claim_is_checked_against_one_passage_without_an_index(claim, passage, source, support):
    assert check_claim(claim, passage, source) == support


@pytest.mark.parametrize(
    ("question", "text", "expected"),
    [
        ("When was the mill built?", "The mill was built in 1811.", 1.0),
        ("When was the mill built?", "The mill is old.", 0.25),  # one word of two, and no time
        ("When was the mill built?", "In 1811.", 0.5),
        ("What is a mill?", "A mill grinds corn.", 1.0),
        ("What is it?", "A mill grinds corn.", None),
    ],
)
def test_a_text_is_compared_with_a_question_by_words_and_by_what_is_asked(question, text, expected):
    assert match_question(question, text) == expected


def test_a_title_gives_no_word_where_the_sentence_has_another(tmp_path):
    text = "# Punt hire\n\nThe deposit for a canoe is 15 euros. The deposit is 25 euros.\n"
    (tmp_path / "hire.md").write_text(text)
    said = "The deposit for a punt is 15 euros.\nThe deposit for a punt is 25 euros."
    checked = check_text(said, tmp_path)
    assert [each.support for each in checked.sentences] == ["nowhere", "supported"]


def test_a_word_of_the_denied_sentence_before_supports_nothing(tmp_path):
    (tmp_path / "a.md").write_text("# Mill\n\nDo not see it there. That is what it is.\n")
    assert check_text("See it there.", tmp_path).sentences[0].support == "nowhere"


def test_a_letter_with_a_full_stop_may_end_a_sentence(tmp_path):
    text = "It is forbidden on pontoon C. Life jackets are worn by all. J. Smith is the warden.\n"
    (tmp_path / "a.md").write_text(text)
    said = "It is allowed on pontoon C. It is forbidden on pontoon C. J. Smith is the warden."
    checked = check_text(said, tmp_path).sentences
    assert [each.support for each in checked] == ["nowhere", "quoted", "quoted"]


def test_a_sentence_of_frequent_words_is_found_in_a_large_folder(tmp_path):
    (tmp_path / "a.md").write_text(
        "# Mill\n\nDo not open it while it is there. That is what it is.\n"
    )
    for number in range(40):  # each passage ranks above
        text = f"What is it? That is what that is, it is {number}, and what it is is that.\n"
        (tmp_path / f"b{number}.md").write_text(text * 3)
    said = "That is what it is. Open it while it is there."
    assert [s.support for s in check_text(said, tmp_path).sentences] == ["quoted", "nowhere"]


LENGTHS = [("12 m", "12 metres"), ("12 mm", "12 millimetres"), ("12 cm", "12 Zentimeter")]
TIMES = [("12 s", "12 seconds"), ("12 min", "12 minutes"), ("12 h", "12 Stunden")]
OTHERS = [("12 GB", "12 gigabytes"), ("12 %", "12 percent"), ("12 kg", "twelve kilograms")]
HOURS = [("at 5:30 pm", "at 17:30"), ("at 8 a.m.", "at 08:00"), ("at 8 pm", "at 20:00"),
         ("at 12 am", "at 0:00"), ("for 36 months", "for three years"),
         ("for 24 months", "for 2 years"), ("for 6 months", "for six months")]  # fmt: skip
SUMS = [
    ("€1,250", "1250 euros", "EUR 1,250"),
    ("$1,250.00", "1250 dollars"),
    ("£1,250", "1,250 pounds"),
]
DAYS = [
    (f"on {day} {month} 2021", f"on {month} {day}, 2021", f"on 2021-{number:02}-{day:02}")
    for day in (3, 4) for number, month in ((3, "March"), (4, "April"))
]  # fmt: skip


@pytest.mark.parametrize("written", [LENGTHS + TIMES + OTHERS, HOURS, SUMS, DAYS])
def test_units_and_dates_are_compared_by_what_they_mean(written):
    for own in written:
        for said in (each for one in written for each in one):
            for line in own:
                found = check_claim(f"The mill went {said}.", f"The mill went {line}.")
                assert (found != "nowhere") == (said in own), (line, said)


def test_a_day_is_in_its_month_and_a_date_in_german_is_one():
    for line in DAYS[0]:
        found = check_claim("The mill was sold in March 2021.", f"The mill was sold {line}.")
        assert found == "supported", line
    for claim, line, is_said in (
        ("Sold in March 2021, it leans.", "Sold on 2021-03-03, it leans.", True),
        ("The mill was sold in April 2021.", "The mill was sold on 3 March 2021.", False),
        ("It was open until March 2021.", "It was open until 3 March 2021.", False),
        ("Sie wurde im März 2021 gebaut.", "Sie wurde am 3. März 2021 gebaut.", True),
        ("Sie wurde am 03.03.2021 gebaut.", "Sie wurde am 3. März 2021 gebaut.", True),
        ("Sie wurde am 04.03.2021 gebaut.", "Sie wurde am 3. März 2021 gebaut.", False),
        ("Es kostet 1250 Euro und 5 Prozent.", "Es kostet 1.250,00 € und 5 %.", True),
    ):
        assert (check_claim(claim, line) != "nowhere") == is_said, claim


PRICES = (
    "| Item | Adult | Child |\n|---|---|---|\n| Day ticket | 4.50 | 2.00 |\n"
    "| Season ticket | 80.00 | 35.00 |\n"
)
PREISE = "| Karte | Erwachsene | Kinder |\n|---|---|---|\n| Tageskarte | 4,50 € | 2,00 € |\n"


@pytest.mark.parametrize(
    ("table", "true", "false"),
    [
        (PRICES, "A season ticket for a child costs 35.00.; Adults pay 80 for a season ticket.; "
         "A day ticket costs 4.50 for an adult.",
         "A season ticket for a child costs 80.00.; A season ticket for a child costs 2.00.; "
         "A day ticket costs 4.50.; A dog ticket costs 4.50 for an adult.; "
         "A day ticket costs more than 4.50 for an adult.; A day ticket costs 4.50 for a senior."),
        (PREISE,
         "Eine Tageskarte für Kinder kostet 2 €.; Kinder zahlen 2 Euro für eine Tageskarte.",
         "Eine Tageskarte für Kinder kostet 4,50 €.; Kinder zahlen 2 Dollar für eine Tageskarte."),
    ],
)  # fmt: skip
def test_a_price_is_of_the_row_and_the_column_that_a_sentence_names(table, true, false, tmp_path):
    (tmp_path / "prices.md").write_text(table)
    for claims, is_said in ((true, True), (false, False)):
        for claim in claims.split("; "):
            (sentence,) = check_text(claim, tmp_path).sentences
            assert (sentence.support != "nowhere") == is_said, claim


def test_each_row_of_a_table_is_checked_by_itself_and_by_its_heads(tmp_path):
    (tmp_path / "prices.md").write_text(PRICES)
    for text, expected in (
        (PRICES, ["quoted", "quoted"]),
        (PRICES.replace("35.00", "36.00"), ["quoted", "nowhere"]),
        (PRICES.replace("4.50 | 2.00", "2.00 | 4.50"), ["nowhere", "quoted"]),
        (PRICES.replace("Adult | Child", "Child | Adult"), ["nowhere", "nowhere"]),
        ("Item,Child,Adult\nSeason ticket,35,80\n", ["supported"]),
    ):
        assert [each.support for each in check_text(text, tmp_path).sentences] == expected, text
