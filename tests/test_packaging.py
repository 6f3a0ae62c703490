"""What `pip install .` asks for."""

import shutil
import subprocess
import sys
import zipfile
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


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    """The names in a wheel that is built from what git knows."""
    folder = tmp_path_factory.mktemp('wheel')
    source, out = folder / 'source', folder / 'out'
    listed = subprocess.run(
        ['git', 'ls-files', '-co', '--exclude-standard'],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).exists() and not name.startswith(('docs/', 'tests/')):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name, follow_symlinks=False)
    code = f'from setuptools.build_meta import build_wheel; build_wheel({str(out)!r})'
    out.mkdir()
    subprocess.run([sys.executable, '-c', code], cwd=source, check=True, capture_output=True)
    (built,) = out.glob('*.whl')
    return zipfile.ZipFile(built).namelist()


def test_the_wheel_holds_the_marker_of_types(wheel):
    """Without ``py.typed`` type checkers ignore our annotations."""
    assert 'wamim_mm/py.typed' in wheel and 'wamim_mm/evaluation/healthy_losses.json' in wheel


def test_the_wheel_holds_configs_and_tools_where_openmmlab_looks(wheel):
    for path in ROOT.glob('configs/**/*.*'):
        name = f'wamim_mm/.mim/{path.relative_to(ROOT)}'
        without = '/study/' in name or '/ablation/cifar10/' in name
        assert (name in wheel) != without or path.suffix not in ('.py', '.yml'), name
    for path in [*ROOT.glob('tools/*.*'), ROOT / 'model-index.yml']:
        assert f'wamim_mm/.mim/{path.relative_to(ROOT)}' in wheel


def test_the_wheel_holds_what_python_runs_at_its_start(wheel):
    assert {'_wamim_mm_at_start.py', 'wamim_mm_at_start.pth'} <= set(wheel)


def test_the_wheel_holds_nothing_else(wheel):
    tops = {name.split('/')[0] for name in wheel}
    (info,) = (top for top in tops if top.endswith('.dist-info'))
    assert tops == {'wamim_mm', info, '_wamim_mm_at_start.py', 'wamim_mm_at_start.pth'}
    entries = PROJECT['scripts']
    assert entries == dict(wamim='wamim_mm.__main__:main')
