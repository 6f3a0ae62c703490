"""Settings that contradict each other or the machine, found before anything heavy is imported."""

from __future__ import annotations

import json
import math
import os
import zipfile
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..class_names import short_name

if TYPE_CHECKING:
    from torch import nn

#: Launcher -> what it sets in the environment, and how it is called.
LAUNCHERS = {
    'pytorch': (('RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT'), 'tools/dist_train.sh'),
    'slurm': (('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_NODELIST'), 'tools/slurm_train.sh'),
    'mpi': (('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE'), 'mpirun'),
}
RANKS = ('RANK', 'SLURM_PROCID', 'OMPI_COMM_WORLD_RANK')
SIZES = {
    'pytorch': 'WORLD_SIZE',
    'slurm': 'SLURM_NTASKS',
    'mpi': 'OMPI_COMM_WORLD_SIZE',
}
_CUT = (
    'is cut short: its download or its saving was interrupted; get it again, or take an earlier one'
)
#: In bytes; safetensors itself reads no longer one.
_LONGEST_HEADER = 100_000_000


def is_first_process() -> bool:
    """Whether this is the first process, before there is a process group."""
    return next((os.environ[name] for name in RANKS if name in os.environ), '0') == '0'


def process_count(launcher: str) -> int:
    """The number of processes of a launcher's job, before there is a process group."""
    return int(os.environ[SIZES[launcher]]) if launcher in SIZES else 1


def started_together() -> tuple[str, int]:
    """The launcher that has started this process, and how many it has, whatever the options say."""
    # Of srun alone: a batch script and the shell of salloc have SLURM_NTASKS, and are one process.
    for launcher, name in (SIZES | {'slurm': 'SLURM_STEP_NUM_TASKS'}).items():
        if int(os.environ.get(name, 1)) > 1:
            return launcher, int(os.environ[name])
    return 'none', 1


def check_launcher(launcher: str) -> None:
    """Raise ValueError unless the environment is that of the launcher, or of no launcher."""
    started, count = started_together()
    if launcher == 'none' and count > 1:
        raise ValueError(
            f'this is one of {count} processes, each of which would do the whole work without '
            f'--launcher; add --launcher {started}, or start one process'
        )
    needed, command = LAUNCHERS.get(launcher, ((), ''))
    missing = [name for name in needed if name not in os.environ]
    if missing:
        raise ValueError(
            f'--launcher {launcher}: the environment has no {", ".join(missing)}; start the job '
            f'with {command}, or leave out --launcher'
        )


def complete_environment(launcher: str, local_rank: int) -> None:
    """Set what a launcher leaves open: this process's number on its machine, the port of its job.

    Args:
        launcher: What has started this process; ``'none'`` for one process alone.
        local_rank: The number, where the launcher gives it as an option.
    """
    if launcher == 'mpi' and 'OMPI_COMM_WORLD_LOCAL_RANK' in os.environ:
        os.environ['LOCAL_RANK'] = os.environ['OMPI_COMM_WORLD_LOCAL_RANK']
    os.environ.setdefault('LOCAL_RANK', str(local_rank))
    if launcher == 'slurm' and 'MASTER_PORT' not in os.environ:
        # Two jobs may share a machine.
        job = int(os.environ.get('SLURM_JOB_ID', '0'))
        os.environ['MASTER_PORT'] = os.environ.get('PORT', str(20000 + job % 20000))


def check_folder(folder: str, option: str) -> None:
    """Raise ValueError unless it is a folder that can be written, or can become one.

    Args:
        folder: Where a command writes.
        option: What names it.
    """
    if '://' in folder:
        return
    path = Path(folder).absolute()
    try:
        str(path).encode()
    except UnicodeEncodeError:
        # OpenCV, which writes the pictures of a run, ends the process at such a name.
        raise ValueError(
            f'{option} {str(path)!r}: its name is not UTF-8; give another: {option} DIR'
        ) from None
    there = existing_part(path)
    if not there.is_dir():
        what = 'is a file' if there == path else f'cannot be made, since {str(there)!r} is a file'
        raise ValueError(f'{option} {folder!r} {what}; give a folder: {option} DIR')
    if not os.access(there, os.W_OK | os.X_OK):
        raise ValueError(
            f'{option} {folder!r}: {str(there)!r} cannot be written; give another: {option} DIR'
        )


def check_new_file(path: Path, option: str, suffixes: Sequence[str] = ()) -> None:
    """Raise an error unless a command can write a file that is not there yet; make its folder.

    Args:
        path: The file.
        option: What names it.
        suffixes: How its name may end; any way where there are none.

    Raises:
        FileExistsError: It exists.
        ValueError: Its name ends in another way, or its folder cannot be made or written.
    """
    if suffixes and path.suffix.lower() not in suffixes:
        raise ValueError(f'{option} {str(path)!r}: the name must end in {", ".join(suffixes)}')
    if path.exists() or path.is_symlink():
        raise FileExistsError(f'{path} exists; remove it or choose another name')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        writable = os.access(path.parent, os.W_OK | os.X_OK)
        why = 'no permission to write there'
    except OSError as error:
        writable, why = False, error.strerror or str(error)
    if not writable:
        raise ValueError(
            f'{option} {str(path)!r}: its folder {str(path.parent)!r} cannot be made or written '
            f'({why}); choose another'
        )


def check_outside(folder: str, images: str | Path, option: str) -> None:
    """Raise ValueError where a command would write among the images that it trains on.

    Args:
        folder: Where it writes.
        images: The folder of the images; other storages (``s3://``) are left alone.
        option: What names the first.
    """
    if '://' not in f'{folder}{images}' and Path(folder).resolve().is_relative_to(
        Path(images).resolve()
    ):
        raise ValueError(
            f'{option} {folder!r} lies in {str(images)!r}, the folder of the images: pictures that '
            f'the run makes would be trained on; give one elsewhere: {option} DIR'
        )


def existing_part(path: Path) -> Path:
    """The path itself, or the nearest folder above it that exists."""
    path = path.absolute()
    return next(part for part in (path, *path.parents) if part.exists())


def check_length(train_cfg: dict) -> None:
    """Raise ValueError unless a run, and the part of it between validations, has a step."""
    for key in ('max_epochs', 'max_iters', 'val_interval'):
        value = train_cfg.get(key, 1)
        if not isinstance(value, int) or value < 1:
            raise ValueError(f'train_cfg.{key} must be a number from 1 on, got {value!r}')


def check_clipping(optim_wrapper: dict) -> None:
    """Raise ValueError where clipping would leave no gradient, or, below 0, turn it round."""
    clip = optim_wrapper.get('clip_grad') or {}
    for key in ('max_norm', 'clip_value'):
        value = clip.get(key, 1.0)
        if not isinstance(value, int | float) or not value > 0:
            raise ValueError(
                f'optim_wrapper.clip_grad.{key} must be above 0, got {value!r}; for no clipping '
                'set optim_wrapper.clip_grad=None'
            )


def check_timeout(env_cfg: dict) -> None:
    """Raise ValueError unless the time limit of processes for each other is a number of seconds."""
    value = (env_cfg.get('dist_cfg') or {}).get('timeout', 1800)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ValueError(
            f'env_cfg.dist_cfg.timeout must be a positive number of seconds, as 1800, got {value!r}'
        )


def check_loader(name: str, loader: dict) -> None:
    """Raise ValueError unless torch's DataLoader takes these settings.

    Args:
        name: Of the data loader in the config.
        loader: Its config.
    """
    if 'dataset' not in loader:
        raise ValueError(f'{name} has no dataset; give it one, or leave out its other keys')
    for key, least in (('batch_size', 1), ('num_workers', 0)):
        value = loader.get(key, least)
        if not isinstance(value, int) or value < least:
            raise ValueError(f'{name}.{key} must be a number from {least} on, got {value!r}')
    if loader.get('num_workers', 0) == 0:
        for key in ('persistent_workers', 'prefetch_factor', 'timeout'):
            if loader.get(key):
                off = {'persistent_workers': False, 'timeout': 0}.get(key)
                raise ValueError(
                    f'{name}.num_workers=0 and {key}={loader[key]!r}: without workers there are '
                    f'none of which this is true; add {name}.{key}={off}'
                )


def check_batch(name: str, loader: dict, images: int, processes: int) -> None:
    """Raise ValueError unless the images of a data set fill a batch in every process."""
    batch = loader.get('batch_size', 1)
    if loader.get('drop_last') and -(-images // processes) < batch:
        among = f' in each of {processes} processes' if processes > 1 else ''
        raise ValueError(
            f'{name}.batch_size={batch}: {images} images do not fill one batch{among}, and '
            f'drop_last=True leaves out what does not; set {name}.batch_size to '
            f'{max(images // processes, 1)} or less (with --auto-scale-lr), or '
            f'{name}.drop_last=False'
        )


def check_checkpoint(path: str, option: str = 'checkpoint') -> None:
    """Look at a checkpoint's first and last bytes; other storages (``s3://``) are left alone.

    Args:
        path: The file.
        option: What names it, for the message.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is a folder, which DeepSpeed's checkpoints are, was cut short, or neither
            torch nor, where its name ends in ``.safetensors``, safetensors wrote it.
    """
    if '://' in path:
        return
    file = Path(path).expanduser()
    if is_of_deepspeed(file):
        raise ValueError(
            f"{option} {path!r} is a folder of DeepSpeed's, from which its own strategy goes on; "
            'docs/several-processes.md has the two lines that make a file of it'
        )
    if file.is_dir():
        inside = ', '.join(sorted(p.name for p in file.glob('*.pth'))[:3]) or 'no .pth'
        raise ValueError(f'{option} {path!r} is a folder; give a file, in there are {inside}')
    if not file.is_file():
        part = option.removesuffix('.checkpoint')
        fix = f'; set it with --cfg-options {option}=FILE, or start at random with {part}=None'
        raise FileNotFoundError(f'{option} {path!r} does not exist{fix if part != option else ""}')
    if file.suffix == '.safetensors':
        _check_safetensors(file, f'{option} {path!r}')
        return
    with file.open('rb') as opened:
        start = opened.read(12)
    if start.startswith(b'PK'):
        if not zipfile.is_zipfile(file):  # its table of contents, at the end, is missing
            raise ValueError(f'{option} {path!r} {_CUT}')
    elif not start.startswith(b'\x80'):  # how pickles begin
        raise ValueError(
            f'{option} {path!r} is no checkpoint of torch: '
            + (f'it begins with {start!r}' if start else 'it is empty')
        )


def is_of_deepspeed(path: Path) -> bool:
    """Whether it is a checkpoint of DeepSpeed, a folder with a file for each process."""
    return any(path.glob('*_model_states.pt'))


def _check_safetensors(file: Path, name: str) -> None:
    """Compare the lengths that it says with its own: of the header, and of all tensors."""
    size = file.stat().st_size
    with file.open('rb') as opened:
        start = opened.read(9)
        length = int.from_bytes(start[:8], 'little')
        if start[8:] not in (b'{', b'') or not 2 <= length <= _LONGEST_HEADER:
            raise ValueError(
                f'{name} is no file of safetensors: '
                + (f'it begins with {start!r}' if start else 'it is empty')
            )
        text = start[8:] + opened.read(length - 1)
    if size < 8 + length or len(start) < 9:
        raise ValueError(f'{name} {_CUT}')
    try:
        header = json.loads(text)
        ends = [part['data_offsets'][1] for key, part in header.items() if key != '__metadata__']
        end = 8 + length + max(ends, default=0)
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(f'{name} is no file of safetensors: its header is damaged') from error
    if size < end:
        raise ValueError(f'{name} {_CUT}')


def pretrained_files(cfg: Any, name: str) -> Iterator[tuple[str, str]]:
    """The checkpoints that modules of a config start from, each with the key that names it."""
    # Of the plain dict, which imports no lazy object.
    items = dict.items(cfg) if isinstance(cfg, dict) else enumerate(cfg)
    for key, value in items:
        if isinstance(value, dict | list | tuple):
            yield from pretrained_files(value, f'{name}.{key}')
    if not isinstance(cfg, dict) or 'type' not in cfg or not cfg.get('checkpoint'):
        return
    if short_name(cfg) in ('Pretrained', 'PretrainedInit'):
        yield f'{name}.checkpoint', cfg['checkpoint']


def check_recomputed(model: nn.Module, parts: Any) -> None:
    """Check the config's ``activation_checkpointing``.

    Args:
        model: The model.
        parts: Names of modules in it, or one name; None for none.

    Raises:
        ValueError: It is something else, there is no such module, or none that is called where
            visible tokens alone are encoded.
    """
    from torch import nn

    names = [parts] if isinstance(parts, str) else [] if parts is None else parts
    if not isinstance(names, list | tuple):
        raise ValueError(
            f'activation_checkpointing={parts!r} must be names of modules, as [backbone.layers]'
        )
    model = getattr(model, 'module', model)  # what several processes wrap
    visible_alone = hasattr(getattr(model, 'backbone', None), 'encode_visible')
    for name in names:
        found = model
        for part in name.split('.'):
            if not isinstance(getattr(found, part, None), nn.Module):
                children = dict(found.named_children())
                near = get_close_matches(part, children, 1)
                meant = f'; did you mean {near[0]!r}?' if near else ''
                raise ValueError(
                    f'activation_checkpointing: {name!r} is no module of the model: '
                    f'{type(found).__name__} has {", ".join(children) or "none"}{meant}'
                )
            found = getattr(found, part)
        kinds = {type(part).__name__ for part in (found, *found.children())}
        if visible_alone and (name == 'backbone' or 'SwinBlockSequence' in kinds):
            raise ValueError(
                f'activation_checkpointing: {name!r} would change nothing, since pre-training '
                'calls its blocks one by one; name those: backbone.layers of a ViT, '
                'backbone.stages.2.blocks of a Swin'
            )
