"""Mistakes that people make, and the one line that answers each.

`tests/tools/test_mistakes.py` makes them all; `python -m tests.mistakes_page` writes them into
docs/troubleshooting.md. In commands and answers, names in braces stand for files and options that
the test prepares:

- ``{data}``: a folder with train/ and val/, of the built-in scenes; ``{few}``: one with 3 images.
- ``{run}``: options of a run that would work: a new work dir, the data, no workers.
- ``{files}``: a folder with damaged checkpoints and other odd files.
- ``{vit}``, ``{seg}``, ``{det}``, ``{cls}``: configs.
"""

from typing import NamedTuple


class Mistake(NamedTuple):
    """One mistake.

    Attributes:
        topic: Heading on the page.
        what: What the user did, for the page.
        command: What follows ``python tools/``, the script without its suffix.
        answer: The line without the name of the command. ``...`` stands for any text.
        light: Whether the answer comes before torch and the libraries of OpenMMLab are imported.
    """

    topic: str
    what: str
    command: str
    answer: str
    light: bool = True


def heavy(*args: str) -> Mistake:
    """A mistake that only the libraries can find."""
    return Mistake(*args, light=False)
