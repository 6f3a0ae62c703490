"""The built-in scenes: detection, segmentation and linear probes of encoders pre-trained there.

Everything is a `tools/train.py` run of configs/study, as a user would make it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from wamim_mm.cli.curves import scalars
from wamim_mm.cli.work_dir import last_checkpoint
from wamim_mm.demo.report import scores

from .plan import SceneRun, Stage, Task

ROOT = Path(__file__).resolve().parents[2]
SCENES = 3000
# Of the runs that are probed: a fifth of them are scored, 1,200.
PROBED_SCENES = 6000


def train(stage: Stage, work: Path, threads: int | None) -> dict:
    """Run a stage, from its last checkpoint if there is one.

    Args:
        stage: What to train.
        work: The folder of the study's states.
        threads: Threads of torch in the run; None for as many as it takes.

    Returns:
        ``scores``: box and mask AP or mIoU, in percent; none for pre-training. ``curve``:
        ``[step, loss]``.

    Raises:
        FileNotFoundError: The encoder that it starts from was not pre-trained yet.
        RuntimeError: The run failed; the last line of its log says why.
        ValueError: It was not scored.
    """
    work = work.resolve()
    scenes = make_scenes(work, SCENES, threads)
    options = [] if stage.task == 'pretraining' else [start(stage, work)]
    folder = run(stage, work, [f'data_root={scenes}', *options], threads)
    found = {} if stage.task == 'pretraining' else scores(folder)
    return dict(
        scores={name: round(value, 2) for name, value in found.items()}, curve=curve(folder)
    )


def train_and_probe(task: SceneRun, work: Path, threads: int | None) -> dict:
    """Pre-train on scenes and fit a linear probe, by ``wamim probe``.

    Args:
        task: What to train.
        work: The folder of the study's states.
        threads: Threads of torch in the run; None for as many as it takes.

    Returns:
        ``scores``: the probe's accuracy and that of the encoder at random, in percent. ``curve``:
        ``[step, loss]``.

    Raises:
        RuntimeError: The run or the probe failed; the last line of its log says why.
    """
    work = work.resolve()
    scenes = make_scenes(work, PROBED_SCENES, threads)
    folder = run(task, work, [f'data_root={scenes}'], threads)
    checkpoint, out = last_checkpoint(folder), folder / 'probe.json'
    probing = ['-m', 'wamim_mm', 'probe', str(checkpoint), '--data-root', str(scenes)]
    probing += ['--random-seeds', '1', '--out', str(out)]
    call(probing, folder.with_suffix('.log'), threads)
    found = json.loads(out.read_text())
    shares = {name: round(100 * found[name], 2) for name in ('pretrained', 'random')}
    return dict(scores=shares, curve=curve(folder))


def make_scenes(work: Path, count: int, threads: int | None) -> Path:
    """The folder of so many scenes, drawn unless they are there."""
    folder = work / f'scenes_{count}'
    if not (folder / 'classes.json').is_file():
        drawing = ['-m', 'wamim_mm.data.scenes', str(folder), '--images', str(count)]
        call(drawing, folder.with_suffix('.log'), threads)
    return folder


def run(task: Task, work: Path, options: list[str], threads: int | None) -> Path:
    """Train a task's config, from its last checkpoint if there is one; its work dir."""
    folder = work / task.key
    config = ROOT / 'configs' / f'{task.config}.py'
    command = ['tools/train.py', str(config), '--work-dir', str(folder), '--resume']
    options = [*options, f'randomness.seed={task.facts["seed"]}']
    call([*command, '--cfg-options', *options], folder.with_suffix('.log'), threads)
    return folder


def curve(folder: Path) -> list[list[float]]:
    """Step and loss of a run's log lines."""
    return [[entry['step'], round(entry['loss'], 4)] for entry in scalars(folder)]


def start(stage: Stage, work: Path) -> str:
    """The option that says where a detector's or segmentor's encoder comes from."""
    if stage.source == 'scratch':
        return 'model.backbone.init_cfg=None'
    folder = work / Stage('pretraining', stage.source, stage.seed).key
    if not (folder / 'last_checkpoint').is_file():
        raise FileNotFoundError(f'no checkpoint in {folder}: its pre-training comes first')
    return f'model.backbone.init_cfg.checkpoint={last_checkpoint(folder)}'


def call(arguments: list[str], log: Path, threads: int | None) -> None:
    """Run Python in the repository's root, with so many threads of torch."""
    environment = dict(os.environ)
    if threads:
        environment['OMP_NUM_THREADS'] = str(threads)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open('a') as out:
        done = subprocess.run(
            [sys.executable, *arguments], cwd=ROOT, env=environment, stdout=out, stderr=out
        )
    if done.returncode:
        raise RuntimeError(f'{arguments[0]}: {log.read_text().splitlines()[-1]}')
