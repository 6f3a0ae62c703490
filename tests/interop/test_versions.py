import importlib.util
import sys
from importlib import metadata

import pytest

from wamim_mm.interop.versions import check_versions

ONEDL = {
    'torch': '2.14.1',
    'torchvision': '0.29.1+cpu',
    'onedl-mmengine': '0.10.12',
    'onedl-mmcv': '2.3.6',
    'onedl-mmpretrain': '1.3.6',
    'onedl-mmdetection': '3.5.1',
    'onedl-mmsegmentation': '1.4.2',
    'setuptools': '84.2.1',
}
OFFICIAL = {
    'torch': '2.6.0a0+git1234',
    'torchvision': '0.21.0',
    'mmengine': '0.10.7',
    'mmcv-lite': '2.1.0',
    'mmpretrain': '1.2.0',
    'mmdet': '3.3.0',
    'mmsegmentation': '1.2.2',
    'setuptools': '80.10.2',
}


@pytest.fixture
def environment(monkeypatch):
    """Return a function that stands `installed` in for what is installed, and runs the check."""

    def check(installed, modules=()):
        def version(name):
            if name not in installed:
                raise metadata.PackageNotFoundError(name)
            return installed[name]

        def find_spec(name, package=None):
            return object() if name in modules else None

        monkeypatch.setattr(metadata, 'version', version)
        monkeypatch.setattr(importlib.util, 'find_spec', find_spec)
        check_versions()

    return check


def problems(environment, *args):
    with pytest.raises(ImportError) as caught:
        environment(*args)
    text = str(caught.value)
    assert 'pip install ".[onedl]"' in text and 'pip install ".[openmmlab]"' in text
    assert 'pip install "wamim_mm' not in text  # nobody has claimed the name in the index
    return [line for line in text.splitlines() if line.startswith('  - ')]


def without(installed, *names):
    return {name: version for name, version in installed.items() if name not in names}


def test_what_is_installed_here_passes():
    check_versions()


def test_both_stacks_pass(environment):
    environment(ONEDL)
    environment(OFFICIAL, ['pkg_resources'])


def test_detection_and_segmentation_may_be_missing(environment):
    environment(without(ONEDL, 'onedl-mmdetection', 'onedl-mmsegmentation'))


def test_a_checkout_without_metadata_passes(environment):
    environment(without(ONEDL, 'onedl-mmpretrain'), ['mmpretrain'])


def test_every_missing_library_is_listed(environment):
    missing = problems(environment, {})
    assert missing == [
        '  - torch: not installed, torch>=2.6 is needed',
        '  - torchvision: not installed, torchvision>=0.21 is needed',
        '  - mmengine: not installed, onedl-mmengine>=0.10.12 or mmengine>=0.10.7 is needed',
        '  - mmcv: not installed, onedl-mmcv>=2.3.6 or mmcv>=2.1.0 or mmcv-lite>=2.1.0 is needed',
        '  - mmpretrain: not installed, onedl-mmpretrain>=1.3.6 or mmpretrain>=1.2.0 is needed',
    ]


@pytest.mark.parametrize(
    ('stack', 'name', 'version'),
    [
        (ONEDL, 'torch', '2.5.1+cu124'),
        (ONEDL, 'onedl-mmengine', '0.10.9rc1'),
        (ONEDL, 'onedl-mmsegmentation', '1.3.0'),
        (OFFICIAL, 'mmcv-lite', '2.0.1'),
        (OFFICIAL, 'mmdet', '2.28.2'),
    ],
)
def test_too_old(environment, stack, name, version):
    (problem,) = problems(environment, {**stack, name: version}, ['pkg_resources'])
    assert f'{name} {version} found' in problem
    assert f'{name}>=' in problem


def test_several_problems_make_one_error(environment):
    installed = {**without(ONEDL, 'onedl-mmcv'), 'onedl-mmengine': '0.9', 'torch': '2.1.0'}
    assert len(problems(environment, installed)) == 3


@pytest.mark.parametrize(
    ('stack', 'other'),
    [
        (ONEDL, 'mmengine'),
        (ONEDL, 'mmcv-lite'),
        (OFFICIAL, 'mmcv'),
        (OFFICIAL, 'onedl-mmdetection'),
    ],
)
def test_two_distributions_of_one_library(environment, stack, other):
    (problem,) = problems(environment, {**stack, other: '99.0'}, ['pkg_resources'])
    assert f'{other} 99.0' in problem
    assert 'pip uninstall -y' in problem


def test_official_mmengine_needs_pkg_resources(environment):
    (problem,) = problems(environment, {**OFFICIAL, 'setuptools': '82.0.0'})
    assert 'pip install "setuptools<81"' in problem
    assert 'setuptools 82.0.0' in problem
    (problem,) = problems(environment, without(OFFICIAL, 'setuptools'))
    assert 'none found' in problem


def test_torchvision_of_another_build(environment, monkeypatch, tmp_path):
    # What a real mismatch raises, measured with a CPU torch beside a CUDA torchvision.
    message = 'operator torchvision::nms does not exist'
    (tmp_path / 'torchvision.py').write_text(f'raise RuntimeError({message!r})')
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, 'torchvision', raising=False)
    (problem,) = problems(environment, ONEDL)
    assert message in problem
    assert 'torchvision: 0.29.1+cpu does not work with torch 2.14.1' in problem
