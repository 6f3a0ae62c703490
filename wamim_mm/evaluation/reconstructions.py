"""Pictures of what a pre-trained model sees of images and what it makes of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, default_collate
from mmengine.logging import MMLogger
from mmengine.model import BaseModel
from mmengine.runner import set_random_seed
from mmpretrain.registry import TRANSFORMS
from torch import Tensor

from ..class_names import builds
from ..data.bad_files import BadImage
from ..data.format_checks import check_channels
from ..data.images import centre_crop_pipeline, train_pipeline
from ..models import MFM, WaMIM, WaveletTargetGenerator
from ..ops.masking import random_mask
from .models import build_model, input_size, load_weights

#: Titles and pictures, each ``(N, C, H, W)``.
Row = dict[str, Tensor]


def draw_reconstructions(
    cfg: Config,
    checkpoint: str,
    paths: Sequence[Path | str],
    out: Path,
    count: int = 4,
    seed: int = 0,
) -> str:
    """Draw one picture, with two rows for each image; `cli.reconstruct` says what they show.

    Args:
        cfg: A pre-training config.
        checkpoint: Weights of its model.
        paths: Images.
        out: The picture's file.
        count: How many images are drawn, chosen at random.
        seed: Of the choice and of the masks.

    Returns:
        What the picture does not show; empty if it shows all.

    Raises:
        ValueError: The config is not one of pre-training, the checkpoint does not fit its model,
            images and model differ in their number of channels, or a file cannot be read as the
            config's pipeline reads it.
    """
    MMLogger.get_current_instance().setLevel('WARNING')
    set_random_seed(seed)
    order = torch.randperm(len(paths)).tolist()
    model = build_model(cfg)
    if not isinstance(model, WaMIM | MFM):
        raise ValueError(
            f'{type(model).__name__} reconstructs nothing, WaMIM and MFM do; take a pre-training '
            'config, or tools/infer.py for this one'
        )
    load_weights(model, checkpoint)
    model.eval()
    inputs = read_some(model, paths, order, count, train_pipeline(cfg))
    draw(rows_of(model, inputs), out)
    bands = inputs.shape[1]
    return f'of {bands} channels the first {shown(bands)}' if shown(bands) < bands else ''


def is_pretraining(cfg: Config) -> bool:
    """Whether the config's model is one whose reconstructions can be drawn."""
    return builds(cfg.model, WaMIM | MFM, 'MODELS', cfg.get('default_scope'))


def read_some(
    model: BaseModel,
    paths: Sequence[Path | str],
    order: Sequence[int],
    count: int,
    like: Sequence[dict],
) -> Tensor:
    """The first images in some order that can be read, as `read` gives them.

    Raises:
        ValueError: None can be; the last one's fault.
    """
    found: dict[int, Tensor] = {}
    fault: BadImage | None = None
    for index in order:
        if len(found) == count:
            break
        try:
            found[index] = read(model, [paths[index]], like)
        except BadImage as bad:
            fault = bad
    if not found:
        assert fault is not None  # there are paths
        raise fault
    return torch.cat([found[index] for index in sorted(found)])


def read(model: BaseModel, paths: Sequence[Path | str], like: Sequence[dict] = ()) -> Tensor:
    """``(N, C, H, W)`` normalized images, short side and centre crop at the model's size.

    Args:
        model: A model of mmpretrain.
        paths: Image files.
        like: The pipeline of the training, whose way to read files is taken.
    """
    steps = centre_crop_pipeline(input_size(model), like)
    pipeline = Compose([TRANSFORMS.build(step) for step in steps])
    samples = [pipeline(dict(img_path=str(path))) for path in paths]
    for sample in samples:
        check_channels(len(sample['inputs']), model, 'train_dataloader.dataset.pipeline.0')
    batch: Any = default_collate(samples)
    return model.data_preprocessor(batch)['inputs']


def rows_of(model: WaMIM | MFM, inputs: Tensor) -> list[Row]:
    """What is drawn of ``(N, C, H, W)`` normalized images; on the CPU."""
    rows = mfm_rows(model, inputs) if isinstance(model, MFM) else wamim_rows(model, inputs)
    return [{title: part.cpu() for title, part in row.items()} for row in rows]


@torch.no_grad()
def wamim_rows(model: WaMIM, inputs: Tensor) -> list[Row]:
    """The image and its predicted levels; the visible part and its true levels."""
    mask = random_mask(len(inputs), model.backbone.mask_grid(*inputs.shape[-2:]), model.mask_ratio)
    targets = model.target_generator
    predicted = model.neck(model.backbone(inputs, mask))
    true = targets(inputs)
    hidden = hidden_pixels(mask.to(inputs.device), inputs)
    above = {'image': inputs}
    below = {'visible': inputs.masked_fill(hidden, float('nan'))}
    for first in range(len(targets.levels) - 1, -1, -1):
        part = WaveletTargetGenerator(
            targets.wavelet,
            targets.levels[first:],
            targets.subbands,
            targets.norm,
            targets.img_size,
        )
        coarsest = first == len(targets.levels) - 1
        name = f'{"" if coarsest else "+ "}level {targets.levels[first]}'
        known = part.to_images(true[first:], inputs)
        below[f'true: {name}'] = known
        above[f'predicted: {name}'] = part.to_images(predicted[first:], inputs).where(hidden, known)
    return [as_pictures(model, row) for row in (above, below)]


def hidden_pixels(mask: Tensor, inputs: Tensor) -> Tensor:
    """``(N, 1, H, W)`` bool, the mask at the size of the images."""
    unit = inputs.shape[2] // mask.shape[1]
    return mask.repeat_interleave(unit, 1).repeat_interleave(unit, 2)[:, None]


def mfm_rows(model: MFM, inputs: Tensor) -> list[Row]:
    """The image, its degraded form and the prediction; the spectra of these."""
    degraded, mask = model.degrade(inputs)
    images = dict(image=inputs, degraded=degraded, predicted=model.restore(inputs, degraded, mask))
    pictures = as_pictures(model, images)
    moduli = {f'{name}: spectrum': modulus(part) for name, part in pictures.items()}
    largest = moduli['image: spectrum'].amax((1, 2, 3), keepdim=True)
    return [pictures, {title: four_decades(part / largest) for title, part in moduli.items()}]


def modulus(pictures: Tensor) -> Tensor:
    """``(N, C, H, W)``, the mean of the channels' spectra, frequency 0 in the centre."""
    mean = torch.fft.fft2(pictures, norm='ortho').abs().mean(1, keepdim=True)
    return torch.fft.fftshift(mean, dim=(-2, -1)).expand_as(pictures)


def four_decades(share: Tensor) -> Tensor:
    """Map 0.0001 to 0 and 1 to 1 on a logarithmic scale; values outside are clamped."""
    return (1 + share.clamp(1e-4, 1).log10() / 4).clamp(min=0)


def as_pictures(model: BaseModel, row: Row) -> Row:
    """Normalized images as pictures in [0, 1]; NaN, which is what was hidden, as grey.

    Of three and more channels the first three are red, green and blue, whatever the model sees.
    """
    preprocessor = model.data_preprocessor
    mean, std = getattr(preprocessor, 'mean', 0.0), getattr(preprocessor, 'std', 1.0)
    pictures = {
        title: ((images * std + mean) / 255).clamp(0, 1).nan_to_num(0.6)
        for title, images in row.items()
    }
    # As MMEngine's preprocessors have it, and as mmpretrain's of classifiers has.
    red_first = getattr(preprocessor, '_channel_conversion', getattr(preprocessor, 'to_rgb', False))
    if red_first:
        return pictures
    return {title: torch.cat([x[:, :3].flip(1), x[:, 3:]], 1) for title, x in pictures.items()}


def shown(channels: int) -> int:
    """How many channels a picture shows: three as colours, or one as grey."""
    return 3 if channels >= 3 else 1


def figure(rows: list[Row]) -> Any:
    """matplotlib's figure of the rows of the first image, then those of the second, and so on."""
    import matplotlib

    matplotlib.use('Agg')
    import matplotlib.pyplot as plt

    count, columns = len(next(iter(rows[0].values()))), len(rows[0])
    drawn, axes = plt.subplots(
        len(rows) * count,
        columns,
        figsize=(1.7 * columns, 1.85 * len(rows) * count),
        squeeze=False,
        layout='constrained',
        dpi=100,
    )
    for k, row in enumerate(rows):
        for column, (title, pictures) in enumerate(row.items()):
            for axis, picture in zip(axes[k :: len(rows), column], pictures, strict=True):
                visible = picture[: shown(len(picture))].expand(3, -1, -1)
                axis.imshow(visible.permute(1, 2, 0).numpy(), interpolation='nearest')
                axis.set_title(title, fontsize=8)
                axis.axis('off')
    return drawn


def draw(rows: list[Row], out: Path) -> None:
    """Write the figure of the rows."""
    import matplotlib.pyplot as plt

    drawn = figure(rows)
    out.parent.mkdir(parents=True, exist_ok=True)
    drawn.savefig(out)
    plt.close(drawn)


def as_array(rows: list[Row]) -> np.ndarray:
    """The figure of the rows as ``(H, W, 3)`` uint8."""
    import matplotlib.pyplot as plt

    drawn: Any = figure(rows)
    drawn.canvas.draw()
    pixels = np.asarray(drawn.canvas.buffer_rgba())[..., :3].copy()
    plt.close(drawn)
    return pixels
