"""What looks for faults in `ops` finds one."""

from hypothesis import given
from hypothesis import strategies as st

from ..ops import test_properties
from . import ops


@given(st.integers(0, 1000))
def false(number):
    assert number < 500


def test_all_properties_are_tried():
    names = [name for name in vars(test_properties) if name.startswith('test_')]
    names.remove('test_every_wavelet_has_even_filters')  # draws nothing
    assert sorted(ops.properties()) == sorted(names)


def test_one_that_does_not_hold(capsys):
    assert not ops.holds(false, 200)
    assert 'number=500' in capsys.readouterr().err


def test_one_that_holds():
    assert ops.holds(test_properties.test_windows, 5)
