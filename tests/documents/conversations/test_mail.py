"""Mails: quotes, signatures and footers go, what the author wrote stays."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.documents import Record, SourceMap, apply_result
from groundup.documents.conversations import mail
from groundup.documents.conversations.mail import (
    MailStep,
    MailStepConfig,
    mark_footers,
    mark_signatures,
)
from tests.checking import unchecked

PATTERNS = vars(mail) | {name: getattr(mail.RE, name) for name in mail.RE.written}
MAIL = """Hi,

On Mon, 5 Aug 2002, Ann Lee wrote:
> Does it work?
>
> > It did.

Yes, since 3 > 2 it works.

Cheers,
Bo
-- 
Bo Ng, Tea Ltd.
http://tea.example

_______________________________________________
Tea mailing list
Tea@lists.example
http://lists.example/mailman/listinfo/tea
"""


def read(text: str, **settings):
    record = Record("1", "s", "m", "mail", text, SourceMap.identity(text))
    ruling = MailStep(MailStepConfig(**settings))(record)
    return ruling, None if ruling.reason else apply_result(record, ruling)


def test_only_what_was_written_stays():
    ruling, after = read(MAIL)
    assert after.text == "Hi,\n\n\nYes, since 3 > 2 it works.\n\nCheers,\nBo\n"
    assert after.metadata["aside"] == {
        "attributions": ["On Mon, 5 Aug 2002, Ann Lee wrote:"],
        "quotes": ["> Does it work?\n>\n> > It did."],
    }
    assert [e.reason for e in ruling.edits] == ["attribution", "quoted text", "signature", "footer"]


def test_what_is_kept_is_up_to_the_configuration():
    _, after = read(MAIL, quotes="keep", signatures="keep")
    assert "> Does it work?" in after.text and "Tea Ltd." in after.text
    assert "mailing list" not in after.text


@pytest.mark.parametrize(
    "line",
    [
        "Ann Lee wrote:", "Am 5.8.2002 schrieb Ann:", "Le 5/8/2002, Ann a écrit :", "[Ann Lee]",
        "ann@x.org said:", "At 5:47 PM -0700 on 7/23/02, Ann wrote:", "Quoting Ann <a@x.org>:",
        "Once upon a time, Ann wrote :", "在 2025年3月3日，Ann 写道：",
    ],
)  # fmt: skip
def test_attributions_in_several_forms(line):
    assert read(f"{line}\n> old\nnew\n")[1].text == "new\n"


@pytest.mark.parametrize(
    "text",
    [
        "Prices rose:\n\n| a | b |\n| c | d |\n| e | f |\n",
        "if x > 3:\n    y = 2\n",
        "He wrote: no.\nThen left.\n",
        "$ ls -- x\n--\nfirst\n" + "line\n" * 20,
        "We like our mailing list.\n\nIt is big.\n",
    ],
)
def test_texts_that_only_look_like_mail_stay(text):
    ruling, after = read(text)
    assert after.text == text, ruling.edits


@pytest.mark.parametrize("line", ["Run this:", "I do. For example:", "Example:", "The docs say:"])
def test_what_its_author_announces_stays(line):
    assert read(f"{line}\n> ls -l\n\nThat is all.\n")[1].text.startswith(line)


def test_marks_other_than_the_usual_count_below_an_attribution():
    assert (
        read("On 26/07/02 08:41 +0200, Ann wrote:\n) old one\n) two\n\nnew\n")[1].text == "\nnew\n"
    )
    assert read("On Mon, 26 Aug 2002, Ann wrote:\n--]old\n\nnew\n")[1].text == "\nnew\n"


def test_pgp_and_forwarded_and_disclaimers():
    pgp = (
        "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA1\n\nnew\n"
        "-----BEGIN PGP SIGNATURE-----\nx\n-----END PGP SIGNATURE-----\n"
    )
    assert read(pgp)[1].text == "new\n"
    assert read("-----BEGIN PGP SIGNATURE-----\nnever ends\n")[1].text.endswith("never ends\n")
    forwarded = "See below.\n\n-----Original Message-----\nFrom: Ann\nSubject: Tea\n\nold text\n"
    assert read(forwarded)[1].text == "See below.\n\n"
    disclaimer = (
        "new\n\nThis e-mail is confidential and intended for the addressee.\n"
        "Disclosure is prohibited.\n"
    )
    assert read(disclaimer)[1].text == "new\n\n"


def test_a_mail_without_a_word_of_its_own_is_dropped():
    assert read("Ann wrote:\n> old\n-- \nBo\n")[0].reason == "mail: nothing new written"
    assert read("> old\n", drop_empty=False)[1].text == ""


@pytest.mark.parametrize(
    "piece", ["a", ">", "> a\n", "On Mon ", "-- \n", "-", "_", "@", "\n", "wrote: ", "[", "|\n"]
)
@unchecked()  # a call that is checked costs twenty times as much
def test_hostile_input_takes_linear_time(piece):
    ruling, after = read(piece * (100_000 // len(piece)))
    assert ruling.reason or after is not None


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.sampled_from("> q,,Ann wrote:,-- ,text,____________,Tea mailing list,\0,| x".split(",")),
        max_size=14,
    )
)
def test_lines_stay_or_go_whole(lines):
    text = "\n".join(lines)
    ruling, after = read(text)
    if after is not None:
        assert all(line in lines for line in after.text.split("\n") if line)
        assert sum(e.end - e.start for e in ruling.edits) + len(after.text) == len(text)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Sound.\n\n-----------\nI come at seven.\n\nKate\n", "Sound.\n\n"),  # quoted without marks
        ("  Date: Wed\n  From: Bo\n\n  | old\n\nnew\n", "\n\nnew\n"),  # headers attribute
        ("> old\n[...]\n> older\nnew\n", "new\n"),
        ("new\n- --\nAnn / tea\n", "new\n"),  # PGP's dash before a dash
        ("new\n\nCheers,\nAnn Lee\nann@tea.example\n", "new\n\nCheers,\n"),
        ("new\n\n---\nAnn, Leeds\nTel 0113 496 0000\n", "new\n\n"),
    ],
)
def test_a_reply_without_the_usual_marks(text, kept):
    record = Record(
        "1", "s", "p", "mail", text, SourceMap.identity(text), metadata={"subject": "Re: x"}
    )
    assert apply_result(record, MailStep(MailStepConfig())(record)).text == kept


@pytest.mark.parametrize(
    "text",
    [
        "Two things:\n\n----------\nOne.\n",  # no reply: a rule divides
        "Ann Lee says so on her page\nsee https://tea.example for all of it\n",
        "From: and To: are headers.\n\nSee ... what I mean?\n",
    ],
)
def test_what_only_looks_quoted_or_signed_stays(text):
    assert read(text)[1].text == text


@pytest.mark.parametrize(
    "head",
    [
        "Von: Ann Lee <a@x.de>\nGesendet: Montag, 5. August 2002\nAn: Bo\nBetreff: Tee\n",
        "________________________________\nDe : Ann\nEnvoyé : lundi\nÀ : Bo\nObjet : Thé\n",
        "From: Ann\nSent: Monday\nTo: Bo\nSubject: Tea\n",
        "*Da:* Ann\n*Inviato:* lunedì\n*A:* Bo\n*Oggetto:* Tè\n",
        "**De:** Ann\n**Enviado el:** lunes\n**Para:** Bo\n**Asunto:** Té\n",
        "发件人：李明\n发送时间：2020年1月5日\n收件人：王红\n主题：茶\n",
        "差出人: 田中\n送信日時: 2020年\n宛先: 佐藤\n件名: お茶\n",
    ],
)
def test_an_original_below_headers_of_any_language_is_quoted_to_its_end(head):
    _, after = read(f"New here.\n\n{head}\nold one\n\nold two\n")
    assert after.text.rstrip("\n_") == "New here."
    assert "old two" in after.metadata["aside"]["quotes"][0]


@pytest.mark.parametrize(
    "text",
    [
        "Fields:\n\nFrom: the sender.\nTo: the receiver.\n\nThat is all.\n",  # no date
        "Von: hier\nnach: dort\n\nDas ist der Weg.\n",
        "De: x\n\nPara: y\n\nFecha: z\n",
    ],
)
def test_a_few_words_with_colons_are_no_original(text):
    assert read(text)[1].text == text


@pytest.mark.parametrize(
    "session",
    [
        ">>> import os\n>>> os.getcwd()\n'/'\n",
        ">>> x = 1\n>>> x\n1\n",
        ">>> for a in b:\n...     print(a)\n",
        "    >>> print('tea')\n    tea\n",
        ">>> d['a'] += 2\n>>> 2 + 2\n4\n",
    ],
)
def test_a_session_with_python_is_no_quote(session):
    text = f"Then I typed:\n\n{session}\nWhat is wrong?\n"
    assert read(text)[1].text == text


@pytest.mark.parametrize(
    "quoted",
    [
        ">>> I import tea from China (see below).\n",
        ">>> import duties are high\n",
        ">>> import os\n>> Is that right?\n> Yes.\n",
        "> >>> import os\n",
        ">>> [snip]\n>>> (see below)\n",
    ],
)
def test_quotes_three_deep_stay_quotes(quoted):
    assert read(f"{quoted}new\n")[1].text == "new\n"


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("quote_prefix", "SM> old"), ("ellipsis", "<snip>"), ("ellipsis", "[...]"),
        ("delimiter", "- --"), ("short_rule", "___"), ("signature_name", "Ann Lee, Tea Ltd."),
        ("phone", "+44 113 496 0000"), ("footer", "Tea mailing list"),
        ("reply_prefix", "AW: [tea] cups"),
    ],
)  # fmt: skip
def test_lines_that_match(name, line):
    assert PATTERNS[name].search(line)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("quote_prefix", "x > 3"), ("ellipsis", "snipping is fun"), ("delimiter", "-- x"),
        ("signature_name", "Thanks Ann"), ("signature_name", "Ann said so"),
        ("phone", "in 2002 and 2003"), ("reply_prefix", "Reports: none"),
    ],
)  # fmt: skip
def test_lines_that_do_not(name, line):
    assert not PATTERNS[name].match(line)


SEARCHED = ("confidential", "footer", "phone", "contact", "lowercase_sentence")
"""The others are only asked about a line's beginning."""


@pytest.mark.parametrize("piece", ["a", "A ", "1 ", "-", ">", "@", "a.", "wrote "])
def test_no_pattern_is_slow_on_the_longest_line(piece):
    line = (piece * 400)[:400]
    for name, pattern in PATTERNS.items():
        if isinstance(pattern, re.Pattern):
            ask = pattern.search if name in SEARCHED else pattern.match
            for _ in range(100):
                ask(line)


@pytest.mark.parametrize(
    "text",
    [
        "I have a question about Yahoo! Mail.\n\nWhy does Hotmail reject our mail?\n",
        "How do I unsubscribe from the mailing list? I tried majordomo@x.org.\n",
        "Hi,\n\nHow do I unsubscribe from the mailing list? I tried majordomo@x.org.\n",
        "Hi,\n\nThe mailing list is down again.\n",
        "Hi,\n\nThat was on the postfix mailing list: answer mail with an error first.\n",
        "Hi,\n\nPS: I've noticed that the reply-to is not your mailing-list.\n",
        "Hi,\n\nOther people say that you can't be paid. MSN is sponsored by Microsoft.\n",
        "Hi,\n\nIs this e-mail confidential if sent in error to an addressee? Or prohibited?\n",
        "Hi,\n\nI think confidential mail sent in error to an addressee is privileged.\n",
        "Hi,\n\nConfidentiality is what our lawyers want: privileged, unauthorised, unlawful.\n",
        "Two parts:\n\n----------\nWho runs the mailing list?\n",
    ],
)
def test_what_an_author_asks_or_tells_is_no_footer(text):
    assert read(text)[1].text == text


def test_an_answer_in_the_form_of_a_footer_is_not_all_of_a_mail():
    text = "> How?\n\nTo unsubscribe, send a mail to majordomo@x.org.\n"
    assert "majordomo" in read(text)[1].text


@pytest.mark.parametrize(
    "footer",
    [
        "__________________\nDo You Yahoo!?\nHotJobs - Search new jobs\nhttp://jobs.example\n",
        "------- You are receiving this mail because: -------\nYou are on the CC list.\n",
        "To unsubscribe from this group, send an email to:\ntea-unsubscribe@lists.example\n",
        "Sent from my iPhone\n",
        "Copyright 2002 The Tea Company. All rights reserved.\n",
        "http://lists.example/mailman/listinfo/tea\n",
        "==========\n\nYou received this message because you subscribed.\n\nYour subscription\n",
        "Confidentiality notice: this e-mail is privileged and intended only for the addressee.\n",
        "If you have received this message in error, disclosure is prohibited and unlawful.\n",
    ],
)
def test_footers_go(footer):
    assert read(f"What I wrote.\n\n{footer}")[1].text.strip() == "What I wrote."


@pytest.mark.parametrize(
    "text",
    [
        "First paragraph here.\n--\nThe second paragraph is here.\n",
        "One.\n\n--\n\nThe second paragraph is about https://tea.example and more.\n",
        "One.\n\n—\n\nWhy is tea hot?\n",
        "One.\n\n---\nsee https://tea.example for all of it\n",
        "One.\n-- \n" + "The second paragraph is one long line that goes on. " * 4 + "\n",
        "Two:\n\n- one at https://tea.example\n- two\n",
    ],
)
def test_prose_below_a_delimiter_is_no_signature(text):
    assert read(text)[1].text == text


@pytest.mark.parametrize(
    "signature",
    [
        "-- \nBo Ng, Tea Ltd.\n",
        "--\nBo Ng, Tea Ltd.\nbo@tea.example\n",
        "-- \nThe early bird has all of the tea.\n",
        "--\n\tIt may look like I'm asleep, but I am not.\n",
        '--\n"Tea is what you make of it." - Ann\n',
    ],
)
def test_signatures_go(signature):
    assert read(f"What I wrote.\n{signature}")[1].text == "What I wrote.\n"
    signed = f"What I wrote.\n\nBo\n{signature}"
    assert read(signed)[1].text == "What I wrote.\n\nBo\n"


def test_lines_are_marked_in_place():
    lines, kinds = ["new", "-- ", "Bo", "", "____________", "Tea mailing list"], [""] * 6
    mark_signatures(lines, kinds, 15)
    mark_footers(lines, kinds, 14)
    assert kinds == ["", "s", "s", "s", "f", "f"]
