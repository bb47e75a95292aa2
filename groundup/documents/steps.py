"""The steps that this room offers, by the names that a pipeline calls them.

A step is a class whose only argument is its configuration; its module is imported when a pipeline
names it, so that nobody waits for, or installs, what is not used.
"""

STEPS: dict[str, str] = {
    "code.comments": "groundup.documents.code.comments:Comments",
    "code.data": "groundup.documents.code.data:Data",
    "code.generated": "groundup.documents.code.origin:Generated",
    "code.language": "groundup.documents.code.language:Language",
    "code.licence": "groundup.documents.code.licences:Licence",
    "code.minified": "groundup.documents.code.origin:Minified",
    "code.notebook": "groundup.documents.code.notebook:Notebook",
    "code.quality": "groundup.documents.code.quality:Quality",
    "code.syntax": "groundup.documents.code.syntax:Syntax",
    "code.vendored": "groundup.documents.code.origin:Vendored",
}
"""Name, such as `web.lines`, to `module:Class`."""
