"""Fixtures of all tests."""

from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DefaultScope, init_default_scope
from mmengine.visualization import Visualizer

import wamim_mm  # noqa: F401  (registers everything)

ROOT = Path(__file__).resolve().parent.parent
SHARED_DATA = ROOT.parent / 'shared' / 'data'


def pytest_runtest_setup(item):
    if item.get_closest_marker('gpu') and not torch.cuda.is_available():
        pytest.skip('no CUDA device')


@pytest.fixture(autouse=True)
def seed():
    """The same random numbers in every test."""
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def scope():
    """The registry that configs without a scope mean, whatever Runner an earlier test has left."""
    init_default_scope('mmpretrain')


@pytest.fixture(autouse=True, scope='session')
def quiet():
    """MMEngine prints a paragraph for every parameter that it initializes."""
    MMLogger.get_current_instance().setLevel('WARNING')


@pytest.fixture
def own_instances(monkeypatch):
    """Let Runners leave no logger, message hub or default scope behind."""
    for cls in (DefaultScope, MessageHub, MMLogger, Visualizer):
        monkeypatch.setattr(cls, '_instance_dict', OrderedDict(cls._instance_dict))


@pytest.fixture
def root() -> Path:
    """The top of the repository."""
    return ROOT


@pytest.fixture
def shared_data() -> Path:
    """Real images beside the repository; the test is skipped where they are not."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f'no real images at {SHARED_DATA}')
    return SHARED_DATA
