"""The short version of tests/faults/kill.py, without the time that imports take."""

import random

import pytest
import torch

from wamim_mm.demo.scenes import make_scenes

from .. import forked
from . import kill


class Forked:
    """A start of tools/train.py, in a copy of a process that has imported the libraries."""

    def __init__(self, arguments, folder):
        out = folder / 'out'
        self.process = forked.start(['tools/train.py', *arguments], out, folder / 'err')

    def code(self):
        return self.process.exitcode

    def kill(self):
        self.process.kill()
        self.process.join()


@pytest.mark.parametrize('by_epoch', [True, pytest.param(False, marks=pytest.mark.slow)])
def test_it_ends_as_if_it_had_not_been_killed(tmp_path, by_epoch):
    make_scenes(tmp_path / 'scenes', 60, size=128, val_fraction=0.2)
    found, done = [], {}
    for name, kills, workers in (('whole', 0, 0), ('killed', 2, 2)):
        arguments = kill.Setting(1, by_epoch, workers).arguments(
            tmp_path / 'scenes', tmp_path / name
        )
        draw = random.Random(by_epoch)
        kill.one_run(lambda a=arguments: Forked(a, tmp_path), tmp_path / name, kills, draw, done)
        found.append(kill.weights(tmp_path / name))
    assert done['kills'] > 0
    assert all(torch.equal(found[1][name], tensor) for name, tensor in found[0].items())
