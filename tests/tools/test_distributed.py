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
    assert time.monotonic() - started < 120  # mostly imports


@pytest.mark.parametrize('name', ['dist_train', 'dist_test', 'slurm_train', 'slurm_test'])
def test_usage(root, name):
    done = run(root, ['bash', f'tools/{name}.sh'])
    assert done.returncode == 2 and f'tools/{name}.sh' in done.stderr


@pytest.mark.parametrize(
    ('name', 'arguments'),
    [('dist_train', ['a.py', '8', '--amp']), ('dist_test', ['a.py', 'b.pth', '8', '--amp'])],
)
def test_torchrun_command(root, name, arguments):
    """What is handed to our torchrun, which reads the rest from the environment."""
    environment = dict(os.environ, PYTHON='echo')
    done = run(root, ['bash', f'tools/{name}.sh', *arguments], environment)
    assert done.returncode == 0, done.stderr
    script = 'train.py a.py' if name == 'dist_train' else 'test.py a.py b.pth'
    assert done.stdout.startswith('-m wamim_mm.cli.torchrun --nproc_per_node=8 ')
    assert f'{script} --launcher pytorch --amp' in done.stdout


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
    assert ('--signal=USR1@300' in done.stdout) == (name == 'slurm_train')


SRUN = """#!/bin/sh
# Writes its arguments; ends as the next line of the plan says: what the run notes, and its code.
echo "$@" >> calls
read -r note code < plan
sed -i 1d plan
if [ "$note" != none ]; then echo "$note" > "$WAMIM_SAVED"; fi
exit "$code"
"""


@pytest.mark.parametrize(
    ('plan', 'job', 'code', 'resumed', 'requeued'),
    [
        # Without a batch job another srun goes on, until the run ends.
        (['again 0', 'again 0', 'none 0'], {}, 0, [0, 1, 1], False),
        # Also where the note came through and then a process was killed in its last moments.
        (['again 137', 'none 1'], {}, 1, [0, 1], False),
        # Ctrl-C, scancel: it has saved, and that is all.
        (['end 0'], {}, 75, [0], False),
        (['none 3'], {}, 3, [0], False),
        # A batch job is put back into the queue, and goes on when it comes again.
        (['again 0'], dict(SLURM_JOB_ID='7'), 75, [0], True),
        (['end 0'], dict(SLURM_JOB_ID='7'), 75, [0], False),
        (['none 0'], dict(SLURM_JOB_ID='7', SLURM_RESTART_COUNT='1'), 0, [1], False),
        # It failed: a restart goes on from what was saved; not so after a mistake or a signal.
        (['none 124', 'none 0'], dict(MAX_RESTARTS='1'), 0, [0, 1], False),
        (['none 1', 'none 137'], dict(MAX_RESTARTS='1'), 137, [0, 1], False),
        (['none 2'], dict(MAX_RESTARTS='1'), 2, [0], False),
        (['none 143'], dict(MAX_RESTARTS='1'), 143, [0], False),
    ],
)
def test_slurm_goes_on(root, tmp_path, plan, job, code, resumed, requeued):
    for name, text in (('srun', SRUN), ('scontrol', '#!/bin/sh\necho "$@" > requeued\n')):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / 'plan').write_text('\n'.join(plan) + '\n')
    (tmp_path / 'place').mkdir()
    (tmp_path / 'place' / '.saved').write_text('again')  # of an earlier job
    environment = {k: v for k, v in os.environ.items() if not k.startswith('SLURM')}
    environment |= dict(job, PATH=f'{tmp_path}:{os.environ["PATH"]}', STOP_BEFORE='60')
    done = subprocess.run(
        ['bash', root / 'tools/slurm_train.sh', 'gpu', 'name', 'a.py', 'place', '--amp'],
        cwd=tmp_path,
        env=environment,
        timeout=20,
    )
    assert done.returncode == code
    calls = (tmp_path / 'calls').read_text().splitlines()
    assert [call.count('--resume') for call in calls] == resumed
    assert all('--signal=USR1@60 ' in call and ' --amp' in call for call in calls)
    assert (tmp_path / 'requeued').exists() == requeued
    assert not requeued or (tmp_path / 'requeued').read_text() == 'requeue 7\n'
