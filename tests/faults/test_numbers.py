"""The short version of tests/faults/numbers.py."""

import pytest

from . import numbers


@pytest.mark.parametrize('kind', numbers.IMAGES)
@pytest.mark.parametrize(('name', 'dtype'), [('wamim_vit', 'fp16'), ('wamim_swin', 'bf16')])
def test_a_few_steps(name, dtype, kind):
    assert numbers.run(name, dtype, kind, steps=4)['skipped'] == 0
