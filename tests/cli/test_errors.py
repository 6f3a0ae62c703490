"""A mistake ends in one line and exit code 2; a failure in the middle of a run does not."""

import sys
from pickle import UnpicklingError
from types import SimpleNamespace

import pytest
import torch
from mmdet import models  # noqa: F401  (fills its registry)
from mmengine.registry import MODELS

from wamim_mm.cli.errors import CommandParser, command, explain, note_first_step, share
from wamim_mm.hooks.finite_weights import FiniteWeightsHook
from wamim_mm.ops.masking import num_visible_units


@pytest.fixture(autouse=True)
def name(monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['tools/train.py'])


def failing(error, began=False):
    @command
    def main():
        if began:
            note_first_step()
        raise error

    return main


def test_one_line_and_code_2(capsys):
    with pytest.raises(SystemExit) as stopped:
        failing(ValueError('the lr is high, got 7'))()
    assert stopped.value.code == 2
    assert capsys.readouterr().err == 'train.py: the lr is high, got 7\n'


def test_other_processes_say_which(capsys, monkeypatch):
    monkeypatch.setenv('RANK', '3')
    with pytest.raises(SystemExit):
        failing(ValueError('no'))()
    assert capsys.readouterr().err == 'train.py (process 3): no\n'


def test_tracebacks_where_they_help(monkeypatch):
    with pytest.raises(ValueError, match='no'):
        failing(ValueError('no'), began=True)()
    with pytest.raises(SystemExit):  # the next command begins anew
        failing(ValueError('no'))()
    monkeypatch.setattr(sys, 'argv', ['tools/train.py', '--debug'])
    with pytest.raises(ValueError, match='no'):
        failing(ValueError('no'))()


def test_numbers_that_are_not_finite_end_in_one_line(capsys):
    model = torch.nn.Linear(1, 1)
    torch.nn.init.constant_(model.weight, float('nan'))
    run = SimpleNamespace(model=model, iter=7, work_dir='run')

    @command
    def main():
        note_first_step()
        FiniteWeightsHook().before_save_checkpoint(run, {})

    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 1
    said = capsys.readouterr().err
    assert said.startswith('train.py: by iteration 7 1 weights are not finite')
    assert said.count('\n') == 1
    with pytest.raises(FloatingPointError):  # of somebody else
        failing(FloatingPointError('no'), began=True)()


def test_ends_that_are_no_errors_pass():
    with pytest.raises(SystemExit) as ended:
        failing(SystemExit(75))()
    assert ended.value.code == 75


def test_ctrl_c_is_one_line(capsys, monkeypatch):
    with pytest.raises(SystemExit) as ended:
        failing(KeyboardInterrupt())()
    assert ended.value.code == 130 and capsys.readouterr().err.endswith(': interrupted\n')
    monkeypatch.setattr(sys, 'argv', [*sys.argv, '--debug'])
    with pytest.raises(KeyboardInterrupt):
        failing(KeyboardInterrupt())()


def said(function, *arguments):
    try:
        function(*arguments)
    except Exception as error:
        return explain(error)


def test_what_our_code_says_is_printed_whole():
    assert said(num_visible_units, (7, 7), 2).startswith('mask_ratio must be between 0 and 1')


def test_the_error_of_a_data_worker():
    """Short memory is not taken for a full disk, and the end of the worker's traceback is shown."""
    text = (
        'Caught RuntimeError in DataLoader worker process 0.\nOriginal Traceback (most recent '
        'call last):\n  File "worker.py", line 3\nRuntimeError: unable to allocate shared '
        'memory(shm) for file </torch_1>: No space left on device (28)'
    )
    line = explain(RuntimeError(text))
    assert '--shm-size' in line and 'Traceback' not in line
    assert line.endswith(
        '(unable to allocate shared memory(shm) for file </torch_1>: No space left on device (28))'
    )


def test_other_errors_get_their_name_and_place():
    line = said(torch.zeros(2).view, 3)
    assert line.startswith("RuntimeError: shape '[3]' is invalid")
    assert 'test_errors.py, line ' in line and line.endswith('--debug shows how it got there)')
    assert said({}.__getitem__, 'a').startswith('KeyError: a (')


def test_one_line_of_many():
    def fail(error):
        raise error

    assert said(fail, OSError('a\n  b')) == 'a b'
    assert len(said(fail, UnpicklingError('x' * 10_000))) < 700
    worker = 'Caught ValueError in DataLoader worker process 0.\nOriginal Traceback:\nValueError: x'
    assert said(fail, ValueError(worker)) == 'x'
    memory = said(fail, RuntimeError('CUDA out of memory. Tried to allocate 2 GiB'))
    assert memory.startswith('not enough memory for a step: set train_dataloader.batch_size')


def test_unknown_types():
    with MODELS.switch_scope_and_registry('mmpretrain') as registry:
        for name, hint in (
            ('WaMIMM', "did you mean 'WaMIM'?"),
            ('MaskRCNN', "did you mean 'mmdet.MaskRCNN'?"),
            ('Xyzzyxy', 'in custom_imports=dict(imports=[...])'),
        ):
            line = said(registry.build, dict(type=name))
            assert line.startswith(f"type='{name}': no class of this name is registered in mmpre")
            assert line.endswith(hint)


def test_the_parser_answers_in_one_line(capsys):
    parser = CommandParser(prog='train.py')
    parser.add_argument('config')
    with pytest.raises(SystemExit) as stopped:
        parser.parse_args(['a', 'b'])
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert said == 'train.py: unrecognized arguments: b; see train.py --help\n'


def test_a_share(capsys):
    parser = CommandParser(prog='train.py')
    parser.add_argument('--part', type=share)
    assert [parser.parse_args(['--part', x]).part for x in ('0', '0.25', '1')] == [0, 0.25, 1]
    for wrong in ('30', '-0.1', 'nan', 'all'):
        with pytest.raises(SystemExit):
            parser.parse_args([f'--part={wrong}'])
        assert f"must be a number from 0 to 1, got '{wrong}'" in capsys.readouterr().err
