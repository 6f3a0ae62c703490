"""tools/train.py, from the built-in scenes to a checkpoint and on from there, and its errors."""

import json
import os
import shutil
import signal
import subprocess
import sys

import pytest
import torch

from .commands import TINY, run, steps, train


@pytest.mark.parametrize(('name', 'levels'), [('vit', (2, 3, 4, 5)), ('swin', (3, 4, 5))])
def test_train_resume_and_repeat(root, scenes, tmp_path, name, levels):
    config = f'configs/demo/wamim_{name}.py'
    options = [f'data_root={scenes}', *TINY, 'train_cfg.max_epochs=2']
    options += ['default_hooks.checkpoint.max_keep_ckpts=2']
    done = train(root, config, tmp_path / 'a', options=options)
    assert done.returncode == 0, done.stdout + done.stderr
    logged = steps(tmp_path / 'a')
    assert [entry['step'] for entry in logged] == list(range(1, 13))
    assert [f'loss_level{level}' for level in levels] == sorted(
        key for key in logged[0] if key.startswith('loss_level')
    )

    # The seed reaches the data, the masks and the weights: the same again, with workers too.
    # Stopped after the first epoch, it goes on with the second as if it had not been.
    (tmp_path / 'b').mkdir()
    shutil.copy(tmp_path / 'a' / 'epoch_1.pth', tmp_path / 'b')
    (tmp_path / 'b' / 'last_checkpoint').write_text(str(tmp_path / 'b' / 'epoch_1.pth'))
    workers = ['train_dataloader.num_workers=2', 'train_dataloader.persistent_workers=True']
    on = train(root, config, tmp_path / 'b', '--resume', options=[*options, *workers])
    assert on.returncode == 0, on.stdout + on.stderr
    assert [(e['step'], e['loss']) for e in steps(tmp_path / 'b')] == [
        (entry['step'], entry['loss']) for entry in logged[6:]
    ]
    first, second = (
        torch.load(tmp_path / place / 'epoch_2.pth', weights_only=False) for place in 'ab'
    )
    assert first['meta']['iter'] == second['meta']['iter'] == 12
    assert first['state_dict'].keys() == second['state_dict'].keys()
    for name, tensor in first['state_dict'].items():
        assert torch.equal(tensor, second['state_dict'][name]), name


def test_the_screen_starts_with_what_matters(root, scenes, tmp_path):
    """The log file has all the rest. In mixed precision, which works on a CPU too."""
    config = 'configs/demo/wamim_vit.py'
    options = [f'data_root={scenes}', *TINY]
    done = train(root, config, tmp_path, '--amp', options=options)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith('8 -> 1 epochs: LinearLR end 1 -> 0.125; CosineAnnealingLR begin')
    assert lines[1] == f'{config} -> {tmp_path}'
    assert lines[2] == f'48 images in {scenes}/train (48 .jpg)'
    assert lines[3].endswith('too short in this run, and left out: LinearLR from 0 to 1')
    assert 'a step has 8 images, and the learning rate 0.001 is of a recipe with 32' in lines[4]
    assert 'Checkpoints will be saved to' in lines[5] and 'Epoch(train) [1][1/6]' in lines[6]
    (log,) = tmp_path.glob('*/*.log')
    for rest in (
        'System environment',
        'default_scope = ',
        'Hooks will be executed',
        'weight_decay=0.0',
        "type='CPUAmpOptimWrapper'",
    ):
        assert rest in log.read_text() and rest not in done.stdout


def test_ctrl_c_saves(root, scenes, tmp_path):
    """Sent to the whole group of processes, workers included, as a terminal does."""
    options = [f'data_root={scenes}', *TINY, 'train_cfg.max_epochs=500']
    options += ['train_dataloader.num_workers=2', 'train_dataloader.persistent_workers=True']
    command = [sys.executable, 'tools/train.py', 'configs/demo/wamim_vit.py']
    command += ['--work-dir', str(tmp_path), '--cfg-options', *options]
    process = subprocess.Popen(
        command, cwd=root, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    for line in process.stdout:
        if 'Epoch(train)' in line:
            break
    os.killpg(process.pid, signal.SIGINT)
    rest, _ = process.communicate(timeout=120)
    assert process.returncode == 75
    assert 'SIGINT: saved' in rest and 'the same command with --resume goes on from there' in rest
    reached = torch.load(tmp_path / 'interrupted.pth', weights_only=False)['meta']['iter']
    assert f'after iteration {reached};' in rest and reached >= 1


def test_one_line_compiles(root, scenes, tmp_path):
    config, options = 'configs/demo/wamim_vit.py', [f'data_root={scenes}', *TINY]
    compiled = [*options, 'default_hooks.compile.type=CompileHook']
    compiled += ['default_hooks.compile.backend=aot_eager']  # spares the test a compiler
    losses = []
    for name, chosen in (('plain', options), ('compiled', compiled)):
        done = train(root, config, tmp_path / name, options=chosen)
        assert done.returncode == 0, done.stdout + done.stderr
        losses.append([entry['loss'] for entry in steps(tmp_path / name)])
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    checkpoints = [
        torch.load(tmp_path / name / 'epoch_1.pth', weights_only=False)['state_dict']
        for name in ('plain', 'compiled')
    ]
    assert checkpoints[0].keys() == checkpoints[1].keys()


def test_a_checkpoint_of_another_architecture_is_refused(root, scenes, tmp_path):
    options = [f'data_root={scenes}', *TINY]
    done = train(root, 'configs/demo/wamim_vit.py', tmp_path / 'vit', options=options)
    assert done.returncode == 0, done.stdout + done.stderr
    checkpoint = tmp_path / 'vit' / 'epoch_1.pth'
    for arguments, count in ((['--resume', checkpoint], 'missing'), ([], 'missing')):
        extra = [] if arguments else [f'load_from={checkpoint}']
        done = train(
            root,
            'configs/demo/wamim_swin.py',
            tmp_path / 'swin',
            *arguments,
            options=[*options, *extra],
        )
        assert done.returncode != 0
        assert 'the checkpoint does not fit the model' in done.stderr and count in done.stderr
    probe = run(
        root,
        [sys.executable, 'tools/linear_probe.py', 'configs/demo/wamim_swin.py', checkpoint]
        + ['--data-root', scenes, '--random-seeds', 1],
    )
    assert probe.returncode != 0
    assert 'the checkpoint does not fit the model' in probe.stderr


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (
            ['data_root=/no/such/place'],
            "train.py: data root '/no/such/place' does not exist; set it",
        ),
        (['model.mask_ratio=1.0'], 'mask_ratio must be between 0 and 1, both excluded, got 1.0'),
        (['model.backbone.img_size=120'], 'mask unit of 16 pixels, got 120 x 120'),
        (['model.target_generator.wavelet=hear'], "unknown wavelet 'hear'"),
    ],
)
def test_bad_input(root, scenes, tmp_path, options, message):
    options = [f'data_root={scenes}', *TINY, *options]
    done = train(root, 'configs/demo/wamim_vit.py', tmp_path, options=options)
    assert done.returncode != 0 and message in done.stderr
    assert 'Traceback' not in done.stderr


def test_an_empty_folder(root, tmp_path):
    (tmp_path / 'data' / 'train').mkdir(parents=True)
    options = [f'data_root={tmp_path / "data"}', *TINY]
    done = train(root, 'configs/demo/wamim_vit.py', tmp_path / 'run', options=options)
    assert done.returncode != 0 and 'found nothing; put images there' in done.stderr


def test_a_plain_folder_of_images_will_do(root, scenes, tmp_path):
    (tmp_path / 'data').mkdir()
    for i, picture in enumerate(sorted(scenes.glob('train/*/*.jpg'))[:16]):
        shutil.copy(picture, tmp_path / 'data' / f'{i}.jpg')
    options = [f'data_root={tmp_path / "data"}', *TINY]
    done = train(root, 'configs/demo/wamim_vit.py', tmp_path / 'run', options=options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert steps(tmp_path / 'run')[-1]['step'] == 2


def test_reconstruct_and_probe(root, scenes, tmp_path):
    options = [f'data_root={scenes}', *TINY]
    config = 'configs/demo/wamim_swin.py'
    done = train(root, config, tmp_path / 'run', options=options)
    assert done.returncode == 0, done.stdout + done.stderr
    checkpoint = tmp_path / 'run' / 'epoch_1.pth'
    picture = tmp_path / 'pictures' / 'a.png'
    done = run(
        root,
        [sys.executable, 'tools/reconstruct.py', config, checkpoint, scenes / 'val']
        + ['--count', 2, '--out', picture],
    )
    assert done.returncode == 0 and picture.stat().st_size > 10000, done.stderr
    out = tmp_path / 'probe.json'
    done = run(
        root,
        [sys.executable, 'tools/linear_probe.py', config, checkpoint, '--data-root', scenes]
        + ['--random-seeds', 1, '--out', out],
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(out.read_text())
    assert result['train_images'] == 48 and result['chance'] == pytest.approx(1 / 12)
    assert 0 <= result['pretrained'] <= 1


def test_test_needs_something_to_evaluate(root, tmp_path):
    done = run(
        root, [sys.executable, 'tools/test.py', 'configs/demo/wamim_vit.py', tmp_path / 'a.pth']
    )
    assert done.returncode != 0 and 'nothing to evaluate' in done.stderr
