"""A small handbook to run the commands of pages on: what it says is made up."""

from pathlib import Path

THINGS = (
    "lamp bridge ledger engine window kettle mirror signal garden harbour anchor basket candle "
    "dynamo errand falcon gadget hammer island jacket lantern magnet needle organ paddle"
).split()
VERBS = "starts stops opens closes lifts moves checks cleans".split()


def write_handbook(folder: Path) -> None:
    """Pages of settings and modules with functions, in English."""
    (folder / "guide").mkdir(parents=True)
    (folder / "guide" / "a.html").write_text(
        "<title>Services</title><h1>Services</h1><p>How do you restart the service of a building? "
        "Walk to its console, type the word restart and wait until the green light is on.</p>"
        "<h2>The with statement</h2><p>The with statement closes a file when its block ends.</p>"
    )
    for number, thing in enumerate(THINGS):
        for part, verb in enumerate(VERBS):
            name, place = f"{thing}_{verb}", number * len(VERBS) + part
            (folder / f"{name}.md").write_text(
                f"# The {thing} {verb}\n\nThe {name} service {verb} the {thing} of building "
                f"{place}. Its console stands in room {number + 3 * part + 2}.\n\n## Settings\n\n"
                f"The default of `{name}_limit` is {100 + place} seconds.\n\n"
                f"- `{name}_limit`: the longest time that the {thing} {verb}, in seconds.\n"
                f"- `{name}_mode`: how the {thing} {verb}; one of slow, fast or careful.\n"
            )
            (folder / f"{name}.py").write_text(
                f'"""Functions for the {thing}."""\n\n\ndef {name}(speed, limit={place}):\n'
                f'    """Return how long the {thing} {verb} at a speed.\n\n'
                '    speed: metres a second\n    """\n    return limit / speed\n'
            )
