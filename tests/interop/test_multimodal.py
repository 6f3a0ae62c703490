"""mmpretrain beside a transformers that its image-and-text models do not know."""

import subprocess
import sys

import pytest
from mmpretrain.registry import MODELS

from wamim_mm.interop import multimodal


def test_import_with_this_environments_transformers():
    """Both orders, in fresh interpreters: ours before transformers, and after."""
    for first, second in (('wamim_mm', 'transformers'), ('transformers', 'wamim_mm')):
        code = f'import {first}, {second}, mmpretrain.models, mmpretrain.datasets'
        done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(('installed', 'kept'), [('4.57.1', True), ('5.0.0', False)])
def test_only_new_versions_lose_the_models(monkeypatch, installed, kept):
    from mmpretrain.utils import dependency

    monkeypatch.setattr(multimodal, 'version', lambda name: installed)
    monkeypatch.setattr(dependency, 'WITH_MULTIMODAL', True)
    multimodal.install()
    assert kept is dependency.WITH_MULTIMODAL


def test_the_names_stay_registered():
    import mmpretrain.models  # noqa: F401

    assert MODELS.get('BlipCaption') is not None
