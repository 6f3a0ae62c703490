"""Two cases of `ranks`, which has more."""

import signal

import pytest

from wamim_mm.demo.scenes import make_scenes

from .ranks import group, hung_data, stop


@pytest.mark.slow
def test_a_hang_and_a_stop(tmp_path):
    scenes = tmp_path / 'scenes'
    make_scenes(scenes, 60, size=128, val_fraction=0.2)
    hung_data(tmp_path / 'hung', scenes, timeout=12)
    stop(tmp_path / 'told', scenes, group(signal.SIGTERM))
