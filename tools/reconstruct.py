"""Draw what a pre-trained WaMIM sees and what it makes of it, level by level.

python tools/reconstruct.py CONFIG CHECKPOINT IMAGE_OR_FOLDER --out PICTURE.png

Two rows for each image. Above: the image, then the inverse wavelet transform of the predicted
coefficients, first of the coarsest level alone, then with one finer level after another. Below: the
visible part, then the same from the true coefficients, which also stand in the visible part above:
no loss is taken there, so predictions mean nothing. Normalization is undone with the statistics of
the true coefficients, as is usual for such pictures.
"""

import argparse
import sys
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dataset import Compose, default_collate
from mmengine.logging import MMLogger
from mmengine.runner import load_checkpoint, set_random_seed
from torch import Tensor

import wamim_mm
from wamim_mm.engine.images import centre_crop_pipeline, find_images
from wamim_mm.ops.masking import random_mask


def parse_args(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config')
    parser.add_argument('checkpoint')
    parser.add_argument(
        'images', type=Path, help='an image, or a folder with images somewhere in it'
    )
    parser.add_argument('--out', type=Path, default=Path('reconstruction.png'))
    parser.add_argument('--count', type=int, default=4, help='images to draw from a folder')
    parser.add_argument(
        '--seed', type=int, default=0, help='of the choice of images and of the masks'
    )
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    args = parse_args(arguments)
    MMLogger.get_current_instance().setLevel('WARNING')
    set_random_seed(args.seed)
    try:
        paths = find_images(args.images)
    except FileNotFoundError as error:
        sys.exit(f'reconstruct.py: {error}')
    chosen = torch.randperm(len(paths))[: args.count].sort().values
    paths = [paths[i] for i in chosen.tolist()]
    cfg = Config.fromfile(args.config)
    model = build(cfg, args.checkpoint)
    inputs = read(model, paths)
    mask = random_mask(len(inputs), model.backbone.mask_grid(*inputs.shape[-2:]), model.mask_ratio)
    draw(*level_by_level(model, inputs, mask), model, args.out)
    print(f'wrote {args.out}')


def build(cfg: Config, checkpoint: str) -> 'wamim_mm.WaMIM':
    """The config's model with the checkpoint's weights."""
    from mmpretrain.registry import MODELS

    model = MODELS.build(cfg.model)
    load_checkpoint(model, checkpoint, map_location='cpu', strict=True)
    model.eval()
    return model


def read(model: 'wamim_mm.WaMIM', paths: list[Path]) -> Tensor:
    """``(N, 3, H, W)`` normalized images, short side and centre crop at the model's size."""
    from mmpretrain.registry import TRANSFORMS

    steps = centre_crop_pipeline(model.backbone.img_size)
    pipeline = Compose([TRANSFORMS.build(step) for step in steps])
    batch = default_collate([pipeline(dict(img_path=str(path))) for path in paths])
    return model.data_preprocessor(batch)['inputs']


@torch.no_grad()
def level_by_level(
    model: 'wamim_mm.WaMIM', inputs: Tensor, mask: Tensor
) -> tuple[list[Tensor], list[Tensor]]:
    """The columns of the upper and the lower row, each ``(N, 3, H, W)``; NaN is drawn as grey."""
    targets = model.target_generator
    predicted = model.neck(model.backbone(inputs, mask))
    true = targets(inputs)
    hidden = hidden_pixels(mask, inputs)
    above, below = [inputs], [inputs.masked_fill(hidden, float('nan'))]
    for first in range(len(targets.levels) - 1, -1, -1):
        part = wamim_mm.WaveletTargetGenerator(
            targets.wavelet, targets.levels[first:], targets.subbands, targets.norm
        )
        below.append(part.to_images(true[first:], inputs))
        above.append(part.to_images(predicted[first:], inputs).where(hidden, below[-1]))
    return above, below


def hidden_pixels(mask: Tensor, inputs: Tensor) -> Tensor:
    """``(N, 1, H, W)`` bool, the mask at the size of the images."""
    unit = inputs.shape[2] // mask.shape[1]
    return mask.repeat_interleave(unit, 1).repeat_interleave(unit, 2)[:, None]


def draw(above: list[Tensor], below: list[Tensor], model: 'wamim_mm.WaMIM', out: Path) -> None:
    """Write the picture."""
    import matplotlib

    matplotlib.use('Agg')
    import matplotlib.pyplot as plt

    levels = model.target_generator.levels[::-1]
    names = [f'level {levels[0]}', *(f'+ level {level}' for level in levels[1:])]
    rows = (('image', 'predicted: ', above), ('visible', 'true: ', below))
    count, columns = len(above[0]), len(above)
    figure, axes = plt.subplots(
        2 * count,
        columns,
        figsize=(1.7 * columns, 3.7 * count),
        squeeze=False,
        layout='constrained',
    )
    mean, std = (getattr(model.data_preprocessor, name).view(3, 1, 1) for name in ('mean', 'std'))
    for i in range(count):
        for k, (first, prefix, images) in enumerate(rows):
            for column, batch in enumerate(images):
                picture = ((batch[i] * std + mean) / 255).clamp(0, 1).nan_to_num(0.6)
                axis = axes[2 * i + k, column]
                axis.imshow(picture.permute(1, 2, 0).numpy(), interpolation='nearest')
                axis.set_title(first if column == 0 else prefix + names[column - 1], fontsize=8)
                axis.axis('off')
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=100)
    plt.close(figure)


if __name__ == '__main__':
    main()
