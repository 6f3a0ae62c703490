"""Draw what WaMIM's ViT makes of test images that it has not seen, after its longest run here.

python -m benchmarks.study.pictures --data DIR
"""

import argparse
from pathlib import Path

import torch
from mmengine.registry import init_default_scope

from wamim_mm.evaluation.models import build_model
from wamim_mm.evaluation.reconstructions import draw, wamim_rows

from . import records
from .__main__ import WORK
from .data import load_cifar10
from .found import CONTENDER
from .page import IMAGES
from .plan import BUDGETS, load
from .pretraining import normalized

COUNT = 3
#: Of the test images, whose order mixes the classes.
FIRST = 12
PICTURE = IMAGES / 'study_reconstructions.png'


def longest_run(budget: str, config: str) -> dict:
    """The record of the longest pre-training whose weights are on this machine.

    Raises:
        FileNotFoundError: There is none.
    """
    done = [
        record
        for record in records.current(records.RESULTS / f'{budget}.jsonl').values()
        if record['config'] == config and record['kind'] == 'pretraining'
    ]
    done = [record for record in done if weights_of(budget, record).is_file()]
    if not done:
        raise FileNotFoundError(
            f'{WORK / budget} has no weights of {config}: first python -m benchmarks.study '
            f'--part headline --budget {budget}'
        )
    return max(done, key=lambda record: record['epochs'])


def weights_of(budget: str, record: dict) -> Path:
    """The file that a pre-training has left."""
    return WORK / budget / record['key'] / record['config_hash'] / 'encoder.pt'


def main() -> None:
    parser = argparse.ArgumentParser(
        prog='python -m benchmarks.study.pictures', description=__doc__.splitlines()[0]
    )
    parser.add_argument('--budget', choices=BUDGETS, default='cpu')
    parser.add_argument('--data', type=Path, default=Path('data/cifar10'), help='(%(default)s)')
    args = parser.parse_args()
    init_default_scope('mmpretrain')
    test = load_cifar10(args.data, WORK / 'cifar10.pt')['test']
    try:
        record = longest_run(args.budget, CONTENDER['vit'])
    except FileNotFoundError as error:
        parser.error(str(error))
    model = build_model(load(record['config'])).eval()
    weights = torch.load(weights_of(args.budget, record), weights_only=True)
    model.load_state_dict(weights['model'])
    torch.manual_seed(0)  # of the masks
    images = test.images[FIRST : FIRST + COUNT].float() / 255
    draw(wamim_rows(model, normalized(model, images)), PICTURE)
    print(f'wrote {PICTURE.name}: {record["key"]}')


if __name__ == '__main__':
    main()
