"""A corpus made by datatrove: pages of WARC files to JSONL, by rules that ours follow too.

    python tests/oracles/datatrove_pipeline.py WARCS OUT WORKERS LID

Extraction by resiliparse's own main content, since datatrove has an extractor for trafilatura only;
language by the model file LID, so that nothing is downloaded; filters and MinHash with FineWeb's
settings; as many tasks as there are files, WORKERS at once. Removed documents are not written: that
is less work than ours. Prints the addresses of what was kept before and after MinHash, as JSON.
Run in an environment with datatrove.txt and datatrove_pipeline.txt.
"""

import gzip
import json
import sys
from pathlib import Path

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import (
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
)
from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupBuckets
from datatrove.pipeline.extractors.base import BaseExtractor
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
    LanguageFilter,
)
from datatrove.pipeline.readers import JsonlReader, WarcReader
from datatrove.pipeline.writers.jsonl import JsonlWriter
from datatrove.utils.lid import FT176LID

SLOWEST_SECONDS = 60.0


class Resiliparse(BaseExtractor):
    """Main content as resiliparse finds it."""

    name = "resiliparse"

    def __init__(self) -> None:
        super().__init__(timeout=SLOWEST_SECONDS)

    def extract(self, text: str) -> str:
        """The page's main content."""
        from resiliparse.extract.html2text import extract_plain_text

        return extract_plain_text(text, main_content=True, alt_texts=False)


class LocalModel(FT176LID):
    """fastText's model from a file."""

    def __init__(self, languages: list[str], file: str) -> None:
        super().__init__(languages)
        self.file = file

    @property
    def model(self):  # noqa: ANN201
        """The model, loaded at its first use."""
        if self._model is None:
            from fasttext.FastText import _FastText

            self._model = _FastText(self.file)
        return self._model


def main() -> None:
    """Run from the command line."""
    warcs, out, workers, model = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    tasks = len(list(Path(warcs).glob("*.warc.gz")))
    language = LanguageFilter("en", language_threshold=0.65)
    language.model = LocalModel(["en"], model)
    minhash = MinhashConfig()
    filters = [
        WarcReader(warcs, glob_pattern="*.warc.gz"),
        Resiliparse(),
        language,
        GopherRepetitionFilter(),
        GopherQualityFilter(),
        C4QualityFilter(filter_no_terminal_punct=False),
        FineWebQualityFilter(),
        JsonlWriter(f"{out}/filtered"),
    ]
    read = JsonlReader(f"{out}/filtered")
    signature = MinhashDedupSignature(f"{out}/signatures", minhash)
    buckets = MinhashDedupBuckets(f"{out}/signatures", f"{out}/buckets", config=minhash)
    cluster = MinhashDedupCluster(f"{out}/buckets", f"{out}/remove", config=minhash)
    dedup = [read, MinhashDedupFilter(f"{out}/remove"), JsonlWriter(f"{out}/kept")]
    steps = (
        ("1", filters, tasks),
        ("2", [read, signature], tasks),
        ("3", [buckets], minhash.num_buckets),
        ("4", [cluster], 1),
        ("5", dedup, tasks),
    )
    for name, pipeline, count in steps:
        LocalPipelineExecutor(
            pipeline, tasks=count, workers=workers, logging_dir=f"{out}/logs/{name}"
        ).run()
    print(json.dumps({name: addresses(out / name) for name in ("filtered", "kept")}))


def addresses(folder: Path) -> list[str]:
    """The addresses of the documents in a folder of JSONL."""
    found = []
    for path in sorted(folder.glob("*.jsonl.gz")):
        found += [json.loads(line)["metadata"]["url"] for line in gzip.open(path, "rt")]
    return found


if __name__ == "__main__":
    main()
