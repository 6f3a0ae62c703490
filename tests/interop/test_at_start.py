"""The other libraries' own programs, which do not import wamim_mm, in fresh interpreters."""

import subprocess
import sys
from pathlib import Path

import pytest

import wamim_mm

AT_START = Path(wamim_mm.__file__).parent / 'interop' / 'at_start'


def run(code, *options):
    done = subprocess.run(
        [sys.executable, *options, '-W', 'ignore', '-c', code], capture_output=True, text=True
    )
    return (done.stdout + done.stderr).strip()


@pytest.mark.parametrize('library', ['mmpretrain', 'mmdet', 'mmseg'])
def test_hosts_are_imported_as_they_are(library):
    pytest.importorskip(library)
    out = run(f'import {library}.models, mmcv.ops; print("imported")')
    assert out.endswith('imported')


def test_without_it_they_are_not():
    """Else the files could go. -S: Python reads no .pth, so that the paths are given by hand."""
    paths = [path for path in sys.path if path]
    out = run(f'import sys; sys.path[:] = {paths}\nimport mmcv.ops', '-S')
    if 'imported' in out or not out:
        pytest.skip('mmcv has compiled operators')
    assert "No module named 'mmcv._ext'" in out


def test_nothing_is_imported_before_it_is_wanted():
    out = run('import sys, torch; print("wamim_mm" in sys.modules)')
    assert out == 'False'
    out = run('import sys, mmengine; print("wamim_mm" in sys.modules, "torch" in sys.modules)')
    assert out == 'True False'


def test_a_program_without_our_classes_does_not_import_them():
    pytest.importorskip('mmdet')
    out = run(
        'import sys, mmdet.models\nfrom mmdet.registry import MODELS\n'
        'assert MODELS.get("ResNet") and MODELS.get("mmdet.MaskRCNN") and MODELS.get("SyncBN")\n'
        'print("wamim_mm.models" in sys.modules)'
    )
    assert out.endswith('False')


def test_the_finder_is_there_once():
    out = run(
        'import sys, _wamim_mm_at_start as start, mmengine, mmcv\n'
        'print(start.PatchesFirst in sys.meta_path, mmengine.__name__, mmcv.__name__)'
    )
    assert out.endswith('False mmengine mmcv')


def test_the_installed_files_are_these():
    import _wamim_mm_at_start

    installed = Path(_wamim_mm_at_start.__file__).parent
    for file in AT_START.glob('*at_start.p*'):
        assert (installed / file.name).read_text() == file.read_text()


@pytest.mark.parametrize('tool', ['train', pytest.param('test', marks=pytest.mark.slow)])
@pytest.mark.parametrize('library', ['mmpretrain', 'mmdet', 'mmseg'])
def test_their_own_tools_start(library, tool):
    module = pytest.importorskip(library)
    script = Path(module.__file__).parent / '.mim' / 'tools' / f'{tool}.py'
    done = subprocess.run([sys.executable, script, '--help'], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith('usage: ')
