"""What `pip install .` asks for."""

import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip('tomli')

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / 'pyproject.toml').read_text())
PROJECT = PYPROJECT['project']


def test_installing_replaces_nothing():
    """No mm package, no torchvision (pip would bring another torch with it), lower bounds only."""
    for requirement in PROJECT['dependencies']:
        assert not requirement.startswith(('mm', 'onedl', 'torchvision'))
        assert not set('<=~!') & set(requirement.replace('>=', ''))


def test_both_stacks_are_extras():
    extras = PROJECT['optional-dependencies']
    for stack in ('onedl', 'openmmlab'):
        assert sum('mm' in requirement for requirement in extras[stack]) == 5


def test_the_wheel_holds_the_marker_of_types():
    """Without ``py.typed`` type checkers ignore our annotations."""
    patterns = PYPROJECT['tool']['setuptools']['package-data']['wamim_mm']
    found = {path for pattern in patterns for path in (ROOT / 'wamim_mm').glob(pattern)}
    assert ROOT / 'wamim_mm' / 'py.typed' in found
