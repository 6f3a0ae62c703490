"""Top-1 of a classifier on corrupted and out-of-distribution images.

python tools/robustness.py CONFIG CHECKPOINT --on imagenet-c --data-root DIR

`--on` is one of
    imagenet-c       DIR/<corruption>/<severity>/<wnid>/; mean corruption error (mCE)
    imagenet-a       DIR/<wnid>/, 200 classes; top-1 among them. Likewise
    imagenet-r       (200 classes) and
    imagenet-sketch  (1000)
    corruptions      the corruptions of ImageNet-C, made on the fly for the images of the config's
                     own test_dataloader, whatever the data set; no DIR
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..class_names import import_custom_modules, library_of
from ..imagenet_c import CORRUPTIONS, SEVERITIES
from .checks import check_data, use_image_folder, use_shards
from .errors import CommandParser, command, metrics_file
from .launch import add_common_arguments, build_runner, load_config
from .settings import check_checkpoint

if TYPE_CHECKING:
    from mmengine.config import Config
    from mmengine.runner import Runner

#: How many classes, and so class folders, a benchmark has.
CLASSES = {'imagenet-c': 1000, 'imagenet-a': 200, 'imagenet-r': 200, 'imagenet-sketch': 1000}
#: The authors' own: the images are crops of 224 x 224 already, to be resized no further.
IMAGENET_C_PIPELINE = [
    dict(type='mmpretrain.LoadImageFromFile'),
    dict(type='mmpretrain.CenterCrop', crop_size=224),
    dict(type='mmpretrain.PackInputs'),
]


def parse_args() -> argparse.Namespace:
    """Read the command line; end the program if the arguments are wrong."""
    parser = CommandParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config')
    parser.add_argument('checkpoint')
    parser.add_argument('--on', required=True, choices=[*CLASSES, 'corruptions'])
    parser.add_argument('--data-root', metavar='DIR', help='where the benchmark lies')
    parser.add_argument(
        '--severities',
        nargs='+',
        type=int,
        choices=SEVERITIES,
        default=SEVERITIES,
        metavar='S',
        help='of imagenet-c and corruptions (1 2 3 4 5)',
    )
    parser.add_argument(
        '--out', type=metrics_file, metavar='FILE.json', help='write the result to this file'
    )
    add_common_arguments(parser)
    args = parser.parse_args()
    if args.on == 'corruptions' and args.data_root:
        parser.error('--on corruptions takes the images of the config: --cfg-options data_root=DIR')
    if args.on != 'corruptions' and not args.data_root:
        parser.error(f'--on {args.on} needs --data-root DIR')
    return args


@command
def main() -> None:
    """Test the classifier, print the table and write the numbers if asked."""
    args = parse_args()
    cfg = load_config(args, folder='evaluation')
    check_checkpoint(args.checkpoint)
    runner = prepare(args, cfg)
    metrics = runner.test()

    import mmengine
    from mmengine.dist import is_main_process

    from ..evaluation.robustness import summarize, table

    result = summarize(args.on, {name: m['accuracy/top1'] for name, m in metrics.items()})
    if is_main_process():
        print(table(result))
        if args.out:
            mmengine.mkdir_or_exist(Path(args.out).resolve().parent)
            mmengine.dump(result, args.out, indent=2)


def prepare(args: argparse.Namespace, cfg: Config) -> Runner:
    """A Runner that tests on all the data sets, after a look at what they need."""
    if library_of(cfg) != 'mmpretrain':
        raise ValueError(
            f'{args.config} is not a config of mmpretrain: there are no classes to score'
        )
    given: Any = (cfg.get('test_dataloader') or {}).get('dataset') or {}
    if 'pipeline' not in given:
        raise ValueError(f'{args.config} has no test_dataloader.dataset with a pipeline')
    folders = {} if args.on == 'corruptions' else benchmark(args, given.pipeline)
    for dataset in folders.values() or [given]:
        check_data(dataset)

    from mmengine.registry import DATASETS

    from ..data.classes import TrainedClasses, name_folders
    from ..evaluation.robustness import check_head, folder_classes

    if args.on == 'corruptions':
        import_custom_modules(cfg)
        # Before there are copies: all of them are of the same images.
        use_shards(given)
        use_image_folder(given, cfg)
        name_folders(given, TrainedClasses.from_checkpoint(args.checkpoint), 'mmpretrain')
        datasets = on_the_fly(given, args.severities, cfg.get('default_scope'))
        cfg.test_evaluator = dict(type='mmpretrain.Accuracy', topk=1)
    else:
        datasets = folders
        for dataset in datasets.values():
            folder = Path(dataset['data_root'], dataset['data_prefix'])
            classes = folder_classes(folder, CLASSES[args.on])
        cfg.test_evaluator = dict(type='mmpretrain.SubsetAccuracy', classes=classes)
    cfg.test_dataloader.dataset = next(iter(datasets.values()))
    cfg.test_cfg = dict(type='DatasetsTestLoop')
    cfg.load_from = args.checkpoint
    runner = build_runner(cfg, ('test_dataloader',), strict=True, amp=args.amp)
    runner.test_loop.datasets = datasets

    if args.on == 'corruptions':
        own_classes = runner.test_loop.dataloader.dataset.metainfo.get('classes')
        if own_classes:
            check_head(runner.model, len(own_classes))
        # Images that cannot be corrupted are to be refused now, not in a worker later.
        DATASETS.build(datasets[f'{CORRUPTIONS[0]}/{args.severities[0]}'])[0]
    else:
        check_head(runner.model, 1000)
    return runner


def on_the_fly(clean: dict, severities: Sequence[int], scope: str | None = None) -> dict[str, dict]:
    """The data set as it is, and once for each corruption and severity."""
    from ..data.corruptions import corrupted

    pairs = itertools.product(CORRUPTIONS, severities)
    return {'clean': clean} | {
        f'{corruption}/{severity}': dict(
            clean, pipeline=corrupted(clean['pipeline'], corruption, severity, scope)
        )
        for corruption, severity in pairs
    }


def benchmark(args: argparse.Namespace, pipeline: list[dict]) -> dict[str, dict]:
    """The folder of the benchmark, or the folders of ImageNet-C's corruptions and severities."""
    if args.on != 'imagenet-c':
        folder = dict(type='mmpretrain.CustomDataset', data_root=args.data_root, data_prefix='')
        return {args.on: dict(folder, pipeline=pipeline)}
    prefixes = [f'{name}/{severity}' for name in CORRUPTIONS for severity in args.severities]
    folder = dict(type='mmpretrain.CustomDataset', data_root=args.data_root)
    return {
        prefix: dict(folder, data_prefix=prefix, pipeline=IMAGENET_C_PIPELINE)
        for prefix in prefixes
    }


if __name__ == '__main__':
    main()
