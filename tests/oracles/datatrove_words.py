"""English words as spaCy cuts them, which datatrove's filters count: its tables as data.

Writes groundup/corpus/quality/words_en.json.gz: patterns and special cases of spaCy's blank English
(MIT), the sentence marks of its sentencizer, and the signs that datatrove calls punctuation
(Apache-2.0). Run by `make oracles` in the environment of datatrove.txt.
"""

import gzip
import json
from pathlib import Path

import spacy
from datatrove.utils.text import PUNCTUATION_SET, TERMINAL_PUNCTUATION
from spacy.attrs import ORTH

OUT = Path("groundup/corpus/quality/words_en.json.gz")


def main() -> None:
    """Write the tables."""
    nlp = spacy.blank("en")
    cut = nlp.tokenizer
    special = {
        text: [token[ORTH] for token in tokens]
        for text, tokens in sorted(cut.rules.items())
        if text.strip() and len(text.split()) == 1
    }
    tables = {
        "source": f"spaCy {spacy.__version__} (MIT); datatrove 0.10.1 (Apache-2.0)",
        "prefix": cut.prefix_search.__self__.pattern,
        "suffix": cut.suffix_search.__self__.pattern,
        "infix": cut.infix_finditer.__self__.pattern,
        "url": cut.url_match.__self__.pattern,
        "special": special,
        "sentence_ends": "".join(sorted(nlp.add_pipe("sentencizer").punct_chars)),
        "punctuation": "".join(sorted(PUNCTUATION_SET)),
        "terminal": "".join(sorted(TERMINAL_PUNCTUATION)),
    }
    text = json.dumps(tables, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    OUT.write_bytes(gzip.compress(text.encode(), mtime=0))
    print(OUT, OUT.stat().st_size)


if __name__ == "__main__":
    main()
