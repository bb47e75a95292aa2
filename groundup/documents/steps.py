"""The steps that this room offers, by the names that a pipeline calls them.

A step is a class whose only argument is its configuration; its module is imported when a pipeline
names it, so that nobody waits for, or installs, what is not used.
"""

STEPS: dict[str, str] = {
    "documents.read": "groundup.documents.readers.kinds:ReadMarkup",
}
"""Name, such as `web.lines`, to `module:Class`."""
