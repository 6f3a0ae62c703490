"""Ratios of paired rounds and turns, with numbers made by hand."""

import pytest

from benchmarks.measure import aligned, alternate, peak_flops, ratio, show_ratio


def test_ratio_is_of_pairs():
    """A slow round of the machine slows both down, and their ratio is not moved by it."""
    found = ratio([4.0, 40.0, 6.0], [2.0, 20.0, 2.0])
    assert found == dict(median=2.0, min=2.0, max=3.0)
    assert show_ratio(found) == '2.00x (2.00 to 3.00)'
    with pytest.raises(ValueError):
        ratio([1.0, 2.0], [1.0])


def test_turns():
    order = []

    def contender(name, seconds):
        def run():
            order.append(name)
            return seconds

        return run

    found = alternate({'a': contender('a', 1.0), 'b': contender('b', 2.0)}, rounds=3)
    assert order == ['a', 'b'] * 3
    assert found == {'a': [1.0] * 3, 'b': [2.0] * 3}


def test_an_unknown_gpu_has_no_peak():
    assert peak_flops('NVIDIA H200', 'bf16') == 989e12
    assert peak_flops('NVIDIA A100-SXM4-80GB', 'fp32') == 19.5e12
    assert peak_flops('NVIDIA H300', 'bf16') is None
    assert peak_flops('', 'fp32') is None


def test_aligned():
    assert aligned(['', 'ms'], [['ours', '1.5'], ['copy', '10.5']]) == (
        '        ms\nours   1.5\ncopy  10.5'
    )
