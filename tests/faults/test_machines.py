"""A case of `machines`, which has more."""

import pytest

from wamim_mm.demo.scenes import make_scenes

from .machines import lost, missing, network


@pytest.mark.slow
@pytest.mark.machines
def test_a_machine_that_is_cut_off_is_named(tmp_path):
    if why := missing():
        pytest.skip(why)
    scenes = tmp_path / 'scenes'
    make_scenes(scenes, 60, size=128, val_fraction=0.2)
    with network() as net:
        lost(net, tmp_path / 'cut', scenes, None, 'cut', timeout=12)
