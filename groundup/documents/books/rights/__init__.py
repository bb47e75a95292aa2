"""Rights: what a work says about who may copy it, quoted with its position.

Statements are searched for at the beginning and the end of a work: licence tags, names in eleven
languages, links, full texts, dedications, copyright lines. A licence is the work's own only if a
sentence grants it to the work, or it is on a licence or badge line, or in the metadata. Licences of
parts, denied ones and mere mentions are reported as evidence but never allow anything. Reserved
rights and restrictions override a grant elsewhere. This is evidence, not legal advice.
"""

from .step import Rights, RightsConfig

__all__ = ["Rights", "RightsConfig"]
