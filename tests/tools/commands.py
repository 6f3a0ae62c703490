"""Running the project's commands, and what they leave behind."""

import json
import subprocess
import sys

import torch
from mmpretrain.registry import MODELS

from .. import forked

# The pre-training configs of the demo, as short as can be.
TINY = [
    'train_cfg.max_epochs=1',
    'train_dataloader.batch_size=8',
    'train_dataloader.num_workers=0',
    'train_dataloader.persistent_workers=False',
    'default_hooks.logger.interval=1',
]


def run(root, command, environment=None):
    """Run a command in the repository; return its output."""
    if command[0] == sys.executable and environment is None:  # a script of tools/
        return forked.run(command[1:])
    return subprocess.run(
        [str(part) for part in command],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        timeout=1200,
    )


def train(root, config, work_dir, *arguments, options=()):
    """Run tools/train.py; return its output."""
    command = [sys.executable, 'tools/train.py', config, '--work-dir', work_dir, *arguments]
    return run(root, [*command, '--cfg-options', *options])


def steps(work_dir):
    """The logged steps of all runs in a work dir, in the order of the runs."""
    lines = []
    for file in sorted(work_dir.glob('*/vis_data/scalars.json')):
        lines += [json.loads(line) for line in file.read_text().splitlines()]
    return lines


def score(root, config, work_dir, options):
    """What tools/test.py makes of the last checkpoint of a work dir."""
    checkpoint = work_dir / (work_dir / 'last_checkpoint').read_text()
    done = run(
        root,
        [sys.executable, 'tools/test.py', config, checkpoint, '--work-dir', work_dir / 'test']
        + ['--out', work_dir / 'metrics.json', '--cfg-options', *options],
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((work_dir / 'metrics.json').read_text())


def save_encoder(config, path):
    """Write what pre-training would have written; return the number of its float tensors."""
    encoder = MODELS.build(config)
    encoder.init_weights()
    state = {f'backbone.{key}': tensor for key, tensor in encoder.state_dict().items()}
    torch.save({'state_dict': state}, path)
    return sum(tensor.is_floating_point() for tensor in state.values())
