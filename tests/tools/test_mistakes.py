"""Every mistake of the table is answered with its line, soon."""

import re
import shutil

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS

from ..mistakes import ROOT, answer
from ..mistakes_page import PAGE, page
from ..mistakes_table import MISTAKES, VIT


class Hostile:
    def __reduce__(self):
        import os

        return os.system, ('true',)


@pytest.fixture(scope='session')
def places(scenes, tmp_path_factory):
    """What the names in braces stand for."""
    files, few = (tmp_path_factory.mktemp(name) for name in ('files', 'few'))
    for picture in sorted(scenes.glob('train/*/*.jpg'))[:3]:
        shutil.copy(picture, few)
    (files / 'notes.txt').write_text('notes')
    (files / 'broken.py').write_text('model = dict(\n')
    base = f"_base_ = '{ROOT / VIT}'\n"
    (files / 'imports.py').write_text(f"{base}custom_imports = dict(imports=['nothing_there'])\n")
    (files / 'validates.py').write_text(
        f'{base}val_dataloader = {{{{_base_.train_dataloader}}}}\n'
        "val_cfg = dict()\nval_evaluator = dict(type='Accuracy')\n"
    )
    torch.save({'state_dict': {'a': torch.zeros(3)}, 'meta': {}}, files / 'foreign.pth')
    torch.save({'state_dict': Hostile()}, files / 'hostile.pth')
    init_default_scope('mmpretrain')  # which another test may have left as another
    model = MODELS.build(Config.fromfile(ROOT / VIT).model)
    torch.save({'state_dict': model.state_dict()}, files / 'weights.pth')
    (files / 'cut.pth').write_bytes((files / 'foreign.pth').read_bytes()[:500])
    (files / 'page.pth').write_text('<html>not found</html>')
    (files / 'empty.pth').touch()
    return dict(data=scenes, few=few, files=files)


def same(given: str, expected: str) -> bool:
    """Whether a line is the expected one, in which ``...`` stands for any text."""
    pattern = '.+'.join(map(re.escape, expected.split('...')))
    return re.fullmatch(pattern, given, re.DOTALL) is not None


@pytest.mark.parametrize('mistake', MISTAKES, ids=lambda mistake: mistake.what)
def test_mistakes(mistake, places, tmp_path):
    run = (
        f'--work-dir {tmp_path}/run --cfg-options data_root={places["data"]} '
        'train_dataloader.num_workers=0 train_dataloader.persistent_workers=False'
    )
    command = mistake.command.format(run=run, **places)
    given = answer(command, mistake.light, tmp_path / 'log')
    script = mistake.command.split()[0]
    expected = f'{script}.py: {mistake.answer.format(run=run, **places)}'
    assert same(given.line, expected), given.line
    assert given.code == 2 and '\n' not in given.line
    assert not given.imported
    assert not list(tmp_path.glob('run/*.pth'))


def test_debug_shows_the_traceback(tmp_path):
    for light in (True, False):
        given = answer('train no.py --debug', light, tmp_path / 'log')
        assert given.code == 1 and given.line.startswith('Traceback')
        assert "FileNotFoundError: config 'no.py' does not exist" in given.line


def test_the_page_is_the_written_one():
    assert PAGE.read_text() == page(), 'run python -m tests.mistakes_page'
