"""Detection and segmentation on the built-in scenes, from encoders pre-trained there.

Every stage is a `tools/train.py` run of configs/study/transfer, as a user would make it.
"""

import os
import subprocess
import sys
from pathlib import Path

from wamim_mm.cli.curves import scalars
from wamim_mm.cli.work_dir import last_checkpoint
from wamim_mm.demo.report import scores

from .plan import Stage

ROOT = Path(__file__).resolve().parents[2]
SCENES = 3000


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
    scenes, folder = work / 'scenes', work / stage.key
    environment = dict(os.environ)
    if threads:
        environment['OMP_NUM_THREADS'] = str(threads)
    if not (scenes / 'classes.json').is_file():
        making = ['-m', 'wamim_mm.data.scenes', str(scenes), '--images', str(SCENES)]
        call(making, work / 'scenes.log', environment)
    options = [f'data_root={scenes}', f'randomness.seed={stage.seed}']
    if stage.task != 'pretraining':
        options.append(start(stage, work))
    config = ROOT / 'configs' / f'{stage.config}.py'
    command = ['tools/train.py', str(config), '--work-dir', str(folder), '--resume']
    call([*command, '--cfg-options', *options], folder.with_suffix('.log'), environment)

    found = {} if stage.task == 'pretraining' else scores(folder)
    return dict(
        scores={name: round(value, 2) for name, value in found.items()},
        curve=[[entry['step'], round(entry['loss'], 4)] for entry in scalars(folder)],
    )


def start(stage: Stage, work: Path) -> str:
    """The option that says where a detector's or segmentor's encoder comes from."""
    if stage.source == 'scratch':
        return 'model.backbone.init_cfg=None'
    folder = work / Stage('pretraining', stage.source, stage.seed).key
    if not (folder / 'last_checkpoint').is_file():
        raise FileNotFoundError(f'no checkpoint in {folder}: its pre-training comes first')
    return f'model.backbone.init_cfg.checkpoint={last_checkpoint(folder)}'


def call(arguments: list[str], log: Path, environment: dict[str, str]) -> None:
    """Run Python in the repository's root."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open('a') as out:
        done = subprocess.run(
            [sys.executable, *arguments], cwd=ROOT, env=environment, stdout=out, stderr=out
        )
    if done.returncode:
        raise RuntimeError(f'{arguments[0]}: {log.read_text().splitlines()[-1]}')
