"""Which images are chosen out of many, and which are missing."""

import pytest

from wamim_mm.image_files import missing_files, spread


@pytest.mark.parametrize('total', [1, 4, 7, 8, 10, 100])
@pytest.mark.parametrize('count', [1, 3, 4, 7, 200])
def test_spread(total, count):
    """As many as asked for, from the first on, with gaps that differ by one at most."""
    places = spread(total, count)
    assert len(places) == len(set(places)) == min(total, count) and places[0] == 0
    gaps = {after - before for before, after in zip(places, [*places[1:], total], strict=True)}
    assert max(gaps) - min(gaps) <= 1


def test_files_that_are_missing(tmp_path):
    """Of several folders, one of which is not there."""
    (tmp_path / 'a').mkdir()
    (tmp_path / 'a' / '1.png').touch()
    paths = [str(tmp_path / name) for name in ('a/1.png', 'a/2.png', 'b/1.png')]
    missing, names = missing_files(iter(paths))
    assert missing == paths[1:]
    assert names == {str(tmp_path / 'a'): {'1.png'}, str(tmp_path / 'b'): set()}
    assert missing_files([]) == ([], {})
