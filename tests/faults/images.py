"""Odd, bad and randomly damaged images, through the loaders and through pre-training runs.

python -m tests.faults.images [--files 20000] [--out FILE]
"""

import argparse
import json
import os
import random
import resource
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from mmengine.fileio import list_dir_or_file
from PIL import Image, ImageOps

from benchmarks.measure import environment, write
from tests.tools.commands import TINY, train
from wamim_mm import LoadImage, LoadRandomResizedCrop
from wamim_mm.data.bad_files import BadImage
from wamim_mm.image_files import SUFFIXES

from .image_kinds import DECODED, PASSED_OVER, SKIPPED, Kind, bomb, encoded, make_folder, picture

ROOT = Path(__file__).resolve().parent.parent.parent
CONFIG = 'configs/demo/wamim_vit.py'
SIDE = 32
#: Grey levels by which two decoders of one format may differ.
TOLERANCE = 2


def loaders(**options) -> tuple:
    """The loaders of whole images and of crops."""
    return LoadImage(**options), LoadRandomResizedCrop(scale=SIDE, **options)


def reference(path: Path) -> np.ndarray:
    """What Pillow makes of a file: its first frame, turned, in colour."""
    with Image.open(path) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert('RGB'))


def fault_of_kind(root: Path, kind: Kind, listed: set[str]) -> str:
    """What is wrong with the treatment of a file; nothing if it is as it should be."""
    if (kind.name in listed) != (kind.fate != PASSED_OVER):
        return f'it is {"" if kind.name in listed else "not "}listed by the data set'
    if kind.fate == PASSED_OVER:
        return ''
    path = str(root / kind.name)
    for load in loaders():
        name = type(load).__name__
        try:
            image = load(dict(img_path=path))['img']
        except BadImage as bad:
            if kind.fate == DECODED:
                return f'{name}: {bad}'
            if bad.path != path or kind.reason not in bad.reason or '\n' in bad.reason:
                return f'{name} says: {bad}'
            continue
        except Exception as error:
            return f'{name} raises {error!r}'
        if kind.fate == SKIPPED:
            return f'{name} decodes it'
        if isinstance(load, LoadRandomResizedCrop):
            if image.shape != (SIDE, SIDE, 3):
                return f'{name} makes {image.shape}'
            continue
        expected = reference(root / kind.name)
        if image.shape != expected.shape:
            return f'{image.shape} where Pillow makes {expected.shape}'
        difference = np.abs(image[..., ::-1].astype(int) - expected).max()
        if difference > TOLERANCE:
            return f'up to {difference} grey levels from what Pillow makes'
    return ''


def look_at_kinds(root: Path, kinds: list[Kind]) -> dict[str, str]:
    """File -> what is wrong with its treatment; only those with which something is."""
    listed = {
        name
        for name in list_dir_or_file(str(root), list_dir=False, recursive=True)
        if name.lower().endswith(SUFFIXES)
    }
    with quiet():
        faults = {kind.name: fault_of_kind(root, kind, listed) for kind in kinds}
    return {name: fault for name, fault in faults.items() if fault}


@contextmanager
def quiet() -> Iterator[None]:
    """Without what C libraries print about damaged files."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


# Random damage


def damaged(data: bytes, rng: random.Random) -> bytes:
    """A file in which bytes are changed, added, lost or zero."""
    data, place = bytearray(data), rng.randrange(len(data))
    length = rng.choice((1, 2, 4, 16, 64, 256))
    kind = rng.choice(('flip', 'header', 'cut', 'insert', 'remove', 'zeros'))
    if kind == 'flip':
        for _ in range(length):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif kind == 'header':
        for _ in range(min(length, 4)):
            data[rng.randrange(min(64, len(data)))] = rng.randrange(256)
    elif kind == 'cut':
        del data[place:]
    elif kind == 'insert':
        data[place:place] = rng.randbytes(length)
    elif kind == 'remove':
        del data[place : place + length]
    else:
        data[place : place + length] = bytes(len(data[place : place + length]))
    return bytes(data)


def originals() -> dict[str, bytes]:
    """Small files of all formats."""
    image = picture(48, 64)
    files = {kind: encoded(image, kind) for kind in ('JPEG', 'PNG', 'WEBP', 'TIFF', 'BMP', 'PPM')}
    files['JPEG, progressive'] = encoded(image, 'JPEG', progressive=True)
    files['JPEG of a camera'] = encoded(image, 'JPEG', exif=image.getexif())
    files['TIFF, packed'] = encoded(image, 'TIFF', compression='tiff_lzw')
    files['PNG, palette'] = encoded(image.convert('P'), 'PNG')
    files['GIF'] = encoded(image.convert('P'), 'GIF')
    files['JPEG 2000'] = encoded(image, 'JPEG2000')
    if 'AVIF' in Image.SAVE:
        files['AVIF'] = encoded(image, 'AVIF')
    return files


def look_at_damage(folder: Path, count: int, seed: int = 0) -> tuple[Counter, list[str]]:
    """Load randomly damaged files; how many became images and how many were bad, and faults."""
    rng, counts, faults = random.Random(seed), Counter(), []
    files, path = originals(), folder / 'damaged'
    # Damaged headers of PNG lead to millions of pixels, which take seconds.
    whole, crop = loaders(max_pixels=1_000_000)
    with quiet():
        for number in range(count):
            kind = rng.choice(sorted(files))
            path.write_bytes(damaged(files[kind], rng))
            for load in (whole, crop):
                try:
                    image = load(dict(img_path=str(path)))['img']
                except BadImage as bad:
                    counts['bad'] += 1
                    if bad.path == str(path) and str(path) in str(bad) and '\n' not in str(bad):
                        continue
                    faults.append(f'{number} ({kind}): {bad!r}')
                except Exception as error:
                    faults.append(f'{number} ({kind}): {error!r}')
                else:
                    counts['images'] += 1
                    fits = image.shape == (SIDE, SIDE, 3) or (load is whole and image.ndim == 3)
                    if not fits or image.dtype != np.uint8 or image.shape[2] != 3:
                        faults.append(f'{number} ({kind}): {image.dtype} {image.shape}')
    return counts, faults


# Memory


def memory_of_a_bomb(folder: Path) -> float:
    """By how many megabytes the peak of this process grows over a PNG of 20,000 x 20,000."""
    path = folder / 'bomb.png'
    path.write_bytes(bomb())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for load in loaders():
        try:
            load(dict(img_path=str(path)))
        except BadImage:
            continue
        raise AssertionError('the bomb was decoded')
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


# Runs


def run(folder: Path, work_dir: Path, *arguments: str, workers: int = 0, epochs: int = 1, seed=0):
    """tools/train.py on a folder, as short as can be."""
    options = [*TINY, f'data_root={folder}', f'train_cfg.max_epochs={epochs}']
    options += [f'train_dataloader.num_workers={workers}', 'train_dataloader.drop_last=False']
    options += ['default_hooks.checkpoint.interval=1', f'randomness.seed={seed}']
    return train(ROOT, CONFIG, work_dir, *arguments, options=options)


def listed_in(work_dir: Path, folder: Path) -> dict[str, str]:
    """What a run's list says: file in the folder -> reason."""
    lines = (work_dir / 'bad_files.txt').read_bytes().splitlines()
    pairs = [line.split(b'\t') for line in lines]
    assert len({name for name, _ in pairs}) == len(pairs), 'a file is listed twice'
    unescaped = [
        os.fsdecode(name.replace(b'\\t', b'\t').replace(b'\\n', b'\n')) for name, _ in pairs
    ]
    return {
        str(Path(name).relative_to(folder)): reason.decode()
        for name, (_, reason) in zip(unescaped, pairs, strict=True)
    }


def look_at_a_run(done, work_dir: Path, folder: Path, kinds: list[Kind]) -> list[str]:
    """What is wrong with a run on all kinds."""
    if done.returncode:
        return [f'code {done.returncode}: {done.stderr[-500:]}']
    listed = listed_in(work_dir, folder)
    bad = {kind.name: kind.reason for kind in kinds if kind.fate == SKIPPED}
    faults = [f'{name!r} is listed: {listed[name]}' for name in listed.keys() - bad.keys()]
    faults += [f'{name!r} is not listed' for name in bad.keys() - listed.keys()]
    faults += [
        f'{name!r}: {listed[name]}' for name in listed.keys() & bad if bad[name] not in listed[name]
    ]
    if f'bad files: {len(bad)} of about ' not in done.stdout:
        faults.append('the log does not count them')
    return faults


def weights(work_dir: Path, epoch: int = 1) -> dict[str, torch.Tensor]:
    """The weights that a run has saved."""
    return torch.load(work_dir / f'epoch_{epoch}.pth', weights_only=False)['state_dict']


def look_at_runs(folder: Path, kinds: list[Kind], out: Path) -> dict[str, list[str]]:
    """Runs on all kinds, without workers and with two of them: the same weights."""
    faults = {}
    for workers in (0, 2):
        work_dir = out / f'{workers}_workers'
        done = run(folder, work_dir, '--max-bad-share', '0.6', workers=workers)
        faults[f'a run with {workers} workers'] = look_at_a_run(done, work_dir, folder, kinds)
    if not any(faults.values()):
        one, other = (weights(out / f'{workers}_workers') for workers in (0, 2))
        differ = [name for name in one if not torch.equal(one[name], other[name])]
        faults['the same weights'] = [f'{len(differ)} tensors differ'] if differ else []
    return faults


def good_folder(folder: Path, count: int, bad: int = 0) -> Path:
    """A folder of small images, the first of which are bad."""
    folder.mkdir()
    for number in range(count):
        path = folder / f'{number:03}.jpg'
        picture(40, 60, number).save(path)
        if number < bad:
            path.write_bytes(path.read_bytes()[:200])
    return folder


def look_at_a_vanishing_file(out: Path) -> list[str]:
    """A file is removed while the run is in its third epoch or later; it goes on to its end."""
    folder, work_dir = good_folder(out / 'vanishing', 16), out / 'vanishing_run'

    def remove():
        while not (work_dir / 'epoch_2.pth').exists():
            time.sleep(0.005)
        (folder / '003.jpg').unlink()

    threading.Thread(target=remove, daemon=True).start()
    done = run(folder, work_dir, workers=2, epochs=8)
    if done.returncode:
        return [f'code {done.returncode}: {done.stderr[-500:]}']
    expected = {'003.jpg': 'cannot be read: No such file or directory'}
    found = listed_in(work_dir, folder) if (work_dir / 'bad_files.txt').exists() else {}
    return [] if found == expected else [f'listed: {found}']


def look_at_a_resumed_run(out: Path) -> list[str]:
    """The second epoch again, with two workers in place of none: the same weights and list."""
    folder, work_dir = good_folder(out / 'resumed', 16, bad=3), out / 'resumed_run'
    done = run(folder, work_dir, epochs=2)
    if done.returncode:
        return [f'code {done.returncode}: {done.stderr[-500:]}']
    expected, listed = weights(work_dir, 2), (work_dir / 'bad_files.txt').read_bytes()
    (work_dir / 'epoch_2.pth').unlink()
    done = run(folder, work_dir, '--resume', epochs=2, workers=2)
    if done.returncode:
        return [f'code {done.returncode}: {done.stderr[-500:]}']
    found = weights(work_dir, 2)
    differ = [name for name in expected if not torch.equal(found[name], expected[name])]
    faults = [f'{len(differ)} tensors differ'] if differ else []
    again = (work_dir / 'bad_files.txt').read_bytes()
    return faults + ([f'the list is {again}'] if again != listed else [])


def look_at_too_many(out: Path) -> list[str]:
    """Of 40 files, 20 are bad: the run stops and says so; with --max-bad-share 0.6 it does not."""
    folder, faults = good_folder(out / 'half', 40, bad=20), []
    done = run(folder, out / 'half_stopped')
    if done.returncode != 1 or 'are bad, more than 30%, so the run stops' not in done.stdout:
        faults.append(f'code {done.returncode}: {done.stdout[-500:]}{done.stderr[-500:]}')
    done = run(folder, out / 'half_allowed', '--max-bad-share', '0.6')
    return faults + ([f'0.6: code {done.returncode}'] if done.returncode else [])


def main() -> None:
    """Look at everything; exit code 1 if anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--files', type=int, default=20_000, help='randomly damaged files')
    parser.add_argument('--out', type=Path, help='where the counts are written, as JSON')
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        out = Path(name)
        megabytes = memory_of_a_bomb(out)
        cases = {'memory of a bomb': [f'{megabytes:.0f} MB'] if megabytes > 50 else []}
        folder = out / 'kinds'
        kinds = make_folder(folder)
        faults = look_at_kinds(folder, kinds)
        cases |= {kind.name: [faults[kind.name]] if kind.name in faults else [] for kind in kinds}
        counts, wrong = look_at_damage(out, args.files)
        cases[f'{args.files:,} damaged files'] = wrong
        cases |= look_at_runs(folder, kinds, out)
        cases['a file that vanishes'] = look_at_a_vanishing_file(out)
        cases['a resumed run'] = look_at_a_resumed_run(out)
        cases['too many bad files'] = look_at_too_many(out)
    for case, wrong in cases.items():
        print(f'{case!r}: {"; ".join(wrong) or "as it should be"}', flush=True)
    fates = Counter(kind.fate for kind in kinds)
    result = dict(
        kinds={fate: fates[fate] for fate in (DECODED, SKIPPED, PASSED_OVER)},
        damaged=dict(files=args.files, loads=counts),
        bomb_megabytes=round(megabytes, 1),
        cases=len(cases),
        wrong=sum(map(bool, cases.values())),
    )
    print(json.dumps(result))
    if args.out:
        write(dict(environment=environment('tests.faults.images'), **result), args.out)
    sys.exit(bool(result['wrong']))


if __name__ == '__main__':
    main()
