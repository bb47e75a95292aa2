"""Ends of mails: signatures and footers go by their form; what the author wrote stays."""

import pytest

from groundup.documents.conversations.mail_ends import mark_footers, mark_signatures

from .test_mail import read


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
