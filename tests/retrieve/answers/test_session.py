"""Questions in many languages, mistyped ones, and a session in which one follows another."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from groundup.core import ConfigError, DataError
from groundup.retrieve import (
    Session,
    answer_question,
    answer_to_json,
    answer_to_text,
    check_text,
    index,
    open_index,
    verify,
)
from groundup.retrieve.answers.session import reply_to_text
from groundup.retrieve.wording import language
from groundup.retrieve.wording.language import language_of, stem_words, stop_words, word_pattern
from groundup.retrieve.wording.question import parse_question

TEXTS = {
    "english": ("The pumps were started by the cook in the morning.", "Who starts pumps?"),
    "german": ("Der Koch startet die Pumpen um neun Uhr.", "Wer startet die Pumpe?"),
    "french": ("Les pompes sont démarrées par le cuisinier.", "Qui démarre la pompe ?"),
    "spanish": ("Las bombas son arrancadas por el cocinero.", "¿Quién arranca la bomba?"),
    "italian": ("Le pompe sono avviate dal cuoco alle nove di mattina.", "Chi avvia la pompa?"),
    "portuguese": ("As bombas são ligadas pelo cozinheiro às nove horas.", "Quem liga a bomba?"),
    "dutch": ("De pompen worden om negen uur door de kok gestart.", "Wie start de pomp?"),
    "swedish": ("Pumparna startas av kocken klockan ni på morgonen.", "Vem startar pumpen?"),
    "danish": ("Pumperne startes af kokken, men ikke hver dag.", "Hvem starter pumpen?"),
    "norwegian": ("Pumpene startes av kokken, men ikke etter at han gikk.", "Hvem starter pumpen?"),
    "finnish": ("Kokki käynnistää pumput, mutta vain jos on kylmä.", "Kuka käynnistää pumpun?"),
    "russian": ("Все насосы запускает повар, если это нужно.", "Кто запускает насос?"),
}


@pytest.mark.parametrize("language", TEXTS)
def test_a_question_finds_other_forms_of_its_words(language, tmp_path):
    text, question = TEXTS[language]
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text(text)
    (tmp_path / "docs" / "b.txt").write_text("0 1 2\n")
    index(tmp_path / "docs", tmp_path / "i")
    opened = open_index(tmp_path / "i")
    assert opened.languages[0] == language
    answer = answer_question(opened, question)
    assert answer.text == text and len(answer.details["terms"]) == 2


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("默认端口是八千零八十。\n最大连接数为一百。", "默认端口是什么"),
        ("玄関の鍵は管理人が持っています。\n窓は閉まっています。", "鍵"),
        ("每位读者最多可以借五本书。\n图书馆在市中心。", "读者可以借几本书"),
        ("既定のポートは八千八十です。\n最大接続数は百です。", "既定のポートは何ですか"),
        ("พอร์ตเริ่มต้นคือแปดพันแปดสิบ\nจำนวนสูงสุดคือหนึ่งร้อย", "พอร์ตเริ่มต้นคืออะไร"),
    ],
)
def test_texts_without_spaces_are_found_by_pairs_of_characters(text, question, tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text(text)
    index(tmp_path / "docs", tmp_path / "i")
    answer = answer_question(open_index(tmp_path / "i"), question)
    assert text.split("\n")[0].rstrip("。") in answer.text


def test_a_language_is_told_by_its_function_words():
    assert language_of("x = 1; y = 2") == "english"
    assert language_of("Фильтр меняют каждые шесть месяцев при температуре") == "russian"
    assert language_of("Das ist der Wert") == "german" == language_of("x = 1", "german")
    assert len(stop_words()) > 12 and stem_words("Größen", "german") == stem_words(
        "Größe", "german"
    )


def test_words_by_which_a_sentence_is_recognised_are_lists_of_known_languages():
    path = Path(language.__file__).with_name("words.toml")
    kinds = tomllib.loads(path.read_text(encoding="utf-8"))
    assert kinds.keys() == {
        "number",
        "telling",
        "no_subject",
        "no_keyword",
        "follow_up",
        "superseded",
        "pronoun",
        "bound",
        "of",
        "question",
        "negation",
        "numbered",
        "month",
        "person",
        "dependent",
        "subject",
        "article",
        "definition",
        "source",
        "exact",
        "generic",
        "condition",
        "reported",
        "past",
        "future",
        "opposite",
        "quantifier",
        "universal",
        "modal",
        "permission",
        "time",
        "season",
        "preposition",
        "place",
        "relative",
        "joint",
        "aside",
        "being",
        "owner",
    }
    for kind, by_language in kinds.items():
        assert by_language.keys() <= stop_words().keys() and "english" in by_language
        for words in by_language.values():
            assert len(set(words)) == len(words) > 0
            assert all(re.fullmatch(r"[^\W\d_]+(?:[ '.-][^\W\d_]+)*\*?", word) for word in words)
            assert all(word == word.lower() for word in words)
            assert all(word_pattern(kind).fullmatch(word.rstrip("*")) for word in words)
    assert word_pattern("negation").search("Das ist KEINESWEGS so")
    assert not word_pattern("negation").search("A knot of nodes")
    assert not word_pattern("follow_up", end=r"\s").match("And-gates are what?")


def test_names_and_parts_of_a_question():
    question = parse_question("What is the default port, and what the maximum of pool_size?")
    words = [[question.terms[i].text for i in part.terms] for part in question.parts]
    assert words == [["default", "port", "pool_size"], ["maximum", "pool_size"]]
    named = parse_question("Which flag does sackd take with a/b.conf on Debian, in 2024?").terms
    assert {term.text for term in named if term.is_name} == {"sackd", "a/b.conf", "Debian", "2024"}
    assert parse_question("How many cups are there?").measure.name == "count"


@pytest.fixture(scope="module")
def handbook(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("handbook")
    (folder / "pool.md").write_text(
        "# pool_size\n\nThe default of pool_size is 12 connections.\n\n"
        "The maximum of pool_size is 99 connections.\n"
    )
    (folder / "kettle.html").write_text("<h1>Kettle</h1><p>The kettle is never cleaned with sand.")
    index(folder, folder.with_name("i"))
    return folder


def test_a_mistyped_word_is_answered_as_meant_and_says_so(handbook):
    opened = open_index(handbook.with_name("i"))
    answer = answer_question(opened, "How is the ketlle cleaned?")
    assert answer.details["did_you_mean"] == {"ketlle": "Kettle"}
    meal = answer_question(opened, "What is a mettle?")  # an English word, though one edit away
    assert meal.refused and meal.details.get("did_you_mean") is None
    assert (
        "cleaned with sand" in answer.text
        and "(answered for Kettle, not ketlle)" in answer_to_text(answer)
    )
    refused = answer_question(opened, "What does the kettel cost?")
    assert refused.refused and refused.exit_code == 4
    said = answer_to_text(refused)
    assert "nowhere: kettel, cost" in said and "did you mean Kettle?" in said
    assert answer_to_json(refused)["missing"] == ["kettel", "cost"]


def test_a_session_follows_up_and_opens_what_it_quoted(handbook):
    session = Session(open_index(handbook.with_name("i")))

    def reply(line: str) -> str:
        return reply_to_text(session.reply(line)).strip()

    assert reply("history") == "no question yet"
    assert "is 12 connections" in reply("What is the default of pool_size?").split("\n")[0]
    assert reply("and its maximum?").startswith("The maximum of pool_size is 99")
    assert reply("Is the kettle cleaned and is it old?") == reply(
        "Is the kettle cleaned and is it old?"
    ), "a question of its own is asked of nothing else"
    assert session.subject == "kettle cleaned old"
    assert reply("What is the maximum of pool_size?").startswith("The maximum")
    assert "»" in reply("open 1") and "pool.md:" in reply("open 1")
    with pytest.raises(ConfigError, match="no quote 7"):
        session.show(7)
    listed = reply("history").splitlines()
    assert len(listed) == 5 and "pool_size" in listed[1] and "open N" in reply("help")
    assert "pool_size" in session.complete("pool") and "Kettle" in session.complete("ket")


def run_piped(handbook: Path, lines: str, *flags: str) -> subprocess.CompletedProcess[str]:
    words = ["-m", "groundup", "ask", "--index", str(handbook.with_name("i")), *flags]
    return subprocess.run(
        [sys.executable, *words], input=lines, capture_output=True, text=True, timeout=120
    )


def test_a_session_reads_a_pipe_to_its_end(handbook):
    done = run_piped(handbook, "What is the default of pool_size?\nopen 9\nquit\nnever read\n")
    assert done.returncode == 0 and "12 connections" in done.stdout
    assert done.stdout.startswith("> What is the default of pool_size?\n"), "each with its answer"
    assert "There is no quote 9" in done.stdout and "never" not in done.stdout


def test_with_json_each_line_of_a_session_gives_one_line_and_a_last_refusal_is_code_4(
    handbook,
):
    lines = "What is the default of pool_size?\nopen 1\nopen 9\n\nhistory\nhelp\nWho is the king?\n"
    done = run_piped(handbook, lines, "--json")
    answer, passage, error, history, text, refusal = map(json.loads, done.stdout.splitlines())
    assert answer["claims"][0]["quotes"][0]["path"] == "pool.md" and not answer["refused"]
    assert "»" in passage["text"] and "no quote 9" in error["error"] and "open N" in text["text"]
    assert history == {"questions": ["What is the default of pool_size?"]}
    assert refusal["refused"] and done.returncode == 4
    again = run_piped(handbook, "Who is the king?\nWhat is the default of pool_size?\nopen 9\n")
    assert again.returncode == 0, "the last question was answered"


def test_each_sentence_of_a_text_is_quoted_supported_or_nowhere(handbook, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text(
        "The maximum of pool_size is 99 connections. A pool_size of 99 connections is the maximum. "
        "The kettle is cleaned with sand. The moon is a kettle of 1969."
    )
    check = verify(text, against=handbook)
    assert [s.support for s in check.sentences] == ["quoted", "supported", "nowhere", "nowhere"]
    assert check.exit_code == 1 and str(check).endswith("1 quoted, 1 supported, 2 nowhere")
    assert (
        check_text("The default of pool_size is 12 connections.", handbook.with_name("i")).exit_code
        == 0
    )
    with pytest.raises(DataError, match="no sentence"):
        check_text("\n", handbook)


def test_a_row_of_several_lines_is_opened_and_named_by_its_own_place(tmp_path):
    (tmp_path / "docs").mkdir()
    rows = (
        'tool,price,remark\nhammer,12 euros,"nails\nand wood"\n5" saw,30 euros,"ask\nthe clerk"\n'
    )
    (tmp_path / "docs/tools.csv").write_text(rows)
    session = Session(open_index(index(tmp_path / "docs", tmp_path / "i").path))
    answer = session.ask("What is the price of the saw?")
    head, row = answer.claims[0].quotes
    assert head.text == "tool,price,remark" and row.text == '5" saw,30 euros,"ask\nthe clerk"'
    assert '»5" saw' in session.show(1) and session.show(1).startswith("tools.csv:4\n")
    checked = check_text("A saw is 30 euros.", tmp_path / "docs")
    assert checked.sentences[0].source == row.location == "tools.csv:4"
    assert row._replace(page=2).location == "tools.csv, page 2"
    assert row._replace(path="a.xlsx", page=2).location == "a.xlsx, sheet 2"


@pytest.mark.parametrize(
    ("first", "between", "last", "question"),
    [
        (
            "Chrony is distributed under the GPL.",
            "It keeps the time of a machine. ",
            "The systems on which Chrony works are Linux and macOS.",
            "How is Chrony distributed, and on which systems does Chrony work?",
        ),
        (  # the last names no pump, so it has less than the share that a further quote needs
            "The default port is 8080.\n\nThe pump stands in the yard.",
            "Other words stand here for a while. ",
            "The motto is steady.",
            "What is the default port, and what is the motto of the pump?",
        ),
    ],
)
def test_each_part_of_a_question_is_quoted_however_well_another_scores(
    first, between, last, question, tmp_path
):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text(f"{first}\n\n{between * 30}\n\n{last}\n")
    index(tmp_path / "docs", tmp_path / "i")
    assert last in answer_question(open_index(tmp_path / "i"), question).text


def test_a_refusal_shows_the_nearest_quote_and_what_it_lacks(handbook):
    refusal = answer_question(
        open_index(handbook.with_name("i")), "What is the flavour of pool_size?"
    )
    assert refusal.refused and refusal.details["nearest"]["path"] == "pool.md"
    shown = answer_to_text(refusal)
    assert "nowhere: flavour" in shown and "nearest is pool.md:3, with: pool_size" in shown
    assert "The default of pool_size is 12" in shown


def test_what_a_short_document_is_about_counts_a_little(tmp_path):
    (tmp_path / "docs").mkdir()
    about = "# Depot\n\nWe look after fifty trams.\n\n## Wheels\n\n"
    text = "New tyres have a diameter of 700 mm; they are turned to 628 mm.\n"
    (tmp_path / "docs" / "a.md").write_text(about + text)
    (tmp_path / "docs" / "b.md").write_text("# Bread\n\nFlour, salt and water.\n")
    index(tmp_path / "docs", tmp_path / "i")
    opened = open_index(tmp_path / "i")
    scores = [
        answer_question(opened, f"To what diameter may tyres of {thing} be turned?").details[
            "score"
        ]
        for thing in ("trams", "bread", "trains")
    ]
    assert scores[0] > scores[1] >= scores[2], scores  # here, in another document, nowhere


def test_passages_that_cannot_answer_are_passed_over_without_a_difference(handbook, monkeypatch):
    opened = open_index(handbook.with_name("i"))
    questions = (
        "What is the maximum of pool_size?", "Is the kettle cleaned with sand?", "Who cleans?",
        "flavour of pool_size", "What is the kettle's maximum?",
    )  # fmt: skip
    pruned = [answer_question(opened, question) for question in questions]
    seen = []
    monkeypatch.setattr(
        "groundup.retrieve.answers.answer.highest_score",
        lambda text, wanted: seen.append(text) or 1.0,
    )
    assert [answer_question(opened, question) for question in questions] == pruned and seen


def test_questions_of_one_document_in_many_languages_are_understood(tmp_path):
    (tmp_path / "docs").mkdir()
    texts = {
        "a.txt": "Когда библиотека закрывается, свет гаснет. Библиотека закрывается в семь.",
        "b.txt": "図書館は七時に閉まる。",
        "c.txt": "ห้องสมุดปิดเวลาสองทุ่ม",
        "d.csv": "Name;Raum\nInes;B3\nJonas;B6\n",
        "e.md": "The kettle of the P-17 boils at 90 degrees. The R-17 is cold.",
    }
    for name, text in texts.items():
        (tmp_path / "docs" / name).write_text(text)
    index(tmp_path / "docs", tmp_path / "i")
    opened = open_index(tmp_path / "i")
    for question, path in {
        "Когда закрывается библиотека?": "a.txt",
        "図書館は何時に閉まりますか": "b.txt",
        "ห้องสมุดปิดกี่ทุ่ม": "c.txt",
        "Welchen Raum hat Ines?": "d.csv",
        "At how many degrees does the P-17 boil?": "e.md",
    }.items():
        answer = answer_question(opened, question)
        assert not answer.refused and answer.claims[0].quotes[0].path == path, question
    assert answer_question(opened, "At how many degrees does the S-17 boil?").refused
    assert [term.text for term in opened.parse("Is the P-17 hot?").terms] == ["P-17", "hot"]


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("छात्रावास का दरवाज़ा रात दस बजे बंद होता है।", "दरवाज़ा कब बंद होता है?"),
        ("تفتح المكتبة في التاسعة صباحا.", "متى تفتح المكتبة؟"),
        ("Η βιβλιοθήκη ανοίγει στις εννέα.", "Πότε ανοίγει η βιβλιοθήκη;"),
        ("Бібліотека відкривається о дев'ятій.", "Коли відкривається бібліотека?"),
    ],
)
def test_question_words_and_vowel_signs_are_no_words_of_an_answer(text, question, tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text(text)
    (tmp_path / "docs" / "b.txt").write_text("The kettle boils.\n")
    answer = answer_question(open_index(index(tmp_path / "docs", tmp_path / "i").path), question)
    assert answer.text == text and not answer.details["missing"]


def test_a_possessive_is_of_the_thing_before_however_long_its_question(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/b.md").write_text(
        "| Boat | One hour price | Half day price | Deposit |\n|---|---|---|---|\n"
        "| Kayak | 8 | 22 | 30 |\n| Punt | 18 | 52 | 80 |\n"
    )
    (tmp_path / "docs/k.csv").write_text("key,holder\nworkshop key,Marek\nloft key,Tilda\n")
    talk = Session(open_index(index(tmp_path / "docs", tmp_path / "i").path))
    talk.ask("What is the deposit for a punt?")
    assert "| Punt" in talk.ask("and its half day price?").text
    talk.ask("Who holds the loft key?")
    answer = talk.ask("and the workshop key?")
    assert "Marek" in answer.text and answer.details["note"].endswith("holds the workshop key?")


def test_what_stands_around_an_opened_quote_begins_with_a_whole_word(tmp_path):
    (tmp_path / "docs").mkdir()
    text = "Wonderful weather reports. " * 60 + "The kettle holds two litres. " + "Rest. " * 300
    (tmp_path / "docs/a.txt").write_text(text)
    talk = Session(open_index(index(tmp_path / "docs", tmp_path / "i").path))
    talk.ask("How many litres does the kettle hold?")
    before = talk.show(1).partition("\n\n")[2].partition("»")[0]
    assert 700 < len(before) <= 750 and before.split()[0] in ("Wonderful", "weather", "reports.")


def test_an_unknown_word_about_the_thing_before_is_refused(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/f.csv").write_text("Ferry,Captain\nElvira,Jonas Pratt\nGudrun,Mona Ek\n")
    talk = Session(open_index(index(tmp_path / "docs", tmp_path / "i").path))
    assert "Pratt" in talk.ask("Who is the captain of the Elvira?").text
    assert talk.ask("and its zorble?").refused
    assert "Mona Ek" in talk.ask("and of the Gudrun?").text


@pytest.mark.parametrize(
    ("first", "then", "answer"),
    [
        ("How long is the pier?", "and the tunnel?", "1,300 metres"),
        ("When was the pier built?", "and the boathouse?", "in 1934"),
        ("Who is the chair of the harbour committee?", "What about the treasurer?", "Tom Lind"),
        ("When does the ferry leave in winter?", "and in summer?", "8:05"),
        ("What does the maintenance contract cost?", "and the licence?", "220 euros"),
        ("What was the revenue in 2018?", "and in 2019?", "19,500 euros"),
        ("What is the port of Heron?", "and of Kestrel?", "9090"),
        ("When was the boathouse built?", "and how many berths does it have?", "14 berths"),
        ("What is the fee for an animal head?", "and for a sword?", "12 euros"),
        ("What is the adult single fare?", "and for a child?", "child single fare is 1 pound"),
    ],
)
def test_a_question_that_follows_takes_what_it_leaves_out_from_the_last(
    harbour, first, then, answer
):
    session = Session(open_index(harbour))
    session.ask(first)
    found = session.ask(then)
    assert answer in found.claims[0].text.split("\n")[0]
    assert found.claims[0].text.startswith("The ") and "asked as: " in answer_to_text(found)
    assert session.ask("and its zorble?").refused


def test_a_follow_up_is_not_answered_with_what_the_question_before_asked(harbour):
    session = Session(open_index(harbour))
    assert "£25" in session.ask("What does a share in the guild cost?").text
    assert session.ask("and the winch?").refused


def test_a_name_typed_in_small_letters_takes_the_place_of_a_word(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text(
        "The mast check costs 95 euros. Antifouling: 310 euros."
    )
    index(tmp_path / "docs", tmp_path / "i")
    session = Session(open_index(tmp_path / "i"))
    session.ask("How much is a mast check?")
    found = session.ask("and antifouling?")
    assert "asked as: How much is an antifouling" in answer_to_text(found)


def test_what_follows_on_a_refused_question_is_asked_of_that_one(harbour):
    session = Session(open_index(harbour))
    session.ask("Who is the chair of the harbour committee?")
    assert session.ask("What was the zorble in 2018?").refused
    found = session.ask("and in 2019?")
    assert found.refused and "asked as: What was the zorble in 2019?" in answer_to_text(found)


@pytest.fixture(scope="module")
def harbour(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("harbour")
    pairs = (
        "The winch is electric.", "The pier is 240 metres long.",
        "The tunnel is 1,300 metres long.",
        "The pier was built in 1901.", "The boathouse was built in 1934.",
        "The chair of the harbour committee is Anna Berg.",
        "The treasurer of the harbour committee is Tom Lind.",
        "The ferry leaves in winter at 9:10.", "The ferry leaves in summer at 8:05.",
        "The maintenance contract costs 4,000 euros a year.", "The licence costs 220 euros a year.",
        "The revenue in 2018 was 14,000 euros.", "The revenue in 2019 was 19,500 euros.",
        "The port of Heron is 8080.", "The port of Kestrel is 9090.",
        "The boathouse has 14 berths.", "The fee for an animal head is 30 euros.",
        "The fee for a sword is 12 euros.", "The adult single fare is 3 pounds.",
        "The child single fare is 1 pound.",
        "A child must wear a jacket.", "A share in the guild costs £25.",
    )  # fmt: skip
    (folder / "a.md").write_text("\n\n".join(pairs))
    index(folder, folder.with_name("harbour-index"))
    return folder.with_name("harbour-index")


@pytest.mark.parametrize(
    ("sentence", "support"),
    [
        ("Hinges are greased with graphite powder.", "supported"),
        ("Hinges are never greased with graphite powder.", "nowhere"),
        ("Sprinklers are allowed.", "nowhere"),
        ("The door seal is replaced every two years.", "supported"),
        ("The door seal is replaced every three years.", "nowhere"),
        ("The default of listen.port is 7411.", "supported"),
        ("The default of listen.port is 7412.", "nowhere"),
        ("The outer skin reaches 75 °C. The society has 164 plots.", "quoted"),
        ("At the water the red house Fyrhuset has 8 beds.", "supported"),
        ("The red house Fyrhuset at the water has 6 beds.", "nowhere"),
    ],
)
def test_a_sentence_is_supported_by_one_sentence_a_clause_or_a_row(tmp_path, sentence, support):
    (tmp_path / "a.md").write_text(
        "Hinges are greased with graphite powder, never with oil. Hoses are allowed until nine. "
        "Sprinklers are forbidden. The door seal, a rope, is replaced every two years. The outer "
        "skin reaches 75 °C. The society has 164 plots. The red house Fyrhuset at the water has 8 "
        "beds. The old one has 6 beds.\n\n| Option | Default |\n|---|---|\n"
        "| listen.port | 7411 |\n| admin.port | 7412 |\n"
    )
    assert {each.support for each in check_text(sentence, tmp_path).sentences} == {support}


@pytest.mark.parametrize(
    ("text", "questions"),
    [
        (
            "Das Seil muss zehn Meter lang sein. Die Leiter ist sechs Meter hoch.",
            ("Wie hoch ist die Leiter?", "Wie lang muss das Seil sein?"),
        ),
        (
            "De wieken zijn tien meter lang. De molen is zes meter hoog.",
            ("Hoe hoog is de molen?", "Hoe lang zijn de wieken?"),
        ),
    ],
)
def test_a_verb_that_looks_like_a_pronoun_follows_on_nothing(text, questions, tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text(text)
    index(tmp_path / "docs", tmp_path / "i")
    session = Session(open_index(tmp_path / "i"))
    answers = [session.ask(question) for question in questions]
    assert not any(answer.refused or answer.details.get("note") for answer in answers)


def test_a_follow_up_is_not_answered_by_another_row_below_the_title_of_its_name(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "domes.md").write_text(
        "## Aldous dome\n\nThe Aldous dome is open.\n\n"
        "## Tern dome\n\nThe Tern dome is out of use.\n\n| Dome | Diameter | Motor |\n"
        "|---|---|---|\n| Aldous | 9.2 m | none |\n| Tern | 4.4 m | |\n"
    )
    index(tmp_path / "docs", tmp_path / "i")
    session = Session(open_index(tmp_path / "i"))
    assert "9.2 m" in session.ask("How large is the Aldous dome?").text
    assert "none" in session.ask("and its motor?").text
    assert session.ask("what about the Tern dome?").refused
