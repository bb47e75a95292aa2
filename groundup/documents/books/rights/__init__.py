"""Rights: what a work says about who may copy it, quoted with its place.

Statements are looked for where works make them, at the beginning and the end: licence tags, names
in eleven languages, links, full texts, dedications, copyright lines. A licence is the work's own
only in a sentence that grants it to the work, in a licence's or badge's line, or in metadata; that
of a part, one denied and one only named are evidence and never allow. What reserves the rights or
restricts the use wins over a grant elsewhere. Evidence, not advice: it knows no country's law.
"""

from .step import Rights, RightsConfig

__all__ = ["Rights", "RightsConfig"]
