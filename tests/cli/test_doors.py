"""The scripts in tools/: nothing heavy is imported before the arguments are known to be good."""

import argparse
import subprocess
import sys

import pytest
from mmengine.config import DictAction

from wamim_mm.cli.launch import add_common_arguments

from ..mistakes import HEAVY

TOOLS = (
    'curves',
    'demo',
    'export_backbone',
    'features',
    'infer',
    'linear_probe',
    'reconstruct',
    'robustness',
    'setup_env',
    'test',
    'train',
)
#: Runs a script until it exits, or until it has printed its first line; then says what is imported.
UNTIL = """
import runpy, sys
class Screen:
    def __init__(self, stream): self.stream = stream
    def __getattr__(self, name): return getattr(self.stream, name)
    def write(self, text):
        self.stream.write(text)
        if sys.argv[1] != '--help' and '->' in text: sys.exit()
sys.stdout, sys.argv = Screen(sys.stdout), sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name='__main__')
except SystemExit as stop:
    if isinstance(stop.code, str): print(stop.code)
print('imported:', *[name for name in {heavy} if name in sys.modules])
"""


def run(root, tool, *arguments):
    """What a script prints, and the heavy libraries that it imports until then."""
    code = UNTIL.replace('{heavy}', repr(HEAVY))
    command = [sys.executable, '-c', code, f'tools/{tool}.py', *map(str, arguments)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    printed, _, imported = done.stdout.partition('imported:')
    return printed + done.stderr, imported.split()


def test_the_table_is_whole(root):
    assert sorted(path.stem for path in root.glob('tools/*.py')) == list(TOOLS)


@pytest.mark.parametrize('tool', TOOLS)
def test_help(root, tool):
    printed, imported = run(root, tool, '--help')
    assert printed.startswith('usage: ') and imported == []


def test_options_are_those_of_mmengine(tmp_path):
    parser = argparse.ArgumentParser()
    add_common_arguments(parser)
    given = ['--cfg-options', 'a.b=[1,(2,x)]', 'c=None', '--cfg-options', 'd=1e-3']
    expected = argparse.ArgumentParser()
    expected.add_argument('--cfg-options', nargs='+', action=DictAction, default={})
    assert parser.parse_args(given).cfg_options == expected.parse_args(given).cfg_options
    assert parser.parse_args([]).cfg_options == {}


def test_first_line_of_training(root, tmp_path):
    (tmp_path / 'data' / 'train').mkdir(parents=True)
    (tmp_path / 'data' / 'train' / 'a.jpg').touch()
    arguments = ['configs/demo/wamim_vit.py', '--work-dir', tmp_path / 'run']
    options = ['--cfg-options', f'data_root={tmp_path / "data"}', 'train_dataloader.batch_size=1']
    printed, imported = run(root, 'train', *arguments, *options)
    assert printed.splitlines() == [
        f'configs/demo/wamim_vit.py -> {tmp_path / "run"}',
        f'1 images in {tmp_path / "data" / "train"} (1 .jpg)',
    ]
    assert imported == []


LAZY = """
from mmpretrain.datasets import CustomDataset
from wamim_mm import WaMIM
data_root = 'nowhere'
model = dict(type=WaMIM)
train_dataloader = dict(dataset=dict(type=CustomDataset, data_root=data_root, with_label=False))
"""


def test_lazy_objects_are_left_lazy(root, tmp_path):
    (tmp_path / 'lazy.py').write_text(LAZY)
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data' / 'a.jpg').touch()
    options = ['--work-dir', tmp_path / 'run', '--cfg-options', f'data_root={tmp_path / "data"}']
    printed, imported = run(root, 'train', tmp_path / 'lazy.py', *options)
    assert printed.splitlines()[-1] == f'1 images in {tmp_path / "data"} (1 .jpg)'
    assert imported == []
