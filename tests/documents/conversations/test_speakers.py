"""Speakers: names become stable pseudonyms in label, span and address."""

from groundup.documents import Record, SourceMap, follow
from groundup.documents.conversations.speakers import Speakers, SpeakersConfig
from groundup.documents.readers.conversations import Conversations, ConversationsConfig

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


def test_names_in_scripts_without_spaces():
    record = chat(
        ("李明", "Zed77说好"), ("王红", "李明说过，王红梅也来。"), ("Zed77", "@李明 昨天"),
        ("明", "明天见"), ("田中さん", "明、田中さんは?"), ("민수", "민수가 왔다"),
    )  # fmt: skip
    after = follow(record, Speakers(SpeakersConfig())(record))
    assert after.text.split("\n")[:-1] == [
        "user_1: user_3说好", "user_2: user_1说过，user_2梅也来。", "user_3: @user_1 昨天",
        "user_4: 明天见", "user_5: user_4、user_5は?", "user_6: user_6가 왔다",
    ]  # fmt: skip


def test_many_names_cost_little_and_none_is_left():
    names = [chr(0x4E00 + n) + chr(0x5E00 + n % 50) for n in range(2_000)]
    record = chat(*[(name, f"我是{name}吗") for name in names])
    after = follow(record, Speakers(SpeakersConfig())(record))
    assert not any(name in after.text for name in names)


def test_a_name_inside_of_a_longer_word_stays():
    record = chat(("Ann Lee", "Joann Leeds and Ann Leeds"), ("Bo", "yes"))
    after = follow(record, Speakers(SpeakersConfig())(record))
    assert after.text.startswith("user_1: Joann Leeds and ")


def test_labels_that_readers_write_before_the_span_change_whatever_the_name():
    lines = (
        "[10:00] <dr.who> hi\n[10:01] <jo!n=jo@host.example> dr.who: hello\n[10:02] <Aiste> so\n"
    )
    record = Conversations(ConversationsConfig()).log(lines.encode(), "a.log", "s")
    for mentions, answer in ((True, "user_1: hello"), (False, "dr.who: hello")):
        after = follow(record, Speakers(SpeakersConfig(mentions=mentions))(record))
        assert after.text.split("\n\n") == ["user_1: hi", f"user_2: {answer}", "user_3: so"]
