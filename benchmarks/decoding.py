"""What decoding JPEG files at a reduced size does to the targets.

    python -m benchmarks.decoding FOLDER

`LoadRandomResizedCrop` lets libjpeg scale by 1/2, 1/4 or 1/8 while it decodes where the crop is
much larger than the output; the method's targets are the fine details. For crops of 256 x 256 of
the images in FOLDER, brought to outputs of several sizes: the mean squared difference of the
targets (levels 2 to 5, ``norm='subband'``: of variance 1) to those of the whole decoding, in %,
mean and largest over the images. Beside it, the same for another copy of the file: saved once more
as JPEG of quality 95.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch

from benchmarks.measure import OUT, aligned, environment, write
from wamim_mm import WaveletTargetGenerator
from wamim_mm.cli.checks import find_images
from wamim_mm.data.loading import decode, image_size, is_jpeg, resize

CROP = 256
LEVELS = (2, 3, 4, 5)
#: Side of the output and factor of the decoding.
CASES = ((128, 2), (64, 4), (64, 2), (32, 4))


def middle(data: bytes, factor: int = 1) -> np.ndarray:
    """The middle of an image that is decoded at a fraction of its size, on a multiple of 8."""
    top, left = ((side - CROP) // 16 * 8 // factor for side in image_size(data))
    side = CROP // factor
    return decode(data, factor=factor)[top : top + side, left : left + side]


def targets(image: np.ndarray, size: int) -> list[torch.Tensor]:
    """Targets of an image ``(H, W, 3)``, brought to ``size``, without levels of 1 x 1."""
    levels = [level for level in LEVELS if size >= 2 ** (level + 1)]
    generator = WaveletTargetGenerator(levels=levels, norm='subband')
    resized = torch.from_numpy(resize(image, (size, size), 'bicubic'))
    return generator(resized.permute(2, 0, 1)[None].float())


def differences(data: bytes, size: int, factor: int) -> dict[str, list[float]]:
    """Mean squared differences of each level, by what was changed."""
    again = cv2.imencode('.jpg', decode(data), [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    reference = targets(middle(data), size)
    changed = {
        'reduced': targets(middle(data, factor), size),
        'saved again': targets(middle(again), size),
    }
    return {
        name: [(a - b).square().mean().item() for a, b in zip(found, reference, strict=True)]
        for name, found in changed.items()
    }


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('folder', type=Path)
    parser.add_argument('--out', type=Path, default=OUT / 'bench_decoding.json')
    args = parser.parse_args()
    files = [path.read_bytes() for path in find_images(args.folder)]
    files = [data for data in files if is_jpeg(data) and min(decode(data).shape[:2]) >= CROP]
    results, rows = dict(environment=environment('benchmarks.decoding'), images=len(files)), []
    for size, factor in CASES:
        found = [differences(data, size, factor) for data in files]
        for name in ('reduced', 'saved again'):
            values = 100 * np.array([one[name] for one in found])  # (images, levels)
            mean, largest = values.mean(0).tolist(), values.max(0).tolist()
            results[f'{CROP} to {size}, 1/{factor}, {name}'] = dict(mean=mean, largest=largest)
            cells = [f'{m:.3f} ({x:.2f})' for m, x in zip(mean, largest, strict=True)]
            cells += ['-'] * (len(LEVELS) - len(cells))
            rows.append((f'{CROP} to {size}', f'1/{factor}' if name == 'reduced' else name, *cells))
    print(aligned(('crop to output', 'decoded', *(f'level {level}' for level in LEVELS)), rows))
    write(results, args.out)


if __name__ == '__main__':
    main()
