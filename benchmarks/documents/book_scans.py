"""Scans of paginated manuals, with their truth: render, blur, skew and speckle, then read by OCR.

    python -m benchmarks.documents.book_scans MANUAL.pdf OUT --first 10 --last 50 [--dpi 120]

Needs pdftoppm and pdftotext (poppler-utils) and tesseract with its English model. For every page
OUT gets NNN.ocr.txt (what the OCR read from the spoilt image) and NNN.true.txt (the text that the
PDF itself holds). Seeds are the pages' numbers, so that the images are the same every time.
"""

import argparse
import subprocess
import tempfile
from pathlib import Path

import numpy as np

SKEW_DEGREES, BLUR, NOISE = 0.4, 1, 12.0


def main() -> None:
    """Scan the pages that are asked for; those already there are left."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manual", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--last", type=int, default=40)
    parser.add_argument("--dpi", type=int, default=120)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    for page in range(given.first, given.last + 1):
        if not (given.out / f"{page:03}.ocr.txt").exists():
            scan(given.manual, given.out, page, given.dpi)


def scan(manual: Path, out: Path, page: int, dpi: int) -> None:
    """One page: its truth and what the OCR makes of a bad scan of it."""
    at = ["-f", str(page), "-l", str(page)]
    subprocess.run(["pdftotext", "-layout", *at, manual, out / f"{page:03}.true.txt"], check=True)
    with tempfile.TemporaryDirectory() as scratch:
        image = Path(scratch) / "page"
        command = ["pdftoppm", "-r", str(dpi), "-gray", "-singlefile", *at, manual, image]
        subprocess.run(command, check=True)
        pixels = spoilt(read_pgm(image.with_suffix(".pgm")), page)
        write_pgm(image.with_suffix(".pgm"), pixels)
        command = ["tesseract", image.with_suffix(".pgm"), "-", "--dpi", str(dpi), "--psm", "4"]
        read = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    (out / f"{page:03}.ocr.txt").write_text(read, encoding="utf-8")


def spoilt(pixels: np.ndarray, seed: int) -> np.ndarray:
    """The image skewed, blurred and speckled."""
    rng = np.random.default_rng(seed)
    slope = np.tan(np.radians(rng.uniform(-SKEW_DEGREES, SKEW_DEGREES)))
    image = pixels.astype(np.float32)
    for row in range(image.shape[0]):
        image[row] = np.roll(image[row], round(slope * row))
    for column in range(image.shape[1]):
        image[:, column] = np.roll(image[:, column], round(-slope * column))
    for _ in range(BLUR):
        padded = np.pad(image, 1, mode="edge")
        across = (padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]) / 4
        image = (across[:-2] + 2 * across[1:-1] + across[2:]) / 4
    image += rng.normal(0, NOISE, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8)


def read_pgm(path: Path) -> np.ndarray:
    """Pixels of a binary PGM."""
    data = path.read_bytes()
    _, size, _, pixels = data.split(b"\n", 3)
    width, height = map(int, size.split())
    return np.frombuffer(pixels, np.uint8).reshape(height, width)


def write_pgm(path: Path, pixels: np.ndarray) -> None:
    """Write pixels as a binary PGM."""
    height, width = pixels.shape
    path.write_bytes(b"P5\n%d %d\n255\n" % (width, height) + pixels.tobytes())


if __name__ == "__main__":
    main()
