"""Which images are chosen out of many."""

import pytest

from wamim_mm.image_files import spread


@pytest.mark.parametrize('total', [1, 4, 7, 8, 10, 100])
@pytest.mark.parametrize('count', [1, 3, 4, 7, 200])
def test_spread(total, count):
    """As many as asked for, from the first on, with gaps that differ by one at most."""
    places = spread(total, count)
    assert len(places) == len(set(places)) == min(total, count) and places[0] == 0
    gaps = {after - before for before, after in zip(places, [*places[1:], total], strict=True)}
    assert max(gaps) - min(gaps) <= 1
