"""Linear probe of a pre-trained encoder beside the same encoder at random initialization.

python tools/linear_probe.py [CONFIG] CHECKPOINT --data-root DIR

DIR holds class folders, DIR/train/<class>/ and DIR/val/<class>/ (or another split, --val). The
encoder is frozen; its feature maps (out_indices), averaged over the positions and put one after
another, go to a logistic regression. With --corruptions the regression, fitted to clean images, is
scored on corrupted ones too.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

from ..imagenet_c import CORRUPTIONS
from .checks import check_data, class_folders
from .errors import CommandParser, command, positive
from .given import add_checkpoint, given_config
from .settings import check_checkpoint, check_new_file

if TYPE_CHECKING:
    from mmengine.config import Config

#: The middle of ImageNet-C's five.
SEVERITY = 3


def parse_args() -> argparse.Namespace:
    """Read the command line; end the program if the arguments are wrong."""
    parser = CommandParser(description=__doc__.splitlines()[0])
    add_checkpoint(parser)
    parser.add_argument('--data-root', required=True)
    parser.add_argument('--val', default='val', help='the split to score, a folder of DIR')
    parser.add_argument(
        '--random-seeds', type=positive, default=3, help='random encoders to average'
    )
    parser.add_argument(
        '--corruptions',
        nargs='+',
        choices=CORRUPTIONS,
        default=[],
        metavar='NAME',
        help=f'score on images corrupted so, at severity {SEVERITY}: {", ".join(CORRUPTIONS)}',
    )
    parser.add_argument('--batch-size', type=positive, default=64)
    parser.add_argument('--out', type=Path, metavar='FILE.json', help='write the numbers there')
    args = parser.parse_args()
    if args.out:
        check_new_file(args.out, '--out', ('.json',))
    return args


@command
def main() -> None:
    """Score the encoders, print the accuracies and write them if asked."""
    args = parse_args()
    check_checkpoint(args.checkpoint)
    for split, fix in (
        ('train', 'set another --data-root'),
        (args.val, 'set another --data-root, or --val'),
    ):
        check_data(dict(data_root=args.data_root, data_prefix=split), fix)
    class_folders(Path(args.data_root, 'train'))
    with given_config(args.config, args.checkpoint, args.cfg_options) as cfg:
        result = probe(args, cfg)
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
        args.out.write_text(json.dumps(result, indent=2))


def probe(args: argparse.Namespace, cfg: Config) -> dict[str, Any]:
    """The accuracies, as they are written."""
    from mmengine.logging import MMLogger
    from tqdm import tqdm

    from ..data.format_checks import check_formats
    from ..data.images import train_pipeline
    from ..evaluation.linear_probe import (
        build_encoder,
        extract_features,
        fit_linear_probe,
        split_loader,
    )
    from ..evaluation.models import input_size, load_encoder

    MMLogger.get_current_instance().setLevel('WARNING')
    models = [build_encoder(cfg, seed) for seed in (0, *range(args.random_seeds))]
    load_encoder(models[0], args.checkpoint)
    given = (args.data_root, input_size(models[0]), args.batch_size)
    like = train_pipeline(cfg)
    train = split_loader('train', *given, like=like)
    fitted: Any = train.dataset  # torch's type of data sets has no length
    val = split_loader(args.val, *given, classes=fitted.CLASSES, like=like)
    for loader in (train, val):
        check_formats(loader.dataset, models[0], 'train_dataloader')
    tests = {'clean': val}
    tests |= {
        name: split_loader(args.val, *given, (name, SEVERITY), fitted.CLASSES, like)
        for name in args.corruptions
    }

    bar = tqdm(total=len(train) + len(val) * len(tests), desc='features', unit='batch')

    def counted(batches: Iterable[dict]) -> Iterator[dict]:
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
    scored: Any = val.dataset
    result: dict[str, Any] = {
        'pretrained': pretrained,
        'random': mean(random),
        'random_seeds': random,
        'chance': 1 / len(fitted.CLASSES),
        'train_images': len(fitted),
        'val_images': len(scored),
    }
    if scores:
        result['corruptions'] = {
            name: {'pretrained': shares[0], 'random': mean(shares[1:])}
            for name, shares in scores.items()
        }
    return result


if __name__ == '__main__':
    main()
