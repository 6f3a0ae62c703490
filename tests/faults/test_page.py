"""docs/reliability.md has the figures of docs/results."""

from .page import PAGE, page


def test_the_page_is_the_written_one():
    assert PAGE.read_text() == page(), 'run python -m tests.faults.page'
