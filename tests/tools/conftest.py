"""Fixtures of the tests of the commands."""

from pathlib import Path

import pytest

from wamim_mm.demo.scenes import make_scenes


@pytest.fixture(scope='session')
def scenes(tmp_path_factory) -> Path:
    """48 scenes to train on and 12 to look at, 128 x 128."""
    out = tmp_path_factory.mktemp('data') / 'scenes'
    make_scenes(out, 60, size=128, val_fraction=0.2)
    return out
