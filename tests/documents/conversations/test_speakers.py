"""Speakers: names become stable pseudonyms in label, span and address."""

from groundup.documents import Record, SourceMap, follow
from groundup.documents.conversations.speakers import Speakers, SpeakersConfig

from .test_turns import chat


def test_names_change_everywhere_and_roles_stay():
    record = chat(("Zed77", "hi"), ("will", "Zed77: I will go, @will says"), ("user", "ok Zed77"))
    after = follow(record, Speakers(SpeakersConfig())(record))
    assert after.text == "user_1: hi\nuser_2: user_1: I will go, @user_2 says\nuser: ok user_1\n"
    assert [span.value for span in after.spans] == ["user_1", "user_2", "user"]
    assert after.metadata == {"speakers": 2}
    for piece in after.map.segments:
        if piece.exact:
            said = record.text.encode()[piece.byte_start : piece.byte_end].decode()
            assert said == after.text[piece.start : piece.end]


def test_full_names_and_unmentioned():
    record = chat(("Ann Lee", "I am Ann Lee"), ("Bo Ng", "Hi Ann"))
    after = follow(record, Speakers(SpeakersConfig())(record))
    assert after.text.startswith("user_1: I am user_1\nuser_2: Hi ")
    kept = follow(record, Speakers(SpeakersConfig(mentions=False))(record))
    assert kept.text == "user_1: I am Ann Lee\nuser_2: Hi Ann\n"


def test_records_without_speakers_pass():
    record = Record("1", "s", "p", "text", "Ann", SourceMap.identity("Ann"))
    assert follow(record, Speakers(SpeakersConfig())(record)) is record
