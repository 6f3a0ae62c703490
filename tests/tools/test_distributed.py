"""Two processes with gloo on the CPU."""

import fcntl
import json
import os
import subprocess
import sys
import time

import pytest

from .commands import TINY, run


@pytest.mark.parametrize('name', ['vit', 'swin'])
def test_gradients_equal_one_process_with_the_doubled_batch(root, name):
    done = subprocess.run(
        [sys.executable, '-m', 'torch.distributed.run', '--nproc_per_node=2', '--master_port=29611']
        + ['tests/tools/gradients.py', f'configs/demo/wamim_{name}.py'],
        cwd=root,
        env=dict(os.environ, PYTHONPATH=str(root), OMP_NUM_THREADS='1'),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count('gradients agree') == 2


def test_dist_train(root, scenes, tmp_path):
    """The line that users type, with two processes; each of them sees its half of the data."""
    environment = dict(os.environ, PORT='29612', PYTHON=sys.executable, OMP_NUM_THREADS='1')
    command = ['bash', 'tools/dist_train.sh', 'configs/demo/wamim_vit.py', '2']
    done = run(
        root,
        command + ['--work-dir', tmp_path, '--cfg-options', f'data_root={scenes}', *TINY],
        environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (file,) = tmp_path.glob('*/vis_data/scalars.json')
    steps = [json.loads(line) for line in file.read_text().splitlines()]
    assert steps[-1]['step'] == 3  # 48 images, 2 processes, batches of 8
    assert (tmp_path / 'epoch_1.pth').is_file()
    # A second run there is refused, and the process that does not ask for the lock ends too.
    with (tmp_path / 'train.lock').open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        started = time.monotonic()
        done = run(root, [*command, '--work-dir', tmp_path, '--resume'], environment)
    assert done.returncode != 0 and f'{tmp_path} is in use by process' in done.stderr
    assert time.monotonic() - started < 60


@pytest.mark.parametrize('name', ['dist_train', 'dist_test', 'slurm_train', 'slurm_test'])
def test_usage(root, name):
    done = run(root, ['bash', f'tools/{name}.sh'])
    assert done.returncode == 2 and f'tools/{name}.sh' in done.stderr


@pytest.mark.parametrize('name', ['slurm_train', 'slurm_test'])
def test_slurm_command(root, tmp_path, name):
    """What is handed to srun."""
    (tmp_path / 'srun').write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / 'srun').chmod(0o755)
    environment = dict(os.environ, PATH=f'{tmp_path}:{os.environ["PATH"]}', GPUS='16')
    arguments = ['gpu', 'my-job', 'a.py', 'place', '--amp']
    done = run(root, ['bash', f'tools/{name}.sh', *arguments], environment)
    assert done.returncode == 0, done.stderr
    for part in (
        '-p gpu',
        '--ntasks=16',
        '--gres=gpu:8',
        'a.py',
        'place',
        '--launcher slurm --amp',
    ):
        assert part in done.stdout
