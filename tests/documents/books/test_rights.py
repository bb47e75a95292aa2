# ruff: noqa: E501
"""Rights: what a statement means for a work, with its place; unknown is excluded."""

import re

import pytest

from groundup.documents import Record, SourceMap
from groundup.documents.licences.rights import Rights, RightsConfig
from groundup.documents.licences.statements import ELEMENTS, LICENCES, TEXTS

ALLOWED = (
    ("The Creative Commons Attribution License applies to this book.", "CC-BY"),
    ("This book is released under Creative Commons Zero.", "CC0-1.0"),
    ("Lizenz: CC BY-SA 4.0", "CC-BY-SA-4.0"),
    ("SPDX-License-Identifier: MIT", "MIT"),
    ("License: Apache-2.0", "Apache-2.0"),
    ("Licensed under CC BY-SA 4.0.", "CC-BY-SA-4.0"),
    ("This book is licensed under a Creative Commons Attribution-ShareAlike 3.0 License.", "CC-BY-SA-3.0"),
    ("This work is licensed under the Creative Commons\nAttribution 4.0 International License. To view a "
     "copy of this license, visit\nhttp://creativecommons.org/licenses/by/4.0/ or send a letter.", "CC-BY-4.0"),
    ("https://creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0"),
    ("https://creativecommons.org/licenses/by-sa/4.0/", "CC-BY-SA-4.0"),
    ("© 2019 Jane Doe. CC BY 4.0", "CC-BY-4.0"),
    ("© 2019 Jane Doe\nCC BY-\nSA 4.0", "CC-BY-SA-4.0"),
    ("Except where otherwise noted, this book is released under CC\u2011BY\u20114.0.", "CC-BY-4.0"),
    ("This work is in the public domain.", "LicenseRef-public-domain"),
    ("The author has dedicated this text; it is dedicated to the public domain.", "LicenseRef-public-domain"),
    ("This eBook is for the use of anyone anywhere at no cost and with almost no restrictions "
     "whatsoever. You may copy it, give it away or re-use it under the terms of the Project "
     "Gutenberg License included with this eBook.", "LicenseRef-Gutenberg"),
    ("Permission is granted to make and distribute verbatim copies of this manual provided the "
     "notice is kept. Permission is granted to copy and distribute modified versions of this "
     "manual.", "Latex2e"),
    ("Copyright (c) 1992 The Regents. All rights reserved.\n\nRedistribution and use in source and "
     "binary forms, with or without modification, are permitted.", "BSD-3-Clause"),
    ("Copyright 1996-2024 The PostgreSQL Global Development Group\n\nPermission to use, copy, modify, "
     "and distribute this software and its documentation for any purpose, without fee, and without "
     "a written agreement is hereby granted.", "PostgreSQL"),
    ("Copyright 2020 A. B.\n\nPermission is hereby granted, free of charge, to any person.", "MIT"),
    ("The manual is distributed under the terms of the MIT License.", "MIT"),
    ("This manual for the GNU Foo package is licensed under CC BY 4.0.", "CC-BY-4.0"),
    ("This book and its code samples are licensed under the MIT License.", "MIT"),
    ("This book is licensed under CC BY 4.0; its code samples under the MIT License.", "CC-BY-4.0"),
    ("This manual is available under either the GNU Free Documentation License or CC BY-SA 3.0.",
     "CC-BY-SA-3.0"),
    ("Dieses Werk ist lizenziert unter einer Creative Commons Namensnennung 4.0 International Lizenz.",
     "CC-BY-4.0"),
    ("Dieses Buch steht unter der Lizenz Creative Commons Namensnennung – Weitergabe unter gleichen "
     "Bedingungen 4.0 International.", "CC-BY-SA-4.0"),
    ("Ce livre est mis à disposition selon les termes de la Licence Creative Commons Attribution 4.0 "
     "International.", "CC-BY-4.0"),
    ("Cette œuvre est publiée sous licence Creative Commons Attribution - Partage dans les Mêmes "
     "Conditions 4.0 International.", "CC-BY-SA-4.0"),
    ("Esta obra está bajo una Licencia Creative Commons Atribución-CompartirIgual 4.0 Internacional.",
     "CC-BY-SA-4.0"),
    ("Quest'opera è distribuita con Licenza Creative Commons Attribuzione 4.0 Internazionale.", "CC-BY-4.0"),
    ("Este livro está sob uma Licença Creative Commons Atribuição 4.0 Internacional.", "CC-BY-4.0"),
    ("Dit werk valt onder een Creative Commons Naamsvermelding 4.0 Internationaal-licentie.", "CC-BY-4.0"),
    ("Dieses Buch ist gemeinfrei.", "LicenseRef-public-domain"),
    ("Ce livre est dans le domaine public.", "LicenseRef-public-domain"),
    ("This book is free. It is licensed under CC BY 4.0.", "CC-BY-4.0"),
    ("All rights reserved, except as granted to you: this book is licensed under CC BY 4.0", "CC-BY-4.0"),
    ("This work is licensed under a Creative Commons licence (CC BY 4.0).", "CC-BY-4.0"),
)  # fmt: skip
REFUSED = (
    ("The electronic version is licensed under CC BY 4.0. All rights reserved for the print.", "reserved"),
    ("This book is licensed under a Creative Commons Attribution-Noncommercial-No Derivative Works "
     "3.0 License.", "CC-BY-NC-ND-3.0"),
    ("This book is licensed under a Creative Commons \"Attribution-NonCommercial\" license.", "CC-NC"),
    ("This work is licensed under CC BY–NC–SA 4.0", "CC-BY-NC-SA-4.0"),
    ("This work is licensed under the Creative Commons Attribution-\nNonCommercial-ShareAlike 4.0 "
     "International License.", "CC-BY-NC-SA-4.0"),
    ("This work is licensed under the Creative Commons Attribution\nNonCommercial 4.0 License.", "CC-BY-NC-4.0"),
    ("Licensed under Creative Commons Attribution, Non-Commercial 3.0.", "CC-BY-NC-3.0"),
    ("Licensed under Creative Commons Attribution–NonCommercial 4.0.", "CC-BY-NC-4.0"),
    ("Licensed under Creative Commons Attribution\u2011NonCommercial\u2011NoDerivs 3.0.", "CC-BY-NC-ND-3.0"),
    ("Licensed under CC BY-\nNC 4.0.", "CC-BY-NC-4.0"),
    ("Licensed under cc-by-\nnc 4.0.", "CC-BY-NC-4.0"),
    ("Licensed under CC BY NC SA 2.5", "CC-BY-NC-SA-2.5"),
    ("Licensed CC BY-NC-ND 4.0", "CC-BY-NC-ND-4.0"),
    ("This book is licensed under a Creative Commons Attri-\nbution-Non-\ncommercial 4.0 license.", "CC-BY-NC-4.0"),
    ("See https://creativecommons.org/licenses/by-nc/4.0/", "CC-BY-NC-4.0"),
    ("https://creativecommons.org/licenses/by-\nnc-nd/4.0/", "CC-BY-NC-ND-4.0"),
    ("This book is licensed under Creative Commons Attribution 4.0 for noncommercial use.", "CC-BY-NC-4.0"),
    ("Cette œuvre est mise à disposition selon les termes de la Licence Creative Commons Attribution - "
     "Pas d’Utilisation Commerciale 4.0 International.", "CC-BY-NC-4.0"),
    ("Dieses Werk steht unter der Creative Commons Namensnennung–Nicht kommerziell 4.0.", "CC-BY-NC-4.0"),
    ("Dieses Werk steht unter Creative Commons Namensnennung-Keine Bearbeitungen 4.0.", "CC-BY-ND-4.0"),
    ("Esta obra está bajo una Licencia Creative Commons Atribución-NoComercial 4.0.", "CC-BY-NC-4.0"),
    ("Esta obra está bajo una Licencia Creative Commons Atribución-SinDerivadas 4.0.", "CC-BY-ND-4.0"),
    ("Quest'opera è distribuita con Licenza Creative Commons Attribuzione - Non commerciale 4.0.", "CC-BY-NC-4.0"),
    ("Este livro está sob uma Licença Creative Commons Atribuição-NãoComercial 4.0.", "CC-BY-NC-4.0"),
    ("Dit werk valt onder een Creative Commons Naamsvermelding-NietCommercieel 4.0.", "CC-BY-NC-4.0"),
    ("This manual is licensed under the GNU Free Documentation License, Version 1.3", "GFDL-1.3"),
    ("You can copy this manual under the terms of the GNU General Public\nLicense, version 3", "GPL-3.0"),
    ("This document is released under the GNU Lesser General Public License.", "LGPL"),
    ("© 2019 Jane Doe. All rights reserved.", "reserved"),
    ("Alle Rechte, auch die der Übersetzung, vorbehalten.", "reserved"),
    ("© 2019 Jane Doe. All rights reserved.\n\nThe code samples are licensed under the MIT License.", "reserved"),
    ("© 2019 Jane Doe. All rights reserved.\n\nChapter 1 explains the Apache License.", "reserved"),
    ("© 2019 Jane Doe. All rights reserved.\nThe cover picture is in the public domain.", "reserved"),
    ("© 2019 Jane Doe. All rights reserved. Licensed under the MIT License.", "reserved"),
    ("Copyright 2020 A. B.\n\nRedistribution and use in source and binary forms, with or without modification, are "
     "permitted.\n\nAll rights reserved.", "reserved"),
    ("No part of this book may be reproduced. The code is available under the MIT License.", "reserved"),
    ("This manual is licensed under the GNU GPL version 3. Portions: MIT License", "GPL"),
    ("This book is licensed under CC BY 4.0. The pictures are licensed under CC BY-NC 4.0.", "mixed"),
    ("This book is licensed under CC BY 4.0. Cover photo: CC BY-NC-ND 2.0", "mixed"),
    ("This book is licensed under CC BY 4.0 and the code under GNU General Public License.", "mixed"),
    ("This book is licensed under the MIT License. This work is licensed under CC BY-NC 4.0.", "mixed"),
    ("This book is licensed under CC BY 4.0. It may be copied for personal use only.", "mixed"),
    ("Permission is granted to make and distribute verbatim copies of this manual.", "LicenseRef-verbatim"),
    ("This is a COPYRIGHTED Project Gutenberg eBook, details below.", "reserved"),
    ("This work is licensed under a Creative Commons license.", "LicenseRef-CC"),
)  # fmt: skip
UNKNOWN = (
    "This book contains material from Wikipedia licensed under CC BY-SA 3.0.",
    "This book is typeset in Foo, licensed under the Apache License.",
    "The original work is licensed under CC BY 4.0.",
    "An earlier edition of this book is available under CC BY 4.0.",
    "Based on a work at example.org, licensed under CC BY 4.0.",
    "Copyright © 2005 J. Doe. Cover © 2005 A. Artist, licensed under CC BY 2.0",
    "Appendix: MIT License", "Ce livre n'est pas sous licence CC BY 4.0.", "", "Once upon a time.",
    "© 2019 Jane Doe", "The code samples are licensed under the MIT License.",
    "Chapter 1 explains the Apache License.", "The cover picture is in the public domain.",
    "GNU GPL version 3. Portions: MIT License", "This book is not licensed under the MIT License.",
    "This book is no longer licensed under CC BY 4.0.",
    "The MIT License does not apply to this book.", "React is released under the MIT License.",
    "This book explains how software is distributed under the MIT License.",
    "The software described in this book is licensed under the Apache License, Version 2.0.",
    "If this book were licensed under CC BY 4.0, you could copy it.",
    "Beowulf is in the public domain.", "Fonts: SIL. Icons by A. B., CC BY 4.0",
    "Die Abbildungen in diesem Buch stehen unter der Lizenz CC BY 4.0.",
    "Les exemples de ce livre sont publiés sous licence Creative Commons Attribution 4.0.",
    "Permission is hereby granted, free of charge, to any person obtaining a copy.",
    "A public domain book is one that was never subject to copyright.",
    "In 2002 Creative Commons published its first licences.",
    "He compared the MIT License with the GNU General Public License.",
)  # fmt: skip


def plain(text: str, **metadata) -> Record:
    return Record("1", "s", "p", "text", text, SourceMap.identity(text), (), metadata)


def test_a_licence_that_a_person_allows_passes():
    text = "This manual is licensed under the GNU Free Documentation License, Version 1.3.\n"
    assert Rights(RightsConfig())(plain(text)).reason
    assert not Rights(RightsConfig(allow=("GFDL-*",)))(plain(text)).reason


def test_metadata_do_not_overrule_what_the_work_says():
    text = "© 2020 A. B. All rights reserved.\n"
    assert Rights(RightsConfig())(plain(text, licence="MIT")).reason == "rights: reserved"


def test_a_slice_full_of_names_takes_linear_time():
    for piece in ("©", "Creative Commons - ", "all ", "this book under ", "- \n"):
        text = piece * (200_000 // len(piece))
        assert Rights(RightsConfig())(plain(text)).metadata["rights_evidence"] is not None


def test_years_publishers_and_the_readers_word():
    text = "Copyright (c) 1999, 2001-2004 A. B.\nPublished by Some Press\n"
    ruling = Rights(RightsConfig())(plain(text))
    assert ruling.metadata["copyright_years"] == [1999, 2001, 2004]
    assert ruling.metadata["publishers"] == ["Some Press"]
    assert not Rights(RightsConfig())(plain(text, licence="MIT")).reason


def test_old_books_pass_only_if_a_person_says_how_old():
    old = plain("Copyright 1899 by A. Author\n")
    assert Rights(RightsConfig())(old).reason
    assert not Rights(RightsConfig(public_domain_before=1930))(old).reason


def test_a_statement_in_the_middle_of_a_long_book_is_not_its_own():
    text = "word " * 10_000 + "SPDX-License-Identifier: MIT" + " word" * 10_000
    assert Rights(RightsConfig())(plain(text)).reason == "rights: unknown"


@pytest.mark.parametrize(
    ("rights", "reason"),
    [
        ("CC0", ""),
        ("Public domain in the USA.", ""),
        ("https://creativecommons.org/licenses/by-sa/4.0/", ""),
        (["Copyright 2020 A. B.", "CC BY 4.0"], ""),
        ("All rights reserved.", "rights: reserved"),
        ("CC BY-NC-ND 4.0", "rights: licence not on the allow list"),
        ("Not in the public domain", "rights: unknown"),
        ("Copyright 2011 by A. B.", "rights: unknown"),
    ],
)
def test_the_rights_in_a_books_metadata_count(rights, reason):
    ruling = Rights(RightsConfig())(plain("Once upon a time.\n", rights=rights))
    assert ruling.reason == reason
    assert bool(ruling.metadata["licences"]) == (reason != "rights: unknown")


def test_years_of_the_metadata_count_and_every_licence_of_a_list():
    text, step = "Copyright 1899 by A. Author\n", Rights(RightsConfig(public_domain_before=1930))
    assert not step(plain(text)).reason
    assert step(plain(text, rights="Copyright 1999 B. Editor")).reason == "rights: unknown"
    assert step(plain(text, licence=["MIT", "CC-BY-NC-4.0"])).reason == "rights: mixed"


def test_the_older_word_for_unknown_is_read():
    assert RightsConfig(unknown="exclude") == RightsConfig(unknown="drop") == RightsConfig()


def judged(text: str):
    book = f"A Book\n\n{text}\n\nIt was a dark night.\n"
    return book, Rights(RightsConfig())(plain(book))


@pytest.mark.parametrize(("text", "licence"), ALLOWED)
def test_a_grant_to_the_work_passes(text, licence):
    book, ruling = judged(text)
    assert not ruling.reason and licence in ruling.metadata["licences"]
    _, quote, start, end, role = ruling.metadata["rights_evidence"][0]
    assert quote == " ".join(book[start:end].split())[:400] and role == "granted"


@pytest.mark.parametrize(("text", "licence"), REFUSED)
def test_what_reserves_or_restricts_is_refused(text, licence):
    _, ruling = judged(text)
    if licence in ("mixed", "reserved"):
        assert ruling.reason == f"rights: {licence}"
    else:
        assert ruling.reason == "rights: licence not on the allow list"
        assert licence in ruling.metadata["licences"]


@pytest.mark.parametrize("text", UNKNOWN)
def test_parts_denials_and_mentions_grant_nothing(text):
    _, ruling = judged(text)
    assert ruling.reason == "rights: unknown"


@pytest.mark.parametrize(
    ("text", "licence"),
    [
        (
            "I, the author, hereby dedicate this work to the public domain.",
            "LicenseRef-public-domain",
        ),
        ("We release this book into the public domain.", "LicenseRef-public-domain"),
        (
            "Это произведение доступно по лицензии Creative Commons «Attribution» («Атрибуция») 4.0 Всемирная.",
            "CC-BY-4.0",
        ),
        ("本作品采用知识共享署名-相同方式共享 4.0 国际许可协议进行许可。", "CC-BY-SA-4.0"),
        ("本著作採用創用 CC 姓名標示 4.0 國際 授權條款授權。", "CC-BY-4.0"),
        (
            "この作品はクリエイティブ・コモンズ 表示 4.0 国際 ライセンスの下に提供されています。",
            "CC-BY-4.0",
        ),
        ("هذا المصنف مرخص بموجب رخصة المشاع الإبداعي نَسب المُصنَّف 4.0 دولي.", "CC-BY-4.0"),
    ],
)
def test_dedications_and_deeds_in_other_scripts(text, licence):
    ruling = Rights(RightsConfig())(plain(text))
    assert not ruling.reason and ruling.metadata["licences"] == [licence]


@pytest.mark.parametrize(
    "text",
    [
        "本作品采用知识共享署名-非商业性使用 4.0 国际许可协议进行许可。",
        "この作品はクリエイティブ・コモンズ 表示 - 改変禁止 4.0 国際 ライセンスの下に提供されています。",
        "Это произведение доступно по лицензии Creative Commons «Attribution-NonCommercial» («Атрибуция — Некоммерческое использование») 4.0 Всемирная.",
        "هذا المصنف مرخص بموجب رخصة المشاع الإبداعي نسب المصنف - غير تجاري 4.0 دولي.",
        "I dedicate the examples to the public domain.",
        "They never dedicate this work to the public domain.",
        '"This work is licensed under CC BY 4.0," said the lawyer, and laughed.',
        "The lawyer said: “This book is licensed under CC BY 4.0.” Nobody laughed.",
    ],
)
def test_what_forbids_sale_is_of_a_part_or_is_spoken_does_not_pass(text):
    ruling = Rights(RightsConfig())(plain(text))
    assert ruling.reason


def test_a_judge_who_speaks_of_rights_reserves_none():
    text = 'This book is licensed under CC BY 4.0.\n\n"All rights reserved," said the judge.\n'
    ruling = Rights(RightsConfig())(plain(text))
    assert not ruling.reason


@pytest.mark.parametrize(
    "element, words",
    [
        ("BY", ["Attribution", "Paternité", "Namensnennung", "Atribución", "表示"]),
        ("NC", ["NonCommercial", "Non-Commercial", "pas d'utilisation commerciale", "非営利"]),
        ("ND", ["NoDerivatives", "keine Bearbeitung", "改変禁止"]),
        ("SA", ["ShareAlike", "share-alike", "compartir igual", "継承"]),
    ],
)
def test_an_element_is_known_by_its_names(element, words):
    for word in words:
        assert re.fullmatch(ELEMENTS[element], word, re.IGNORECASE), word


def test_every_pattern_compiles_and_none_matches_nothing():
    for pattern, _ in (*LICENCES, *TEXTS):
        assert not re.compile(pattern, re.IGNORECASE | re.DOTALL).search("")


def test_names_lead_to_one_identifier():
    found = {
        text: [name for pattern, name in LICENCES if re.search(pattern, text, re.IGNORECASE)]
        for text in ("the Apache License, Version 2.0", "the MIT License", "GNU GPL version 3")
    }
    assert list(found.values()) == [["Apache-2.0"], ["MIT"], ["GPL"]]
