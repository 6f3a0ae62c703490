"""The examples in the docstrings of every module of `ops`."""

import doctest
import importlib
import pkgutil

import pytest

from wamim_mm import ops

MODULES = sorted(module.name for module in pkgutil.iter_modules(ops.__path__))


def test_finds_the_modules():
    assert {'fourier', 'masking', 'wavelets', 'windows'} <= set(MODULES)


@pytest.mark.parametrize('name', MODULES)
def test_examples(name):
    failures, examples = doctest.testmod(importlib.import_module(f'{ops.__name__}.{name}'))
    assert examples > 0 and failures == 0
