"""Configs in checkpoints are read as data, as MMEngine itself reads them."""

import math
import subprocess
import sys

import pytest
from mmengine.config import Config

from wamim_mm.saved_config import DEEPEST, backbone_config, parse_config

VALUES = {
    'number': dict(a=1, b=-2, c=1e-5, d=-1.5e300, e=0.1, f=10**30, g=True, h=None),
    'text': dict(
        a='', b="it's", c='a "quote"', d='back\\slash\n\t', e='\u00e9\U0001f600 # no', f=b'\xff'
    ),
    'sequence': dict(a=[], b=(), c=(1,), d=[1, [2, (3, 'x')]], e=[dict(a=1)]),
    'mapping': dict(a={}, b={'.ln': dict(x=1), 'a b': 2}, c={1: 'one', None: 2}),
    'nested': dict(model=dict(backbone=dict(type='A', norm_cfg=dict(type='BN'), depths=(2, 2)))),
}


@pytest.mark.parametrize('kind', VALUES)
def test_equals_what_mmengine_reads(kind):
    text = Config(VALUES[kind]).pretty_text
    assert parse_config(text) == VALUES[kind]
    assert repr(parse_config(text)) == repr(Config.fromstring(text, '.py')._cfg_dict.to_dict())


@pytest.mark.parametrize(
    'name',
    [
        'mmdet::mask2former/mask2former_swin-t-p4-w7-224_8xb2-lsj-50e_coco.py',
        'mmseg::segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py',
        'mmpretrain::mae/mae_vit-base-p16_8xb512-amp-coslr-300e_in1k.py',
    ],
)
def test_configs_of_the_libraries(name):
    from wamim_mm.cli.checks import read_config as from_file

    cfg = from_file(name)
    assert parse_config(cfg.pretty_text) == Config.fromstring(cfg.pretty_text, '.py').to_dict()


def test_what_only_this_reads():
    """Infinity, which MMEngine writes and cannot read, classes, and strings in several parts."""
    text = (
        "a = inf\nb = [-inf]\nc = nan  # a comment\nd = dict(type=torch.nn.ReLU)\ne = ('x'\n 'y')"
    )
    config = parse_config(text)
    assert math.isnan(config.pop('c'))
    assert config == dict(a=math.inf, b=[-math.inf], d=dict(type='torch.nn.ReLU'), e='xy')


HOSTILE = {
    'call': "a = open('x', 'w')",
    'method': "a = 'x'.join([])",
    'import': 'import os',
    'import in a value': "a = __import__('os')",
    'expression': 'a = 9**9**9',
    'comprehension': 'a = [x for x in ()]',
    'f-string': "a = f'{1}'",
    'base': '_base_ = open("x")',
    'positional': 'a = dict([(1, 2)])',
    'star': 'a = dict(**{})',
    'second statement': 'a = 1; b = 2',
    'no comma': 'a = [1 2]',
    'open': 'a = [',
    'open text': "a = 'x",
    'a name': 'a = b',
    'long number': 'a = ' + '9' * 100_000,
    'sum of numbers': 'a = 0xe' + '+0xe' * 200_000,
    'list as a key': 'a = {[]: 1}',
    'dict as a key': 'a = {dict(): 1}',
    'zero': 'a = "\0"\0',
    'lone surrogate': 'a = "\ud800"',
    'minuses': 'a = ' + '-' * 200_000 + '1',
    'attributes': 'a = b' + '.c' * 200_000 + '()',
    'calls': 'a = f' + '()' * 200_000,
    'indices': 'a = f' + '[0]' * 200_000,
    'additions': 'a = 1' + '+1' * 200_000,
    'lists': 'a = ' + '[' * 200_000,
    'dicts': 'a = ' + 'dict(a=' * 200_000,
}


@pytest.mark.parametrize('name', HOSTILE)
def test_programs_are_refused(name):
    """Of a few that are nested deeply, ``ast.parse`` of Python 3.10 ends the process."""
    with pytest.raises(ValueError) as error:
        parse_config(HOSTILE[name])
    assert len(str(error.value)) < 200


@pytest.mark.parametrize('value', [None, 1, b'a = 1', ['a = 1'], {}])
def test_what_is_no_text(value):
    with pytest.raises(ValueError, match='it is no text, it is a'):
        parse_config(value)


def test_how_deep():
    for depth, fine in ((DEEPEST, True), (DEEPEST + 1, False)):
        text = 'a = ' + '[' * depth + ']' * depth
        if fine:
            assert repr(parse_config(text)['a']) == '[' * depth + ']' * depth
        else:
            with pytest.raises(ValueError, match=f'nested more than {DEEPEST} deep'):
                parse_config(text)


def test_comments_take_time_in_proportion():
    assert parse_config('#' * 100_000 + '\n# b\n' * 10_000 + 'a = 1  # c\n#') == dict(a=1)
    for rest in ('#' * 100_000 + '\n', '# b\n' * 20_000, ' ' * 100_000):
        with pytest.raises(ValueError, match='where only literals'):
            parse_config(f'a = 1\n{rest}!')


def test_the_line_is_named():
    with pytest.raises(ValueError, match=r"line 3 has 'open', where only literals"):
        parse_config('a = 1\nb = dict(\n    c=open("x"))\n')


def test_the_backbone():
    text = "default_scope = 'mmdet'\nmodel = dict(backbone=dict(type='A', depth=1))"
    assert backbone_config(text) == ('mmdet', dict(type='A', depth=1))
    assert backbone_config(text.replace('depth', '_scope_')[:-3] + "'mmseg'))")[0] == 'mmseg'
    for bad in ('', 'model = 1', 'model = dict(backbone=[])', "model = dict(backbone=dict(a='b'))"):
        with pytest.raises(ValueError, match=r'it has no model\.backbone with a type'):
            backbone_config(bad)
    with pytest.raises(ValueError, match=r'the scope of its model\.backbone is no name'):
        backbone_config(text.replace("'mmdet'", '[1]'))


def test_a_large_text_takes_time_in_proportion():
    """A hundred thousand values in a few seconds, with little memory."""
    code = (
        'import resource; resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))\n'
        'from wamim_mm.saved_config import parse_config\n'
        "print(len(parse_config('a = [' + '0.5, ' * 100_000 + ']')['a']))"
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=20)
    assert done.stdout.strip() == '100000', done.stderr
