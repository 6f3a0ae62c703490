"""What `pip install .` asks for."""

import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip('tomli')

PROJECT = tomllib.loads((Path(__file__).parent.parent / 'pyproject.toml').read_text())['project']


def test_installing_replaces_nothing():
    """No mm package, no torchvision (pip would bring another torch with it), lower bounds only."""
    for requirement in PROJECT['dependencies']:
        assert not requirement.startswith(('mm', 'onedl', 'torchvision'))
        assert not set('<=~!') & set(requirement.replace('>=', ''))


def test_both_stacks_are_extras():
    extras = PROJECT['optional-dependencies']
    for stack in ('onedl', 'openmmlab'):
        assert sum('mm' in requirement for requirement in extras[stack]) == 5
