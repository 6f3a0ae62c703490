"""Pictures of what a trained model says about images, with its library's own visualizer."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from mmcv.transforms import LoadAnnotations, LoadImageFromFile
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.logging import MMLogger
from mmengine.model import BaseModel, revert_sync_batchnorm
from mmengine.registry import VISUALIZERS
from mmengine.visualization import Visualizer
from mmpretrain.registry import TRANSFORMS
from tqdm import tqdm

from ..class_names import builds, library_of
from ..data.images import loading_step
from ..data.loading import TRAIN_STEP
from .models import build_model, load_weights


def draw_predictions(
    cfg: Config,
    checkpoint: str,
    paths: Sequence[Path | str],
    names: Sequence[str],
    out: Path,
    score: float,
) -> None:
    """Draw one picture for each image.

    Args:
        cfg: Config of a classifier, detector or segmentor.
        checkpoint: What a training run of it wrote.
        paths: Images.
        names: Of the images, with ``/`` between folders.
        out: The folder for the pictures, named as the images are.
        score: Least score of a box to draw.

    Raises:
        FileExistsError: There is a picture, or another file, of one of the names.
        OSError, RuntimeError, pickle.UnpicklingError: The checkpoint cannot be read, or does not
            fit.
        ValueError: It does not name its classes, or is of another grid of patches; or a file is no
            image that the test pipeline reads whole.
    """
    pictures = picture_names(names, out)
    for picture in pictures:
        if picture.exists():
            raise FileExistsError(f'{picture} exists; remove it or choose another folder')
    MMLogger.get_current_instance().setLevel('WARNING')
    model, meta = build(cfg, checkpoint)
    scope = cfg.get('default_scope') or library_of(cfg)
    place = 'test_dataloader' if cfg.get('test_dataloader') else 'val_dataloader'
    loader = cfg.get(place)
    if loader is None or cfg.get('visualizer') is None:
        raise ValueError(
            'the config has no test_dataloader, or no visualizer, which say how images are read '
            'and drawn; add them as the configs of its library have them'
        )
    steps = loader.dataset.pipeline
    pipeline = Compose(without_annotations(steps, scope))
    visualizer = VISUALIZERS.build(dict(cfg.visualizer, name='infer', vis_backends=None))
    visualizer.dataset_meta = meta
    for path, picture in zip(tqdm(paths, unit='image'), pictures, strict=True):
        try:
            image = rgb_picture(path, steps)
        except ValueError as error:
            step = f'{place}.dataset.pipeline.0'
            fix = f'{step}.type=mmpretrain.LoadImage {step}.'
            raise ValueError(str(error).replace(TRAIN_STEP, fix)) from None
        results = dict(img_path=str(path), img_id=0)
        for step in pipeline.transforms:
            results = step(results)
            if isinstance(step, LoadImageFromFile):
                # mmcv leaves some images lying that ours turns, and this is what the model sees.
                image = _rgb(results['img'])
        batch = pseudo_collate([results])
        with torch.no_grad():
            sample = model.test_step(batch)[0].cpu()
        draw(visualizer, image, picture.stem, sample, picture, score)


def rgb_picture(path: Path | str, like: Sequence[dict]) -> np.ndarray:
    """``(H, W, 3)`` uint8 of a file as a pipeline reads it; of four bands, the first three.

    Raises:
        ValueError: It is no image, or the pipeline would cut bits or bands off.
    """
    load = TRANSFORMS.build(loading_step(like))
    return _rgb(load(dict(img_path=str(path)))['img'])


def _rgb(image: np.ndarray) -> np.ndarray:
    """``(H, W, 3)`` uint8 of what a loader gives: grey, or in the order BGR."""
    image = np.stack([image] * 3, -1) if image.ndim == 2 else image[..., 2::-1]
    return np.ascontiguousarray(image, np.uint8)


def picture_names(names: Sequence[str], out: Path) -> list[Path]:
    """A PNG file for each image, under ``out`` as its name says.

    ``a.png`` for ``a.jpg``; where two images differ only in their suffix, all of them keep theirs:
    ``a.jpg.png`` and ``a.png.png``.
    """
    places = [out / name for name in names]
    pictures = [place.with_suffix('.png') for place in places]
    if len(set(pictures)) == len(names):
        return pictures
    return [place.with_name(f'{place.name}.png') for place in places]


def build(cfg: Config, checkpoint: str) -> tuple[BaseModel, dict]:
    """The config's model with the checkpoint's weights, and the meta data of its training set."""
    model = build_model(cfg)
    meta = load_weights(model, checkpoint)
    if 'dataset_meta' not in meta:
        raise ValueError(
            f'{checkpoint} has no meta.dataset_meta, so that its classes have no names; take a '
            'checkpoint that a training run wrote'
        )
    model.eval()
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    return revert_sync_batchnorm(model).to(device), meta['dataset_meta']


def without_annotations(pipeline: list[dict], scope: str | None) -> list[dict]:
    """The test pipeline, of types of a library, without its steps that load annotations."""
    return [step for step in pipeline if not builds(step, LoadAnnotations, 'TRANSFORMS', scope)]


def draw(
    visualizer: Visualizer, image: np.ndarray, name: str, sample, out: Path, score: float
) -> None:
    """Write one picture with the library's own visualizer."""
    out.parent.mkdir(parents=True, exist_ok=True)
    if hasattr(visualizer, 'visualize_cls'):  # mmpretrain
        classes = visualizer.dataset_meta.get('classes')
        visualizer.visualize_cls(image, sample, classes=classes, draw_gt=False, out_file=str(out))
        return
    options = {} if 'pred_sem_seg' in sample else dict(pred_score_thr=score)
    visualizer.add_datasample(name, image, sample, draw_gt=False, out_file=str(out), **options)
