"""What `wamim pretrain` refuses before it looks at an image, and what it says."""

import os
import shlex
import subprocess
import sys
from types import SimpleNamespace

import cv2
import pytest
import torch
from mmengine.config import Config

from wamim_mm.cli import pretrain
from wamim_mm.cli.pretrain import go_on, parse_args, refuse_other_files


@pytest.mark.parametrize(
    ('options', 'said'),
    [
        (['--epochs', '99999999999999'], '--epochs 99999999999999: must be 100000 at most'),
        (['--img-size', '100000'], '--img-size 100000: must be 1024 at most'),
        (['--out', ''], '--out: give a folder'),
    ],
)
def test_numbers_that_no_run_has(monkeypatch, capsys, options, said):
    monkeypatch.setattr(sys, 'argv', ['wamim pretrain', '--data', 'd', *options])
    with pytest.raises(SystemExit) as ended:
        parse_args()
    assert ended.value.code == 2 and said in capsys.readouterr().err


def test_the_command_that_goes_on_can_be_pasted(tmp_path):
    out = tmp_path / "a run's $x"
    assert shlex.split(go_on(out)) == ['wamim', 'pretrain', '--out', str(out), '--resume']


@pytest.mark.parametrize('name', [pretrain.CONFIG, pretrain.FULL_CONFIG, pretrain.ENCODER])
def test_files_of_something_else_are_not_written_over(tmp_path, name):
    refuse_other_files(tmp_path / 'new')
    refuse_other_files(tmp_path)
    (tmp_path / name).write_text("MY = 'precious'\n")
    with pytest.raises(ValueError, match=f'holds {name} of something else, .* another --out'):
        refuse_other_files(tmp_path)


def test_a_start_that_came_to_nothing_is_no_obstacle(tmp_path):
    (tmp_path / pretrain.CONFIG).write_text(f'{pretrain.FIRST_LINE}; the same run by hand:\n"""\n')
    (tmp_path / pretrain.FULL_CONFIG).touch()
    refuse_other_files(tmp_path)


def test_the_encoder_before_stays_until_the_new_one_is_whole(tmp_path, monkeypatch):
    (tmp_path / pretrain.ENCODER).write_bytes(b'good')
    torch.save(dict(meta=dict(iter=1)), tmp_path / 'epoch_1.pth')
    (tmp_path / 'last_checkpoint').write_text('epoch_1.pth')

    def fails(*_):
        raise OSError('File too large')

    monkeypatch.setattr('wamim_mm.export.export_backbone', fails)
    with pytest.raises(OSError, match='File too large'):
        pretrain.finish(tmp_path, 'images')
    assert (tmp_path / pretrain.ENCODER).read_bytes() == b'good'

    monkeypatch.setattr(
        'wamim_mm.export.export_backbone', lambda _, out, target: out.write_bytes(b'new')
    )
    pretrain.finish(tmp_path, 'images')
    assert (tmp_path / pretrain.ENCODER).read_bytes() == b'new'
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [pretrain.ENCODER, 'epoch_1.pth', 'last_checkpoint']
    )


def test_labelled_images_lack_those_of_a_class(tmp_path, monkeypatch):
    """The probe would have a class that nothing is of."""
    image = torch.zeros(8, 8, 3, dtype=torch.uint8).numpy()
    data, labelled, out = (tmp_path / name for name in ('data', 'labelled', 'out'))
    for folder in ('train/cats', 'train/dogs', 'val/cats'):
        (labelled / folder).mkdir(parents=True)
    data.mkdir()
    cv2.imwrite(str(data / '0.png'), image)
    cv2.imwrite(str(labelled / 'train/cats/0.png'), image)
    options = ['--data', data, '--probe', labelled, '--out', out]
    monkeypatch.setattr(sys, 'argv', ['wamim pretrain', *map(str, options)])
    with pytest.raises(FileNotFoundError, match=r"train/dogs' has no image, .* or remove it"):
        pretrain.plan(parse_args())
    assert not out.exists()


@pytest.fixture
def planned(tmp_path, monkeypatch):
    """A work dir, as it is when the first step is about to be tried out, and what to call then."""
    (tmp_path / 'data').mkdir()
    for i in range(17):
        cv2.imwrite(str(tmp_path / f'data/{i}.png'), torch.zeros(32, 32, 3).byte().numpy())
    trial = SimpleNamespace(batch_size=8, seconds=0.01, parameters=1_000_000, memory=1)
    monkeypatch.setattr('wamim_mm.evaluation.trial.try_steps', lambda *_: trial)

    def call(*options):
        given = ['--data', tmp_path / 'data', '--out', tmp_path / 'out', *options]
        monkeypatch.setattr(sys, 'argv', ['wamim pretrain', *map(str, given)])
        return pretrain.plan(parse_args())

    return call


def test_a_run_that_is_killed_before_it_trains_keeps_its_options(planned):
    """Those of this start, and not those of one before."""
    for ratio in (0.6, 0.7):
        out = planned('--cfg-options', f'model.mask_ratio={ratio}')
        whole = Config.fromfile(out / pretrain.FULL_CONFIG)
        assert whole.model.mask_ratio == ratio
        assert whole.train_cfg == Config.fromfile(out / pretrain.CONFIG).train_cfg


def test_a_work_dir_in_use_keeps_its_config(planned, root, tmp_path):
    out = planned()
    before = (out / pretrain.CONFIG).read_text()
    # This process has it now; another start is another process.
    options = ['--data', tmp_path / 'data', '--out', out, '--epochs', '3']
    code = 'from wamim_mm.cli.pretrain import main; main()'
    done = subprocess.run(
        [sys.executable, '-c', code, *map(str, options)],
        env=dict(os.environ, PYTHONPATH=str(root)),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 2 and 'wait for its end, or choose another --out' in done.stderr
    assert (out / pretrain.CONFIG).read_text() == before


@pytest.mark.parametrize(('began', 'kept'), [(False, 'before'), (True, 'changed')])
def test_a_resume_that_is_refused_changes_nothing(planned, monkeypatch, began, kept):
    out = planned()
    text = (out / pretrain.FULL_CONFIG).read_text()

    def train(cfg, *_, hooks, **__):
        (out / pretrain.FULL_CONFIG).write_text('changed')  # as the Runner does at first
        hooks[0].began = began
        raise ValueError('the checkpoint does not fit the model')

    monkeypatch.setattr(pretrain, 'train', train)
    monkeypatch.setattr(sys, 'argv', ['wamim pretrain', '--out', str(out), '--resume', '--debug'])
    with pytest.raises(ValueError, match='does not fit'):
        pretrain.main()
    now = (out / pretrain.FULL_CONFIG).read_text()
    assert now == dict(before=text, changed='changed')[kept]


def test_the_scenes_of_a_run_that_was_moved(tmp_path):
    def data(path):
        cfg = Config(dict(custom_hooks=[dict(type='ProbeHook', data=str(path))]))
        pretrain.use_own_scenes(cfg, tmp_path / 'run')
        return cfg.custom_hooks[0].data

    before = tmp_path / 'before/scenes'
    assert data(before) == str(before)  # they are nowhere
    (tmp_path / 'run/scenes').mkdir(parents=True)
    assert data(before) == str(tmp_path / 'run/scenes')
    assert data(tmp_path / 'gone/images') == str(tmp_path / 'gone/images')
    before.mkdir(parents=True)
    assert data(before) == str(before)


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        ('train_dataloader.batch_size=0', 'batch_size must be a number from 1 on'),
        ('train_dataloader.batch_size=64', '17 images do not fill one batch'),
        ('train_cfg.max_epochs=0', 'max_epochs=0: must be a whole number above 0'),
        ('optim_wrapper.clip_grad.max_norm=-3', 'max_norm must be above 0, got -3'),
        ('model.mask_ratio=1.0', 'mask_ratio must be between 0 and 1'),
        ('model.target_generator.wavelet=db99', "unknown wavelet 'db99'"),
        ('model.mask_ratoi=0.5', 'did you mean model.mask_ratio'),
    ],
)
def test_options_are_refused_before_the_trial(tmp_path, monkeypatch, option, message):
    (tmp_path / 'data').mkdir()
    for i in range(17):
        cv2.imwrite(str(tmp_path / f'data/{i}.png'), torch.zeros(32, 32, 3).byte().numpy())
    options = ['--data', tmp_path / 'data', '--out', tmp_path / 'out', '--cfg-options', option]
    monkeypatch.setattr(sys, 'argv', ['wamim pretrain', *map(str, options)])
    monkeypatch.setattr('wamim_mm.evaluation.trial.try_steps', lambda *_: pytest.fail('tried'))
    with pytest.raises(ValueError, match=message):
        pretrain.plan(parse_args())
    assert not (tmp_path / 'out').exists()
