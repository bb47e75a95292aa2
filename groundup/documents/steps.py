"""The steps that this room offers, by the names that a pipeline calls them.

A step is a class whose only argument is its configuration; its module is imported when a pipeline
names it, so that nobody waits for, or installs, what is not used.
"""

STEPS: dict[str, str] = {
    "web.harmful": "groundup.documents.web.harmful:Harmful",
    "web.lines": "groundup.documents.web.lines:Lines",
    "web.main_text": "groundup.documents.web.main_text:MainText",
    "web.spam": "groundup.documents.web.spam:Spam",
    "web.urls": "groundup.documents.web.urls:Urls",
}
"""Name, such as `web.lines`, to `module:Class`."""
