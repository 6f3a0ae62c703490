"""Run the study, or what is left of it.

    python -m benchmarks.study --part headline --budget cpu [--data FILE]

Runs that docs/results/study/<budget>.jsonl holds are not done again; one that was cut goes on from
its last minute. On CPUs a process uses one thread: start as many as there are cores, they share the
work. The cost of a step (`--part cost`) wants the machine for itself.
"""

import argparse
import os
import signal
import sys
import time
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

import torch
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope

from benchmarks.measure import environment
from wamim_mm.interop.whole_files import write_whole

from . import controls, cost, records  # noqa: F401  (controls registers what configs name)
from .data import Images, corrupted, load_cifar10
from .plan import (
    BUDGETS,
    HEADLINE,
    LAYER_DECAY,
    PARTS,
    Budget,
    Run,
    SceneRun,
    Stage,
    Task,
    config_hash,
)
from .plan import load as load_config
from .pretraining import pretrain
from .scores import Classifier, accuracy, finetune, frozen, held_out
from .transfer import train, train_and_probe

WORK = Path('work_dirs/study')
# Scores of a fine-tuned encoder, and the images that they are measured on.
FINETUNED = {'finetuned': 'test', 'corrupted': 'corrupted'}
# Other processes in the last minute, with which a step's time can still be measured.
IDLE = 0.5


class Study:
    """The runs of a budget on this machine.

    Args:
        budget: What is affordable.
        data: CIFAR-10's ``train`` and ``test``, and ``corrupted`` test images.
        results: The file of the records.
        work: Where states and encoders are kept.
    """

    def __init__(self, budget: Budget, data: dict[str, Images], results: Path, work: Path) -> None:
        self.budget = budget
        self.data = {
            split: images.to(torch.device(budget.device)) for split, images in data.items()
        }
        self.results = results
        self.work = work
        self.environment = where()
        self.threads = 1 if budget.device == 'cpu' else None

    def run(self, part: str) -> int:
        """Do what is left of a part, one task after another.

        Returns:
            How many tasks failed.
        """
        failed: set[str] = set()
        while True:
            tried = records.current(self.results)
            ended = {key for key, record in tried.items() if record['status'] == 'done'} | failed
            tasks = [task for task in PARTS[part](self.budget, tried) if task.key not in ended]
            if not any(self.attempt(task, failed) for task in tasks):
                return len(failed)

    def attempt(self, task: Task, failed: set[str]) -> bool:
        """Do a task, unless another process is at it or has just done it."""
        with records.locked(self.work / task.lock) as own:
            if not own:
                return False
            if records.current(self.results).get(task.key, {}).get('status') == 'done':
                return False
            started, found = time.monotonic(), dict(status='done')
            try:
                found.update(self.do(task))
            except (KeyboardInterrupt, SystemExit):
                self.write(task, dict(status='cut'), started)
                raise
            except Exception as error:  # the other runs go on
                found = dict(status='failed', error=f'{type(error).__name__}: {error}')
                failed.add(task.key)
            self.write(task, found, started)
        return True

    def write(self, task: Task, found: dict, started: float) -> None:
        record = dict(
            key=task.key,
            kind=task.kind,
            config=task.config,
            config_hash=config_hash(task.config),
            encoder=task.encoder,
            **task.facts,
            batch=self.budget.batch,
            **found,
            wall_seconds=round(time.monotonic() - started, 1),
            date=now(),
            commit=records.commit(),
            **self.environment,
        )
        records.append(self.results, record)
        say(f'{task.key}: {found.get("scores") or found.get("error") or found["status"]}')

    def do(self, task: Task) -> dict:
        """A task's part of its record."""
        if isinstance(task, Stage):
            return train(task, self.work, self.threads)
        if isinstance(task, SceneRun):
            return train_and_probe(task, self.work, self.threads)
        if isinstance(task, Run):
            weights, found = self.encoder(task)
            model = self.classifier(task, weights)
            return dict(found, scores=rounded(frozen(model, self.data['train'], self.data['test'])))
        weights, _ = self.encoder(task.run)
        model = self.classifier(task.run, weights)
        found = finetune(
            model,
            self.data['train'],
            task.share,
            task.epochs,
            task.run.seed,
            layer_decay=LAYER_DECAY if task.run.epochs else 1.0,
            say=say,
        )
        scored = {name: self.data[split] for name, split in FINETUNED.items()}
        if task.validates:
            scored = dict(validation=held_out(self.data['train'], task.run.seed))
        scores = {name: accuracy(model, images) for name, images in scored.items()}
        return dict(curve=found['curve'], scores=rounded(scores))

    def classifier(self, run: Run, weights: dict | None) -> Classifier:
        return Classifier(run.encoder, weights, run.seed).to(self.budget.device)

    def encoder(self, run: Run) -> tuple[dict | None, dict]:
        """The weights of a run's encoder, pre-trained now unless they are there, and its curve."""
        if run.epochs == 0:
            return None, dict(steps=0, curve=[])
        folder = self.work / run.key / config_hash(run.config)
        kept = folder / 'encoder.pt'
        if kept.is_file():
            stored = torch.load(kept, weights_only=True)
            return stored['backbone'], stored['found']
        images = self.data['train'].images[: run.images]
        # Of few images too, so many that they cost what the same length costs with all of them.
        passes = run.epochs * len(images) / len(self.data['train'].images)
        steps = round(passes * (len(self.data['train'].images) // self.budget.batch))
        found = pretrain(
            load_config(run.config),
            images,
            steps,
            self.budget.batch,
            run.lr,
            run.seed,
            folder,
            self.budget.workers,
            say=lambda text: say(f'{run.key}: {text}'),
        )
        weights = {part: found.pop(part) for part in ('model', 'backbone')}
        found = dict(
            steps=steps,
            curve=[[seen, rounded(losses, 4)] for seen, losses in found['curve']],
            training_seconds=round(found['seconds'], 1),
        )
        write_whole(kept, partial(torch.save, dict(weights, found=found)))
        (folder / 'state.pt').unlink(missing_ok=True)
        return weights['backbone'], found


def now() -> str:
    return datetime.now(timezone.utc).strftime('%Y-%m-%d %H:%M')


def where() -> dict:
    """Machine and versions."""
    found = environment('benchmarks.study')
    return dict(machine=found['machine'], versions=found['versions'])


def rounded(numbers: dict[str, float], digits: int = 2) -> dict[str, float]:
    return {name: round(value, digits) for name, value in numbers.items()}


def say(text: str) -> None:
    print(f'{datetime.now():%H:%M:%S} {text}', flush=True)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog='python -m benchmarks.study', description=__doc__.splitlines()[0]
    )
    parser.add_argument('--part', choices=('cost', *PARTS), required=True)
    parser.add_argument('--budget', choices=BUDGETS, default='cpu')
    parser.add_argument('--data', type=Path, default=Path('data/cifar10'), help='(%(default)s)')
    parser.add_argument('--results', type=Path, default=records.RESULTS, help='(%(default)s)')
    args = parser.parse_args(argv)
    budget = BUDGETS[args.budget]
    if budget.device == 'cuda' and not torch.cuda.is_available():
        parser.error('--budget gpu needs a GPU that torch sees; this machine has --budget cpu')
    results = args.results / f'{budget.name}.jsonl'
    if args.part == 'cost':
        load = os.getloadavg()[0]
        if load > IDLE:
            parser.error(f'--part cost wants the machine for itself, whose load is {load:.1f}')
        for encoder in HEADLINE:
            for record in cost.measure(encoder, budget):
                given = dict(load=load, date=now(), commit=records.commit(), **where())
                records.append(results, record | given)
        return 0

    if budget.device == 'cpu':
        torch.set_num_threads(1)
    init_default_scope('mmpretrain')
    MMLogger.get_current_instance().setLevel('ERROR')
    try:
        data = load_cifar10(args.data, WORK / 'cifar10.pt')
        data['corrupted'] = corrupted(data['test'], WORK / 'corrupted.pt')
    except (FileNotFoundError, ValueError) as error:
        parser.error(str(error))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    return int(Study(budget, data, results, WORK / budget.name).run(args.part) > 0)


if __name__ == '__main__':
    sys.exit(main())
