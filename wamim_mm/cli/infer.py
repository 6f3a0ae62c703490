"""Draw what a trained model says about images: boxes and masks, label maps, classes.

python tools/infer.py CONFIG CHECKPOINT IMAGE_OR_FOLDER --out DIR

One picture an image, under the same name in DIR; for a pre-training config, one picture with the
reconstructions that tools/reconstruct.py draws.
"""

import argparse
import sys
from pathlib import Path
from pickle import UnpicklingError

import mmcv
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.logging import MMLogger
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, VISUALIZERS, init_default_scope
from mmengine.runner import load_checkpoint
from mmengine.visualization import Visualizer
from tqdm import tqdm

from ..data.images import find_images
from . import reconstruct


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config')
    parser.add_argument('checkpoint')
    parser.add_argument('images', type=Path, help='an image, or a folder with images')
    parser.add_argument('--out', type=Path, required=True, metavar='DIR')
    parser.add_argument('--score', type=float, default=0.3, help='least score of a box to draw')
    parser.add_argument('--count', type=int, help='draw that many images, spread over the folder')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    MMLogger.get_current_instance().setLevel('WARNING')
    cfg = Config.fromfile(args.config)
    if cfg.model.type in ('WaMIM', 'MFM'):
        out, count = args.out / 'reconstruction.png', args.count or 4
        reconstruct.main(
            [args.config, args.checkpoint, str(args.images)]
            + ['--out', str(out), '--count', str(count)]
        )
        return
    try:
        paths = find_images(args.images)
        model, meta = build(cfg, args.checkpoint)
    except (OSError, RuntimeError, ValueError, UnpicklingError) as error:
        sys.exit(f'infer.py: {error}')
    paths = paths[:: max(1, len(paths) // (args.count or len(paths)))][: args.count]
    pipeline = Compose(without_annotations(cfg.test_dataloader.dataset.pipeline))
    visualizer = VISUALIZERS.build(dict(cfg.visualizer, name='infer', vis_backends=None))
    visualizer.dataset_meta = meta
    root = args.images if args.images.is_dir() else args.images.parent
    for path in tqdm(paths, unit='image'):
        batch = pseudo_collate([pipeline(dict(img_path=str(path), img_id=0))])
        with torch.no_grad():
            sample = model.test_step(batch)[0].cpu()
        out = (args.out / path.relative_to(root)).with_suffix('.png')
        draw(visualizer, path, sample, out, args.score)
    print(f'wrote {len(paths)} pictures to {args.out}')


def build(cfg: Config, checkpoint: str) -> tuple[torch.nn.Module, dict]:
    """The config's model with the checkpoint's weights, and the meta data of its training set."""
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    model = MODELS.build(cfg.model)
    meta = load_checkpoint(model, checkpoint, map_location='cpu', strict=True).get('meta', {})
    if 'dataset_meta' not in meta:
        raise ValueError(
            f'{checkpoint} has no meta.dataset_meta, so that its classes have no names; take a '
            'checkpoint that a training run wrote'
        )
    model.eval()
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    return revert_sync_batchnorm(model).to(device), meta['dataset_meta']


def without_annotations(pipeline: list[dict]) -> list[dict]:
    """The test pipeline, for images that have none."""
    return [step for step in pipeline if not step['type'].endswith('LoadAnnotations')]


def draw(visualizer: Visualizer, path: Path, sample, out: Path, score: float) -> None:
    """Write one picture with the library's own visualizer."""
    image = mmcv.imread(str(path), channel_order='rgb')
    out.parent.mkdir(parents=True, exist_ok=True)
    if hasattr(visualizer, 'visualize_cls'):  # mmpretrain
        classes = visualizer.dataset_meta.get('classes')
        visualizer.visualize_cls(image, sample, classes=classes, draw_gt=False, out_file=str(out))
        return
    options = {} if 'pred_sem_seg' in sample else dict(pred_score_thr=score)
    visualizer.add_datasample(path.stem, image, sample, draw_gt=False, out_file=str(out), **options)


if __name__ == '__main__':
    main()
