"""The text of a PDF's pages, read by PDFium in a process of its own: `readers/books.py` starts it.

PDFium is fast and finds the blanks between words that are drawn letter by letter. A hostile file
can keep it busy for ever (forms that draw forms) or bring it down, so limits on processor time and
memory end this process, and the pages it had read are kept; the next file gets a new process.
Standard input has, for each file, a line of JSON (its bytes; the most pages, characters and seconds
of processor time) and the file. The answer is a line with what the file says of itself, one for
each page (its text and whether it has pictures and no text, or null), and an empty line. Imports
nothing of the package, which would take longer than most files.
"""

import contextlib
import ctypes
import json
import resource
import signal
import sys
from collections.abc import Iterator

import pypdfium2
import pypdfium2.raw as raw

REPLACED = str.maketrans({"\ufffe": "-\n", "\x02": "-\n", "\r": "", "\0": ""})
"""Two are how PDFium marks a hyphen at the end of a line, whose line break it drops."""
MIN_GAP = 0.1
"""A gap between two characters that is a blank, in heights of a line. Source: pdftotext's; from .05
to .13 the words of eight files are the same."""
MAX_MEMORY = 4 * 2**30
PICTURE_DEPTH = 3
"""Forms within forms that are searched for pictures. Own choice: scanners use one at most."""
PARENT_DEATH_SIGNAL = 1


def main() -> None:
    """Read files until standard input ends, or on Linux the process that started this one."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
    set_limit(resource.RLIMIT_AS, MAX_MEMORY)
    for request in iter(sys.stdin.buffer.readline, b""):
        size, max_pages, max_characters, max_seconds = json.loads(request)
        usage = resource.getrusage(resource.RUSAGE_SELF)
        set_limit(resource.RLIMIT_CPU, int(usage.ru_utime + usage.ru_stime) + max_seconds)
        read_file(sys.stdin.buffer.read(size), max_pages, max_characters)
        sys.stdout.write("\n")
        sys.stdout.flush()


def set_limit(kind: int, limit: int) -> None:
    """Limit a resource of this process, where the system can."""
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(kind, (limit, resource.getrlimit(kind)[1]))


def read_file(data: bytes, max_pages: int, max_characters: int) -> None:
    """Write what a file says of itself, and its pages."""
    try:
        document = pypdfium2.PdfDocument(data)
        count, stated = len(document), document.get_metadata_dict()
    except (pypdfium2.PdfiumError, MemoryError) as error:
        write_line({"error": str(error)})
        return
    write_line({"pages": count, "stated": stated})
    length = 0
    for number in range(count if count <= max_pages else 0):
        read = read_page(document, number)
        write_line(read)
        length += len(read[0] if read else "") + 1
        if length > max_characters:
            break
    document.close()


def read_page(document: pypdfium2.PdfDocument, number: int) -> tuple[str, bool] | None:
    """Text of a page with line breaks as in the file, and whether it has pictures and no text.

    None if it cannot be read.
    """
    try:
        page = document[number]
        text = page.get_textpage()
        found = "".join(spaced_characters(text)).translate(REPLACED)
        text.close()
        pictures = page.get_objects(filter=[raw.FPDF_PAGEOBJ_IMAGE], max_depth=PICTURE_DEPTH)
        is_picture = not found.strip() and any(True for _ in pictures)
        page.close()
        return found, is_picture
    except (pypdfium2.PdfiumError, MemoryError, ValueError):
        return None


def spaced_characters(text: pypdfium2.PdfTextPage) -> Iterator[str]:
    """Yield a page's characters, with the blanks that PDFium does not see in kerned text."""
    box, right, bottom = raw.FS_RECTF(), float("inf"), 0.0
    for number in range(text.count_chars()):
        code = raw.FPDFText_GetUnicode(text.raw, number)
        character = chr(code)
        if character.isspace() or code in (0x2, 0xFFFE):
            right = float("inf")
        elif raw.FPDFText_GetLooseCharBox(text.raw, number, box):
            height = box.top - box.bottom
            if box.left - right > MIN_GAP * height and abs(box.bottom - bottom) < height / 2:
                yield " "
            right, bottom = box.right, box.bottom
        yield character


def write_line(value: object) -> None:
    """Write a value at once, so that it is kept if a later page ends the process."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
