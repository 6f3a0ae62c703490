"""What the documents tell to run: Python runs, command lines are held against the commands.

Blocks are found, not listed: a new one is tested without further doing. Command lines are those of
blocks in README.md, CONTRIBUTING.md and docs/, and of the docstrings of configs and commands.
"""

import argparse
import ast
import importlib
import itertools
import os
import re
import shlex
import subprocess
import sys
from importlib.util import resolve_name
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from wamim_mm.__main__ import COMMANDS
from wamim_mm.cli.arguments import check_arguments, check_values
from wamim_mm.cli.checks import read_config
from wamim_mm.cli.options import check_options

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / 'README.md', ROOT / 'CONTRIBUTING.md', *sorted(ROOT.glob('docs/*.md'))]
# Its commands are mistakes; tests/tools/test_mistakes.py makes them.
DOCUMENTS.remove(ROOT / 'docs/troubleshooting.md')
#: (Document, first line of a block) -> why it is not run.
EXEMPT = {('CONTRIBUTING.md', 'wamim_mm/'): 'a drawing of the folders'}
#: What Python blocks use and do not define.
GIVEN = 'import torch\nimages = torch.rand(2, 3, 64, 64)\n'
#: Commands of these configs are run as they stand, on a few small images in place of DIR.
SMALL = ('configs/demo/wamim_vit_cifar10.py', 'configs/demo/mfm_r18_cifar10.py')
#: Scripts of the shell -> the command behind it, and the place of the config among the arguments.
SHELL = {
    'tools/dist_train.sh': ('tools/train.py', 'CONFIG GPUS'),
    'tools/dist_test.sh': ('tools/test.py', 'CONFIG CHECKPOINT GPUS'),
    'tools/slurm_train.sh': ('tools/train.py', 'PARTITION JOB CONFIG WORK_DIR'),
    'tools/slurm_test.sh': ('tools/test.py', 'PARTITION JOB CONFIG CHECKPOINT'),
}


class Block(NamedTuple):
    """A block of a document, or the command lines of a docstring."""

    document: str
    line: int
    language: str
    text: str

    @property
    def key(self):
        return self.document, self.text.splitlines()[0]


def blocks_of(path: Path) -> list[Block]:
    name, text = str(path.relative_to(ROOT)), path.read_text()
    if path.suffix == '.py':
        lines = (ast.get_docstring(ast.parse(text)) or '').splitlines()
        lines = [line.strip() for line in lines]
        commands = [line for line in lines if re.match(r'(\w+=\S+ )*(python|tools/\S+\.sh) ', line)]
        return [Block(name, 1, '', '\n'.join(commands))] if commands else []
    return [
        Block(name, text[: found.start()].count('\n') + 1, found[1], found[2])
        for found in re.finditer(r'^```(\w*)\n(.*?)^```$', text, re.MULTILINE | re.DOTALL)
    ]


BLOCKS = [block for path in DOCUMENTS for block in blocks_of(path)]
DOCSTRINGS = [
    block
    for folder in ('configs', 'wamim_mm/cli', 'wamim_mm/demo')
    for path in sorted((ROOT / folder).rglob('*.py'))
    for block in blocks_of(path)
]


def chosen(blocks, *languages):
    return [
        pytest.param(block, id=f'{block.document}:{block.line}')
        for block in blocks
        if block.language in languages and block.key not in EXEMPT
    ]


def test_exemptions_are_used():
    assert EXEMPT.keys() <= {block.key for block in BLOCKS}
    assert len(chosen(BLOCKS, 'python')) >= 3 and len(chosen(BLOCKS, '')) >= 20
    assert len(DOCSTRINGS) >= 40
    # Text is what a command has printed.
    assert {block.language for block in BLOCKS} <= {'', 'python', 'text'}


@pytest.mark.parametrize('block', chosen(BLOCKS, 'python'))
def test_python(block, tmp_path):
    """In a fresh interpreter and another folder; a config's model is built."""
    (tmp_path / 'configs').symlink_to(ROOT / 'configs')
    code = GIVEN + block.text
    if re.search(r'^(model|_base_) = ', block.text, re.MULTILINE):
        (tmp_path / 'block.py').write_text(block.text)
        code = (
            'from mmengine.config import Config\n'
            'from mmengine.registry import MODELS, init_default_scope\n'
            "cfg = Config.fromfile('block.py')\n"
            'init_default_scope(cfg.default_scope)\n'
            'model = MODELS.build(cfg.model)\n'
            # A checkpoint is that of a run, which has not been made here.
            "if 'checkpoint' not in str(cfg.model): model.init_weights()\n"
        )
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def command_lines(text: str) -> list[list[str]]:
    """The words of each command: lines joined, comments dropped, every alternative one command."""
    text = re.sub(r'\\\n\s*', ' ', text)
    text = re.sub(r'\[((?:--|[A-Z])[^\[\]]*)\]', r'\1', text)  # what may be left out is given
    commands = []
    for line in text.splitlines():
        if words := shlex.split(line, comments=True):
            commands += map(list, itertools.product(*(alternatives(word) for word in words)))
    return commands


def alternatives(word: str) -> list[str]:
    found = re.search(r'\{([^{}]+,[^{}]+)\}', word)
    if not found:
        return [word]
    return [word[: found.start()] + part + word[found.end() :] for part in found[1].split(',')]


class Parsed(BaseException):
    """Takes what a command has read from its command line out of the command."""


def parse(monkeypatch, module: str, arguments: list[str]) -> argparse.Namespace:
    """What a module makes of its arguments; it goes no further."""
    command = importlib.import_module(module)
    if hasattr(command, '__path__'):
        command = importlib.import_module(f'{module}.__main__')
    monkeypatch.setattr(sys, 'argv', [module, *arguments])
    if hasattr(command, 'parse_args'):
        return command.parse_args()
    read = argparse.ArgumentParser.parse_args

    def stop(*given, **named):
        raise Parsed(read(*given, **named))

    monkeypatch.setattr(argparse.ArgumentParser, 'parse_args', stop)
    with pytest.raises(Parsed) as parsed:
        command.main()
    return parsed.value.args[0]


def module_of(script: str) -> str:
    """Where a script in tools/ has its command from."""
    return re.search(r'^from (\S+) import main', (ROOT / script).read_text(), re.MULTILINE)[1]


def check_command(monkeypatch, words: list[str]) -> None:
    """Hold a command line against what is there; an unknown program is an error."""
    while re.fullmatch(r'[A-Z0-9_]+=.*', words[0]):
        variable = words.pop(0).split('=')[0]
        readers = [*ROOT.rglob('configs/**/*.py'), *ROOT.glob('tools/*.sh')]
        assert any(variable in path.read_text() for path in readers), variable
    program, *rest = words
    if program == 'make':
        assert re.search(rf'^{rest[0]}:', (ROOT / 'Makefile').read_text(), re.MULTILINE)
    elif program == 'pip':
        extra = re.fullmatch(r'\.\[(\w+)\]', rest[1])[1]
        assert rest[0] == 'install'
        assert re.search(rf'^{extra} = \[', (ROOT / 'pyproject.toml').read_text(), re.MULTILINE)
    elif program == 'mim' and rest[0] == 'search':
        assert rest[1:] == ['wamim_mm']
    elif program == 'mim':
        # It hands all but --gpus to mmpretrain's own script.
        assert rest[:2] == ['train', 'mmpretrain'] and rest[3] == '--gpus'
        check_command(monkeypatch, ['python', 'tools/train.py', rest[2], *rest[5:]])
    elif program == 'wamim':
        args = parse(monkeypatch, resolve_name(COMMANDS[rest[0]][0], 'wamim_mm'), rest[1:])
        check_config(args)
    elif program == 'python' and rest[0] == '-m':
        parse(monkeypatch, rest[1], rest[2:])
    elif program == 'python' or program in SHELL:
        if program in SHELL:
            script, form = SHELL[program]
            assert os.access(ROOT / program, os.X_OK)
            given = dict(zip(form.split(), rest, strict=False))
            named = [given[name] for name in ('CONFIG', 'CHECKPOINT') if name in given]
            rest = [script, *named, *rest[len(given) :]]
        args = parse(monkeypatch, module_of(rest[0]), rest[1:])
        check_config(args)
    else:
        raise AssertionError(f'no test knows {program!r}; run it, or say in EXEMPT why not')


def check_config(args: argparse.Namespace) -> None:
    config = getattr(args, 'config', None)
    if config is None or config == 'CONFIG':
        return
    cfg = read_config(config)
    options = getattr(args, 'cfg_options', {})
    check_options(cfg, options)
    cfg.merge_from_dict(options)


@pytest.mark.parametrize('block', [*chosen(BLOCKS, ''), *chosen(DOCSTRINGS, '')])
def test_command_lines(block, monkeypatch):
    monkeypatch.chdir(ROOT)
    commands = command_lines(block.text)
    assert commands
    for words in commands:
        with monkeypatch.context() as patch:
            check_command(patch, words)


@pytest.mark.parametrize(
    ('wrong', 'error'),
    [
        ('wamim no', KeyError),
        ('wamim pretrain --dta DIR', SystemExit),
        ('python tools/train.py configs/no.py', FileNotFoundError),
        ('python tools/train.py configs/demo/wamim_vit.py --no-such-option', SystemExit),
        ('python tools/train.py configs/demo/wamim_vit.py --cfg-options lr=1', ValueError),
        ('python tools/no.py', FileNotFoundError),
        ('python -m benchmarks.pretrain --rouns 4', SystemExit),
        ('NO_ROOT=a tools/dist_train.sh configs/demo/wamim_vit.py 8', AssertionError),
        ('make no', AssertionError),
        ('pip install ".[no]"', AssertionError),
        ('no such program', AssertionError),
    ],
)
def test_wrong_command_lines_are_found(wrong, error, monkeypatch):
    monkeypatch.chdir(ROOT)
    (words,) = command_lines(wrong)
    with pytest.raises(error):
        check_command(monkeypatch, words)


def test_alternatives_and_what_may_be_left_out():
    text = 'a --to {x,y} \\\n    [--out B] c[0]={1} # comment'
    assert command_lines(text) == [['a', '--to', to, '--out', 'B', 'c[0]={1}'] for to in ('x', 'y')]


@pytest.fixture
def images(tmp_path):
    """Two classes of 32 x 32 pixels, a batch of them to train on."""
    draw = np.random.default_rng(0)
    for split, (name, dark), i in itertools.product(
        ('train', 'test'), (('day', 128), ('night', 0)), range(32)
    ):
        file = tmp_path / 'images' / split / name / f'{i}.png'
        file.parent.mkdir(parents=True, exist_ok=True)
        pixels = draw.integers(dark, dark + 128, size=(32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(file)
    return tmp_path / 'images'


def test_every_picture_is_shown():
    shown = {
        (path.parent / target).resolve()
        for path in DOCUMENTS
        for target in re.findall(r'!\[[^\]]+\]\(([^)]+)\)', path.read_text())
    }
    assert all(path.stat().st_size for path in shown)
    assert set(ROOT.glob('docs/images/*')) <= shown


@pytest.mark.parametrize('document', ['choosing.md', 'own-data.md'])
def test_keys_in_tables_are_arguments_of_what_configs_build(document):
    """Of a ViT's config or, in a row about it, of a Swin's."""
    rows = [row for row in (ROOT / 'docs' / document).read_text().splitlines() if row[:2] == '| ']
    found = 0
    for row in rows:
        config = f'wamim_mm::pretrain/wamim_{"swin-t" if "Swin" in row else "vit-s"}.py'
        for key in re.findall(r'`((?:model|optim_wrapper|train_\w+)\.[\w.]+)`', row):
            check_key(config, key)
            found += 1
    assert found >= 9
    with pytest.raises(ValueError, match='WaMIMDecoder has no stride;'):
        check_key('wamim_mm::pretrain/wamim_vit-s.py', 'model.neck.stride')


def check_key(config: str, key: str) -> None:
    """What a command does with the keys of --cfg-options before it builds anything."""
    cfg = read_config(config)
    check_options(cfg, {key: 4})
    new = check_values(cfg, {key: 4})
    cfg.merge_from_dict({key: 4})
    check_arguments(cfg, new)


def small(block: Block) -> bool:
    return any(config in block.text for config in SMALL)


@pytest.mark.parametrize('document', sorted({block.document for block in BLOCKS if small(block)}))
def test_small_commands_run(document, images, tmp_path, monkeypatch):
    """Those of one document one after another, as they follow from each other."""
    (tmp_path / 'configs').symlink_to(ROOT / 'configs')
    monkeypatch.chdir(tmp_path)
    for block in filter(small, BLOCKS):
        for _, script, *rest in command_lines(block.text) if block.document == document else ():
            given = [word.replace('DIR', str(images)) for word in rest]
            monkeypatch.setattr(sys, 'argv', [script, *given])
            importlib.import_module(module_of(script)).main()
