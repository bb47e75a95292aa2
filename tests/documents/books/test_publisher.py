"""Publisher's matter: aside with its evidence; the author's text stays."""

import pytest

from groundup.documents import Record, SourceMap, TextSpan, apply_result
from groundup.documents.books.publisher import FrontMatter, FrontMatterConfig


def plain(text: str, *spans: TextSpan) -> Record:
    return Record("1", "s", "p", "text", text, SourceMap.identity(text), spans)


TEXT = "\n\n" + "The author's text says a thing and goes on. " * 200 + "\n\n"
IMPRINT = (
    "Copyright © 1999 by A. Writer\nAll rights reserved.\nISBN 0-306-40615-2\nPrinted in Norway\n"
)
CONTENTS = "CONTENTS\n\n" + "\n".join(
    f"{n} Of things{n} . . . . . . . {n * 9}" for n in range(1, 9)
)
INDEX = "INDEX\n\nA\n\n" + "\n".join(f"apple {n}, {n}, {n + 3}-{n + 5}" for n in range(9))
OFFER = "Also by A. Writer\n\nThe First Book\nThe Second Book\nThe Third Book\n"


def done(text: str) -> Record:
    record = plain(text)
    return apply_result(record, FrontMatter(FrontMatterConfig())(record))


def test_front_and_back_matter_go_aside_and_the_text_stays():
    after = done(IMPRINT + "\n" + CONTENTS + TEXT + TEXT + INDEX + "\n\n" + OFFER)
    assert after.text.strip() == (TEXT + TEXT).strip()
    aside = after.metadata["aside"]
    assert set(aside) == {"publisher", "contents", "index"} and "ISBN" in aside["publisher"][0]


def test_each_removal_says_what_it_saw():
    reasons = [
        edit.reason for edit in FrontMatter(FrontMatterConfig())(plain(IMPRINT + TEXT)).edits
    ]
    assert reasons == ["imprint: ISBN, copyright, printing, rights"]


def test_gutenbergs_frame():
    start = "The Project Gutenberg eBook of X\n\n*** START OF THE PROJECT GUTENBERG EBOOK X ***\n"
    end = "*** END OF THE PROJECT GUTENBERG EBOOK X ***\nLicence and so on.\n"
    assert done(start + TEXT + end).text.strip() == TEXT.strip()


def test_a_copyright_in_the_middle_and_a_word_of_printing_stay():
    text = TEXT * 3 + "A first edition, printed in 1901, was copyright 1902 by law.\n" + TEXT * 3
    assert done(text).text == text


def test_a_table_of_numbers_is_no_table_of_contents():
    text = TEXT + "\n".join(f"row {n}   {n * 7}" for n in range(12)) + TEXT
    assert done(text).text == text


def test_contents_end_before_the_first_chapters_heading():
    listed = "Contents\n\n" + "\n".join(f"The Storm {n} ..... {n * 10 + 1}" for n in range(8))
    after = done(f"{listed}\nThe End ..... 80\n\nChapter 1\n\nIt was 1984.\n\n{TEXT}")
    assert after.text.strip().startswith("Chapter 1\n\nIt was 1984.")
    assert "The End ..... 80" in after.metadata["aside"]["contents"][0]


def test_contents_with_headings_of_chapters_among_them_go_as_a_whole():
    listed = "\n".join(f"Chapter {n}\nOf things ... {n * 9}" for n in range(1, 9))
    assert done(f"Contents\n\n{listed}\n\n{TEXT}").text.strip() == TEXT.strip()


def test_an_authors_sentence_about_printing_is_no_imprint():
    said = (
        "I first published this in 1990 in London, and the British Library kindly printed\n"
        "a notice of the second edition.\n\n"
    )
    assert done(said + TEXT).text == said + TEXT
    both = done(IMPRINT + "\n" + said + TEXT)
    assert both.text.strip() == (said + TEXT).strip()


@pytest.mark.parametrize(
    "said",
    [
        '"All rights reserved," said the judge, "means nothing here."',
        "Printed in large letters on the wall were the words: NO ENTRY.",
        "He wrote the ISBN 0-14-044913-2 on the card.",
        "The ISBN 0-14-044913-2 was on the card.",
        "First published in the Times, the letter caused a scandal in the town.",
        "By the same author she had read three novels before, and liked none.",
    ],
)
def test_a_story_that_speaks_of_printing_stays(said):
    all_others = "“Copyright 1902,” he read aloud.\n\nThe British Library was closed.\n\n"
    assert done(f"{said}\n\n{all_others}{said}\n\n{TEXT}").text.count(said) == 2


@pytest.mark.parametrize(
    "imprint",
    [
        "LONDON\nCHAPMAN AND HALL\n1893",
        "NEW YORK\nHARPER & BROTHERS\nMDCCCXCIII",
        "London: Chapman and Hall, 1893.",
        "First published 1993\nISBN 0-14-044913-2",
        "Printed in Great Britain by Clay Ltd.\n© 1993 Anna Lee",
        "CONTENTS\n\nI. The Start ........ 1\nII. The Middle ...... 23\nIII. The End ........ 45",
        "By the same author\n\nTHE GOLDEN KEY. 6s.\nTHE SILVER LOCK. 3s. 6d.",
    ],
)
def test_short_forms_of_imprints_contents_and_offers_go(imprint):
    after = done(f"THE HARBOUR\n\nby Anna Lee\n\n{imprint}\n{TEXT}")
    assert after.text.strip() == f"THE HARBOUR\n\nby Anna Lee\n\n\n{TEXT}".strip()


def test_the_head_of_a_letter_is_no_imprint():
    text = f"LETTER I\n\nLONDON\nMay 3\n1893\n\nDear Anna, and so on.\n{TEXT}"
    assert done(text).text == text
