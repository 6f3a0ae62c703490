"""Linear probe of a pre-trained encoder beside the same encoder at random initialization.

python tools/linear_probe.py CONFIG CHECKPOINT --data-root DIR

DIR holds class folders, DIR/train/<class>/ and DIR/val/<class>/ (or another split, --val). The
encoder is frozen; its feature maps (out_indices), averaged over the positions and put one after
another, go to a logistic regression. With --corruptions the regression, fitted to clean images, is
scored on corrupted ones too.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import mean

import torch
from mmengine.config import Config
from mmengine.dataset import DefaultSampler, default_collate
from mmengine.logging import MMLogger
from mmengine.runner import load_checkpoint, set_random_seed
from torch.utils.data import DataLoader
from tqdm import tqdm

from ..data.corruptions import CORRUPTIONS, corrupted
from ..data.images import centre_crop_pipeline
from ..evaluation.linear_probe import extract_features, fit_linear_probe
from .launch import check_data

#: The middle of ImageNet-C's five.
SEVERITY = 3


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config')
    parser.add_argument('checkpoint')
    parser.add_argument('--data-root', required=True)
    parser.add_argument('--val', default='val', help='the split to score, a folder of DIR')
    parser.add_argument('--random-seeds', type=int, default=3, help='random encoders to average')
    parser.add_argument(
        '--corruptions',
        nargs='+',
        choices=CORRUPTIONS,
        default=[],
        metavar='NAME',
        help=f'score on images corrupted so, at severity {SEVERITY}: {", ".join(CORRUPTIONS)}',
    )
    parser.add_argument('--batch-size', type=int, default=64)
    parser.add_argument('--out', type=Path, metavar='FILE.json', help='write the numbers there')
    args = parser.parse_args()
    if args.random_seeds < 1:
        parser.error(f'--random-seeds must be at least 1, got {args.random_seeds}')
    return args


def main() -> None:
    args = parse_args()
    MMLogger.get_current_instance().setLevel('WARNING')
    cfg = Config.fromfile(args.config)
    models = [build(cfg, seed) for seed in (0, *range(args.random_seeds))]
    size = models[0].img_size
    try:
        train, val = (loader(args, size, split) for split in ('train', args.val))
        tests = {'clean': val}
        tests |= {name: loader(args, size, args.val, name) for name in args.corruptions}
    except (FileNotFoundError, ImportError) as error:
        sys.exit(f'linear_probe.py: {error}')

    load_checkpoint(models[0], args.checkpoint, map_location='cpu', strict=True)
    bar = tqdm(total=len(train) + len(val) * len(tests), desc='features', unit='batch')

    def counted(batches: DataLoader) -> Iterator[dict]:
        for batch in batches:
            yield batch
            bar.update()

    features, labels = extract_features(models, counted(train))
    probes = [fit_linear_probe(x, labels) for x in features]
    scores = {}
    for name, test in tests.items():
        features, labels = extract_features(models, counted(test))
        scores[name] = [
            probe.accuracy(x, labels) for probe, x in zip(probes, features, strict=True)
        ]
    bar.close()
    pretrained, *random = scores.pop('clean')
    result = {
        'pretrained': pretrained,
        'random': mean(random),
        'random_seeds': random,
        'chance': 1 / len(val.dataset.CLASSES),
        'train_images': len(train.dataset),
        'val_images': len(val.dataset),
    }
    if scores:
        result['corruptions'] = {
            name: {'pretrained': shares[0], 'random': mean(shares[1:])}
            for name, shares in scores.items()
        }
    print(
        f'linear probe, {result["val_images"]} images: pre-trained {result["pretrained"]:.1%}, '
        f'random initialization {result["random"]:.1%}, chance {result["chance"]:.1%}'
    )
    for name, both in result.get('corruptions', {}).items():
        print(
            f'  {name}: pre-trained {both["pretrained"]:.1%}, '
            f'random initialization {both["random"]:.1%}'
        )
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(result, indent=2))


def build(cfg: Config, seed: int) -> torch.nn.Module:
    """The config's model at random initialization, its backbone yielding feature maps."""
    from mmpretrain.registry import MODELS

    set_random_seed(seed)
    model_cfg = cfg.model.copy()
    if 'ViT' in model_cfg.backbone.type:
        model_cfg.backbone.out_type = 'featmap'
    model = MODELS.build(model_cfg)
    model.init_weights()
    return model.to('cuda' if torch.cuda.is_available() else 'cpu')


def loader(
    args: argparse.Namespace, size: tuple[int, int], split: str, corruption: str | None = None
) -> DataLoader:
    """Labelled images of a split, resized to the encoder's input, corrupted or as they are."""
    from mmpretrain.registry import DATASETS

    pipeline = centre_crop_pipeline(size)
    if corruption:
        pipeline = corrupted(pipeline, corruption, SEVERITY)
    dataset = dict(type='CustomDataset', data_root=args.data_root, data_prefix=split)
    check_data(dataset)
    data = DATASETS.build(dict(dataset, pipeline=pipeline))
    sampler = DefaultSampler(data, shuffle=False)
    return DataLoader(data, args.batch_size, sampler=sampler, collate_fn=default_collate)


if __name__ == '__main__':
    main()
