"""Where a run starts from."""

from types import SimpleNamespace

import pytest

from wamim_mm.cli import train


@pytest.fixture
def start(tmp_path, monkeypatch):
    """What `tools/train.py` makes of its arguments: resume and load_from of the config."""

    def main(*arguments, restarts=None, config=''):
        (tmp_path / 'config.py').write_text(f'model = dict()\n{config}')
        given = [str(tmp_path / 'config.py'), '--work-dir', str(tmp_path / 'run'), *arguments]
        monkeypatch.setattr('sys.argv', ['train.py', *given])
        monkeypatch.delenv('TORCHELASTIC_RESTART_COUNT', raising=False)
        if restarts is not None:
            monkeypatch.setenv('TORCHELASTIC_RESTART_COUNT', str(restarts))
        # A process takes the lock for as long as it lives, and here one has several starts.
        monkeypatch.setattr('wamim_mm.cli.work_dir._lock', lambda path: None)
        seen = []
        runner = SimpleNamespace(register_hook=lambda hook: None, train=lambda: None)
        monkeypatch.setattr(train, 'build_runner', lambda cfg, *a, **k: seen.append(cfg) or runner)
        train.main()
        return bool(seen[0].get('resume')), seen[0].get('load_from')

    return main


def test_what_goes_on_with_a_run_that_was_resumed_by_name(start, monkeypatch):
    """The same command again would go back to that checkpoint, and so never end."""
    told = []
    monkeypatch.setattr(train, 'train', lambda *_, resume_by, **__: told.append(resume_by))
    for options in ((), ('--resume',), ('--resume', 'a.pth')):
        with pytest.raises(IndexError):  # nothing was built
            start(*options)
    plain = 'the same command with --resume'
    assert told == [plain, plain, f'{plain} alone, in place of --resume a.pth,']


WEIGHTS = "load_from = 'weights.pth'"


def test_first_start(start, tmp_path, capsys):
    assert start() == start(restarts=0) == (False, None)
    assert start(config=WEIGHTS) == (False, 'weights.pth')
    assert start('--resume', 'a.pth', config=WEIGHTS) == (True, 'a.pth')
    assert 'from its beginning' not in capsys.readouterr().out
    # Where there is nothing to go on from, the beginning is that of the config.
    assert start('--resume', config=WEIGHTS) == (False, 'weights.pth')
    assert f'no checkpoint in {tmp_path / "run"}, the run starts from' in capsys.readouterr().out


def test_a_config_that_always_resumes(start, tmp_path):
    """Its first start is one as any other, with the checks of a pre-trained backbone."""
    always = 'resume = True\n'
    assert start(config=always) == (False, None)
    assert start(config=always + WEIGHTS) == (True, 'weights.pth')
    (tmp_path / 'run').mkdir()
    (tmp_path / 'run' / 'epoch_1.pth').touch()
    assert start(config=always) == (True, None)


@pytest.mark.parametrize('file', ['epoch_1.pth', 'interrupted.pth', 'last_checkpoint'])
def test_started_again_by_torchrun(start, tmp_path, file, capsys):
    # Before anything was saved; the first start has left a log.
    log = tmp_path / 'run' / '2020' / 'vis_data' / 'scalars.json'
    log.parent.mkdir(parents=True)
    log.write_text('{}')
    with pytest.raises(SystemExit):
        start(restarts=0)
    assert 'holds a run' in capsys.readouterr().err
    assert start(restarts=1, config=WEIGHTS) == (False, 'weights.pth')
    assert start('--resume', 'a.pth', restarts=1) == (True, 'a.pth')
    # What was saved since counts, not what the first start was given.
    (tmp_path / 'run' / file).touch()
    for arguments in ((), ('--resume',), ('--resume', 'a.pth')):
        assert start(*arguments, restarts=2, config=WEIGHTS) == (True, None)
