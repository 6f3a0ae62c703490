"""Pre-train an encoder on a folder of images, without labels: from nothing but the folder.

wamim pretrain --data DIR

Looks at the images and the machine, chooses size, batch, epochs and learning rate, and says so;
writes an ordinary config to the work dir and trains with it. Afterwards the encoder is exported.
Ctrl-C saves; --resume goes on.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..image_files import is_shards
from ..interop.cores import usable_cores
from ..interop.whole_files import write_whole
from . import presets
from .checks import class_folders
from .errors import CommandParser, command, positive
from .folder import look
from .launch import add_cfg_options, load_config, merge_options
from .progress import duration
from .settings import (
    check_batch,
    check_clipping,
    check_folder,
    check_loader,
    check_outside,
    existing_part,
    started_together,
)
from .train import add_max_bad_share, train
from .visualizers import add_backends, add_log_to
from .work_dir import claim_work_dir, last_checkpoint, refuse_other_run

if TYPE_CHECKING:
    from mmengine.config import Config

#: The config in the work dir, the same with all that it inherits, and the exported encoder.
CONFIG, FULL_CONFIG, ENCODER = 'config.py', 'full_config.py', 'backbone.safetensors'
#: How a config begins.
FIRST_LINE = '"""Written by wamim pretrain'
#: Images of a step: what is tried first.
LARGEST_BATCH = dict(cuda=1024, cpu=64)
#: What no run needs more of, and a slip of the finger has.
MOST_EPOCHS, LARGEST_SIZE = 100_000, 1024
#: On CPUs a run is shortened to so many hours, unless --epochs says more.
CPU_HOURS = 1.0
#: Checkpoints in the work dir at a time: the last two, and one that is being written.
CHECKPOINTS = 3
#: Of a run, and the fewest steps between two. The encoder is probed as often.
PICTURES, LEAST_PICTURE_INTERVAL = 10, 50
#: In the work dir, for such runs.
OWN_SCENES = 'scenes'
#: Without labels, runs from so many seconds on are probed on so many scenes, a third to score.
PROBED_SECONDS, SCENES = 1200, 900


def parse_args() -> argparse.Namespace:
    """Read the command line; end the program if the arguments are wrong."""
    models = sorted({model for method in presets.MODELS.values() for model in method})
    parser = CommandParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--data',
        metavar='DIR',
        help="a folder of images, sub-folders included, or tar shards, 'DIR/{000..999}.tar'",
    )
    parser.add_argument('--out', metavar='DIR', help='the work dir (work_dirs/<folder>_<model>)')
    parser.add_argument('--model', choices=models, help='(vit-s; without a GPU vit-ti)')
    parser.add_argument('--method', choices=tuple(presets.MODELS), help='(wamim; for r18, r50 mfm)')
    parser.add_argument('--epochs', type=positive, metavar='N', help='(by the number of images)')
    parser.add_argument(
        '--img-size', type=positive, metavar='PIXELS', help='side of the crops (by the images)'
    )
    parser.add_argument(
        '--probe',
        metavar='DIR',
        help='labelled images to score the encoder on, DIR/train/<class>/ and DIR/val/<class>/ '
        f'(runs of {PROBED_SECONDS // 60} minutes and more: built-in scenes)',
    )
    add_max_bad_share(parser)
    add_log_to(parser)
    parser.add_argument('--resume', action='store_true', help='go on with the run in --out')
    add_cfg_options(parser)
    args = parser.parse_args()
    if args.resume:
        if not args.out:
            parser.error('--resume needs --out DIR, the work dir of the run that goes on')
        chosen = ('data', 'model', 'method', 'epochs', 'img_size', 'probe')
        given = [name for name in chosen if getattr(args, name) is not None]
        if given:
            parser.error(
                f'--resume: the run goes on with what {args.out}/{CONFIG} says; leave out '
                f'--{given[0].replace("_", "-")}, or change something by --cfg-options, as the '
                'length by train_cfg.max_epochs=N'
            )
        return args
    if not args.data:
        parser.error('the following arguments are required: --data DIR')
    if args.out == '':
        parser.error('--out: give a folder, or leave it out')
    for name, most in (('epochs', MOST_EPOCHS), ('img_size', LARGEST_SIZE)):
        if (getattr(args, name) or 0) > most:
            option = name.replace('_', '-')
            parser.error(f'--{option} {getattr(args, name)}: must be {most} at most')
    return args


@command
def main() -> None:
    """Choose, write the config, train, export."""
    args = parse_args()
    if started_together()[1] > 1:
        raise ValueError(
            'wamim pretrain is one process; with several, train with the config that it has '
            f'written: tools/dist_train.sh OUT/{CONFIG} GPUS'
        )
    if args.resume:
        out = Path(args.out)
        if not (out / CONFIG).is_file():
            raise FileNotFoundError(f'--resume: there is no {out / CONFIG}; give the run its --out')
    else:
        out = plan(args)
    # The full one has the --cfg-options of the first start too.
    full = args.resume and (out / FULL_CONFIG).is_file()
    config = out / (FULL_CONFIG if full else CONFIG)
    import torch

    from .screen import ProgressHook

    given = load_config(
        argparse.Namespace(
            config=str(config),
            cfg_options=args.cfg_options,
            work_dir=str(out),
            launcher='none',
            local_rank=0,
        )
    )
    use_own_scenes(given, out)
    add_backends(given, args.log_to)
    # MMEngine writes what it trains with, all of it, beside the short config that was read.
    cfg = type(given)(given._cfg_dict, cfg_text=given.text, filename=str(out / FULL_CONFIG))
    before = (out / FULL_CONFIG).read_bytes() if full else None
    progress = ProgressHook()
    try:
        train(
            cfg,
            'auto' if args.resume else None,
            amp='auto' if torch.cuda.is_available() else None,
            max_bad_share=args.max_bad_share,
            hooks=[progress],
            resume_by=go_on(out),
        )
    except BaseException:
        # A run that is refused goes on, the next time, with what it had before.
        if before is not None and not progress.began:
            write_whole(out / FULL_CONFIG, lambda file: file.write(before))
        raise
    finish(out, cfg.data_root)


def plan(args: argparse.Namespace) -> Path:
    """Look at the data and the machine, say what is chosen, and write the config.

    Returns:
        The work dir.

    Raises:
        FileNotFoundError: There are no images.
        ValueError: The arguments do not fit each other or the machine.
    """
    if not is_shards(args.data) and not Path(args.data).is_dir():
        right = (
            "an address must name tar shards, as 's3://bucket/set/{000..999}.tar'"
            if '://' in args.data
            else 'give one with images, or tar shards'
        )
        raise FileNotFoundError(f'--data {args.data!r} is no folder; {right}')
    data = args.data if '://' in args.data else os.path.abspath(args.data)
    import torch

    gpu = torch.cuda.is_available()
    method, model = chosen_model(args, gpu)
    out = work_dir(args, model)
    check_folder(str(out), '--out')
    check_outside(str(out), data, '--out')
    refuse_other_run(str(out), f'{go_on(out)} goes on with it, or choose another --out')
    refuse_other_files(out)
    folder = look(data)
    for split in ('train', 'val') if args.probe else ():
        if not Path(args.probe, split).is_dir():
            raise FileNotFoundError(
                f'--probe {args.probe!r} has no folder {split}/; labelled images lie in '
                'train/<class>/ and val/<class>/'
            )
    if args.probe:
        class_folders(Path(args.probe, 'train'))
    size = args.img_size or presets.image_size(folder.short_side, method, model)
    presets.check_size(method, model, size)
    say(*folder.lines())
    if len(folder.unreadable) > args.max_bad_share * folder.looked_at:
        raise ValueError(
            f'--data {args.data!r}: of {folder.looked_at} files that were looked at '
            f'{len(folder.unreadable)} cannot be opened; remove them, or train on the others by '
            f'--max-bad-share {len(folder.unreadable) / folder.looked_at + 0.05:.1g}'
        )

    device = torch.cuda.get_device_name() if gpu else f'{usable_cores()} CPU cores, no GPU'
    from mmengine.config import Config

    from ..data.images import loading_step, train_pipeline
    from ..evaluation.models import build_model
    from ..evaluation.trial import try_steps

    largest = presets.recipe(folder.images, 1, LARGEST_BATCH['cuda' if gpu else 'cpu']).batch_size
    choice = Choice(data, method, model, size, presets.Recipe(2, 1, largest, 1), 1, gpu, None)
    # What the options make of it is refused now, and not after the trial.
    wanted = Config.fromstring(config_text(choice), '.py')
    merge_options(wanted, args.cfg_options)
    check_clipping(wanted.optim_wrapper)
    check_loader('train_dataloader', wanted.train_dataloader)
    check_batch('train_dataloader', wanted.train_dataloader, folder.images, 1)
    build_model(wanted)
    trial = try_steps(Config.fromstring(config_text(choice), '.py'), size, largest)
    steps = max(1, folder.images // trial.batch_size)
    worth = presets.longest_epochs(folder.images)
    epochs, fit = args.epochs or worth, int(CPU_HOURS * 3600 / (steps * trial.seconds))
    cut = not gpu and not args.epochs and fit < worth
    if cut:
        epochs = max(1, fit)
    recipe = presets.recipe(folder.images, epochs, trial.batch_size, method, model)
    seconds = epochs * steps * trial.seconds
    disk = CHECKPOINTS * 12 * trial.parameters  # weights and two moments in float32
    check_disk(out, disk)
    seen = f'{epochs * folder.images:,} images seen, about {duration(seconds)}'
    say(
        f'{method} {model}, {trial.parameters / 1e6:.1f} million parameters with its decoders, '
        f'crops of {size} x {size} pixels',
        f'{device}: {trial.batch_size / trial.seconds:,.0f} images/s, '
        f'{trial.memory / 1e9:.1f} GB of memory; {disk / 1e9:.1f} GB of disk for checkpoints',
        f'batches of {recipe.batch_size}, learning rate {recipe.lr:g}',
        f'{epochs} {"epoch" if epochs == 1 else "epochs"}: {seen}'
        + (f'; so many fit an hour without a GPU, --epochs {worth} would be better' if cut else ''),
    )
    scenes = None if args.probe or seconds < PROBED_SECONDS else out.resolve() / OWN_SCENES
    reads = loading_step(train_pipeline(wanted))
    if scenes and ('value_range' in reads or reads.get('color_type') == 'unchanged'):
        scenes = None
        say('the encoder is not probed: built-in scenes are colour images of 8 bits; --probe DIR')
    probe = Path(args.probe).resolve() if args.probe else scenes
    if probe is not None:
        kind = 'built-in scenes' if scenes else 'images'
        say(f'the encoder is probed on {kind} in {probe}, in at most a twentieth of the time')
    claim_work_dir(str(out), False, True, '--out')
    if scenes is not None:
        from ..data.scenes import make_scenes

        make_scenes(scenes, SCENES, max(32, size), val_fraction=1 / 3)
    choice = choice._replace(recipe=recipe, steps=steps, probe=probe)
    text = config_text(choice)
    whole = Config.fromstring(text, '.py')
    merge_options(whole, args.cfg_options)
    # The full one first: from the moment that the other is there, --resume takes what it says.
    write_whole(out / FULL_CONFIG, lambda file: file.write(whole.pretty_text.encode()))
    write_whole(out / CONFIG, lambda file: file.write(text.encode()))
    return out


def use_own_scenes(cfg: Config, out: Path) -> None:
    """Let a run whose work dir was moved probe its encoder on the scenes that are there now."""
    here = out.resolve() / OWN_SCENES
    probes = [hook for hook in cfg.get('custom_hooks') or () if hook.get('type') == 'ProbeHook']
    for hook in probes if here.is_dir() else ():
        data = Path(hook['data'])
        if data.name == OWN_SCENES and not data.exists():
            hook['data'] = str(here)


def go_on(out: Path) -> str:
    """The command that resumes a run."""
    return shlex.join(['wamim', 'pretrain', '--out', str(out), '--resume'])


def refuse_other_files(out: Path) -> None:
    """Raise ValueError where files that a run writes are there, and not those of a run."""
    config = out / CONFIG
    written = config.is_file() and config.read_text(errors='replace').startswith(FIRST_LINE)
    there = [name for name in (CONFIG, FULL_CONFIG, ENCODER) if (out / name).exists()]
    if there and not written:
        raise ValueError(
            f'--out {str(out)!r} holds {", ".join(there)} of something else, which the run would '
            'write over; choose another --out'
        )


def work_dir(args: argparse.Namespace, model: str) -> Path:
    """Where the run is written."""
    data = Path(args.data).resolve()
    name = data.parent.name if data.suffix == '.tar' else data.name
    return Path(args.out or Path('work_dirs') / f'{name}_{model}')


def chosen_model(args: argparse.Namespace, gpu: bool) -> tuple[str, str]:
    """Method and model, each of which may follow from the other.

    Raises:
        ValueError: The method has no such model.
    """
    model = args.model or ('vit-s' if gpu else 'vit-ti')
    method = args.method or ('wamim' if model in presets.MODELS['wamim'] else 'mfm')
    if model not in presets.MODELS[method]:
        raise ValueError(
            f'--model {model}: {method} takes {", ".join(presets.MODELS[method])}; '
            f'for {model} choose --method mfm'
        )
    return method, model


class Choice(NamedTuple):
    """What a config is made of.

    Attributes:
        data: The folder of images, or the shards.
        method: Of `presets.MODELS`.
        model: Likewise.
        size: Side of the crops, in pixels.
        recipe: Batch, epochs and learning rate.
        steps: Of an epoch.
        gpu: Whether there is one.
        probe: Labelled images to score the encoder on.
    """

    data: str
    method: str
    model: str
    size: int
    recipe: presets.Recipe
    steps: int
    gpu: bool
    probe: Path | None


def config_text(choice: Choice) -> str:
    """The config that a person would write."""
    from mmengine.config import Config

    data, method, model, size, recipe, steps, gpu, probe = choice
    base, _ = presets.MODELS[method][model]
    options = presets.model_options(method, model, size)
    # One checkpoint an epoch would be much of a small data set's time.
    interval = max(1, recipe.epochs // 20)
    pictures = max(LEAST_PICTURE_INTERVAL, recipe.epochs * steps // PICTURES)
    hooks = [
        dict(type='MaskingHook'),
        dict(type='PicturesHook', images=data, interval=pictures),
    ]
    if probe is not None:
        hooks.append(dict(type='ProbeHook', data=str(probe), interval=pictures))
    training = Config(dict(optim_wrapper=dict(optimizer=dict(lr=recipe.lr))))
    if gpu:
        from .precision import use_amp

        use_amp(training, 'auto')
    return f'''{FIRST_LINE}; the same run by hand:

wamim train {CONFIG}
"""

_base_ = 'wamim_mm::pretrain/{base}.py'

data_root = {data!r}
{Config(dict(model=options)).pretty_text.strip()}
train_pipeline = [
    dict(
        type='LoadRandomResizedCrop',
        scale={size},
        crop_ratio_range=(0.2, 1.0),
        interpolation='bicubic',
    ),
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandomDraw'),
    dict(type='PackInputs', algorithm_keys=['draw']),
]
train_dataloader = dict(
    batch_size={recipe.batch_size},
    num_workers={workers()},
    pin_memory={gpu},
    dataset=dict(data_root=data_root, data_prefix='', pipeline=train_pipeline),
)
{training.pretty_text.strip()}
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-2, end={recipe.warm_up}, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', begin={recipe.warm_up}, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs={recipe.epochs})
auto_scale_lr = dict(base_batch_size={recipe.batch_size})
default_hooks = dict(
    logger=dict(interval=10), checkpoint=dict(interval={interval}, max_keep_ckpts=1)
)
log_processor = dict(window_size=10)
{Config(dict(custom_hooks=hooks)).pretty_text.strip()}
'''


def workers() -> int:
    """Processes that load images: one less than there are cores."""
    return max(1, min(8, usable_cores() - 1))


def check_disk(out: Path, needed: int) -> None:
    """Raise ValueError where the disk has no room for the checkpoints.

    Args:
        out: The work dir, which may not be there yet.
        needed: Bytes.
    """
    free = shutil.disk_usage(existing_part(out)).free
    if free < needed:
        raise ValueError(
            f'{out}: {needed / 1e9:.1f} GB are needed for checkpoints, {free / 1e9:.1f} GB are '
            'free; make room, or choose another --out'
        )


def finish(out: Path, data: str) -> None:
    """Export the encoder, and say what to do next."""
    from ..export import export_backbone

    checkpoint = last_checkpoint(out)
    # One of an earlier end of this run stays until the new one is whole.
    encoder, new = out / ENCODER, out / f'new_{ENCODER}'
    new.unlink(missing_ok=True)
    export_backbone(str(checkpoint), new, 'mmpretrain')
    new.replace(encoder)
    commands = (
        ('reconstruct', checkpoint, data, '--out', out / 'reconstruction.png'),
        ('embed', checkpoint, data, '--out', out / 'embeddings.npz'),
        ('export', checkpoint, out / 'timm.safetensors', '--to', 'timm'),
    )
    say(
        f'wrote {encoder}, the encoder for a config of mmpretrain. Next:',
        *(f'  wamim {shlex.join(map(str, words))}' for words in commands),
    )


def say(*lines: str) -> None:
    """Print lines at once."""
    print('\n'.join(lines), flush=True)


if __name__ == '__main__':
    sys.exit(main())
