"""`make demo`: built-in data, small pre-training runs, what they are good for, and a report.

python tools/demo.py [--out work_dirs/demo]

Every stage is a command that one can run by hand; what it prints goes to a log beside its results.
A finished stage is not repeated, and an interrupted training run goes on from its last checkpoint.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from ..cli.errors import CommandParser, command
from ..cli.progress import Progress, clock
from ..cli.settings import check_folder
from ..cli.work_dir import last_checkpoint
from .report import scores, write_report

#: Links in the repository, files in an installed package.
CONFIGS = Path(__file__).parents[1] / '.mim' / 'configs' / 'demo'
SCENES = 3000
#: Pre-training run: its config, and its title.
RUNS = {
    'vit': ('wamim_vit', 'WaMIM ViT'),
    'swin': ('wamim_swin', 'WaMIM Swin'),
    'mfm': ('mfm_r18', 'MFM ResNet-18'),
}
#: Of ImageNet-C; others leave small encoders on drawn scenes near chance.
CORRUPTIONS = ('gaussian_noise', 'motion_blur')
#: Downstream task: its title, and the pre-training run that it starts from.
TASKS = {'mask-rcnn_swin': ('Mask R-CNN', 'swin'), 'upernet_swin': ('UperNet', 'swin')}


@command
def main() -> None:
    """Run the stages that are not done yet, and write the report."""
    parser = CommandParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=Path, default=Path('work_dirs/demo'))
    out = parser.parse_args().out.resolve()
    check_folder(str(out), '--out')
    out.mkdir(parents=True, exist_ok=True)
    refuse_other_demo(out)
    started, scenes = time.time(), out / 'scenes'

    stage(
        f'{SCENES} scenes',
        ['-m', 'wamim_mm.data.scenes', scenes, '--images', SCENES],
        out / 'scenes.log',
        out / 'scenes' / 'classes.json',
        tqdm_share,
    )
    for name, (config, title) in RUNS.items():
        pretrain(out, name, config_of(config), title)
    for name, (title, run) in TASKS.items():
        fine_tune(out, name, title, last_checkpoint(out / run))
    metrics = write_report(
        out,
        {name: title for name, (_, title) in RUNS.items()},
        {name: title for name, (title, _) in TASKS.items()},
    )
    print(f'\nDone after {clock(time.time() - started)}. Numbers: {show(out / "metrics.json")}')
    print(f'Open {show(out / "report.html")} in a browser.')
    for name, run in metrics['runs'].items():
        if run['probe']['pretrained'] <= run['probe']['random']:
            sys.exit(
                f'demo.py: the probe of the pre-trained {name} is not better than the random one'
            )


def pretrain(out: Path, name: str, config: Path, title: str) -> None:
    """Pre-train on the scenes; probe the encoder, draw what it predicts."""
    work_dir, scenes = out / name, out / 'scenes'
    train(f'{title}: pre-training', config, work_dir, scenes)
    checkpoint = last_checkpoint(work_dir)
    stage(
        f'{title}: linear probe',
        ['-m', 'wamim_mm', 'probe', config, checkpoint, '--data-root', scenes]
        + ['--random-seeds', 1, '--corruptions', *CORRUPTIONS, '--out', work_dir / 'probe.json'],
        out / f'{name}_probe.log',
        work_dir / 'probe.json',
        tqdm_share,
    )
    probe = json.loads((work_dir / 'probe.json').read_text())
    say(
        f'top-1 {probe["pretrained"]:.1%}, random encoder {probe["random"]:.1%}, '
        f'chance {probe["chance"]:.1%}'
    )
    stage(
        f'{title}: pictures',
        ['-m', 'wamim_mm', 'reconstruct', config, checkpoint, scenes / 'val', '--seed', 3]
        + ['--out', work_dir / 'reconstruction.png'],
        out / f'{name}_pictures.log',
        work_dir / 'reconstruction.png',
    )


def fine_tune(out: Path, name: str, title: str, checkpoint: Path) -> None:
    """Train a downstream model twice, from the checkpoint and from scratch; draw predictions."""
    config, scenes = config_of(name), out / 'scenes'
    starts = {
        'pre-trained': f'model.backbone.init_cfg.checkpoint={checkpoint}',
        'scratch': 'model.backbone.init_cfg=None',
    }
    for start, option in starts.items():
        work_dir = out / name / start
        train(f'{title}, {start}', config, work_dir, scenes, option)
        found = scores(work_dir)
        say(', '.join(f'{key} {value:.1f}' for key, value in found.items()))
    pictures = out / name / 'pictures'
    if not (pictures / 'drawn').exists():
        shutil.rmtree(pictures, ignore_errors=True)  # of an interrupted stage
    stage(
        f'{title}: pictures',
        [
            '-m',
            'wamim_mm',
            'infer',
            config,
            last_checkpoint(out / name / 'pre-trained'),
            scenes / 'val',
        ]
        + ['--count', 4, '--score', 0.2, '--out', pictures],
        out / f'{name}_pictures.log',
        pictures / 'drawn',
        tqdm_share,
    )
    (pictures / 'drawn').touch()


def train(label: str, config: Path, work_dir: Path, scenes: Path, *options: str) -> None:
    """A stage with `wamim train`, which goes on where it was interrupted."""
    done = work_dir / 'trained'
    stage(
        label,
        ['-m', 'wamim_mm', 'train', config, '--work-dir', work_dir, '--resume']
        + ['--cfg-options', f'data_root={scenes}', *options],
        work_dir.with_suffix('.log'),
        done,
        partial(training_share, epochs=epochs(config)),
    )
    done.touch()


def config_of(name: str) -> Path:
    """The file of a config of the demo, by its name."""
    return CONFIGS / f'{name}.py'


def say(text: str) -> None:
    """A line of results under a stage."""
    print(f'{"":<43}{text}', flush=True)


def refuse_other_demo(out: Path) -> None:
    """Stop where ``out`` holds the stages of a demo with other configs."""
    digest = hashlib.sha256(str(SCENES).encode())
    for config in sorted(CONFIGS.glob('*.py')):
        digest.update(config.read_bytes())
    recipe = out / 'recipe'
    if not recipe.exists():
        recipe.write_text(digest.hexdigest())
    elif recipe.read_text() != digest.hexdigest():
        sys.exit(
            f'{show(out)} holds the results of another demo: configs/demo has changed since. '
            'Remove that folder, or choose another one with --out.'
        )


def stage(
    label: str,
    command: list,
    log: Path,
    product: Path,
    share: Callable[[str], float] | None = None,
) -> None:
    """Run a command unless its product is there, with a line that tells how far it is.

    Args:
        label: What the line says.
        command: Arguments of the Python interpreter.
        log: Where its output goes.
        product: What exists once the stage is complete.
        share: From the end of the log to a number from 0 to 1.
    """
    if product.exists():
        print(f'{label:<34}   done before')
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    progress = Progress(label)
    environment = dict(os.environ, PYTHONUNBUFFERED='1')
    with log.open('a') as out:
        process = subprocess.Popen(
            [sys.executable, *map(str, command)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        try:
            while process.poll() is None:
                time.sleep(0.3)
                progress.show(share(tail(log)) if share else 0)
        except KeyboardInterrupt:
            process.wait()
            sys.exit('\nInterrupted. Run it again to go on.')
    if process.returncode:
        lines = '\n'.join(tail(log).splitlines()[-12:])
        sys.exit(f'\n{label} failed; the whole log is in {show(log)}:\n{lines}')
    progress.done()


def tail(log: Path) -> str:
    """The last part of a log."""
    with log.open('rb') as file:
        file.seek(max(0, log.stat().st_size - 4000))
        return file.read().decode(errors='replace')


def tqdm_share(text: str) -> float:
    """How far a tqdm bar is."""
    found = re.findall(r'(\d+)/(\d+) \[', text)
    return int(found[-1][0]) / int(found[-1][1]) if found else 0.0


def training_share(text: str, epochs: int) -> float:
    """How far MMEngine is, from the last lines of its log; a last validation counts for a fifth."""
    epoch = re.findall(r'Epoch\(train\)\s+\[(\d+)\]\[\s*(\d+)/(\d+)\]', text)
    if epoch:
        number, step, steps = map(int, epoch[-1])
        return (number - 1 + step / steps) / epochs
    done = {
        loop: int(step) / int(steps)
        for loop, step, steps in re.findall(r'Iter\((train|val)\)\s+\[\s*(\d+)/(\d+)\]', text)
    }
    return 0.8 * done.get('train', 'val' in done) + 0.2 * done.get('val', 0)


def epochs(config: Path) -> int:
    """Epochs of a pre-training config; those of the base where it does not say."""
    texts = [path.read_text() for path in (config, config.with_name('_base_.py'))]
    return int(re.findall(r'max_epochs = (\d+)', '\n'.join(texts))[0])


def show(path: Path) -> Path:
    """A path as short as it can be said."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


if __name__ == '__main__':
    main()
