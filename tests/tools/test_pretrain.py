"""`wamim pretrain`, from a folder to an encoder, as a newcomer types it."""

import re
import shlex
import subprocess
import sys
import time
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image
from safetensors.torch import load_file

from wamim_mm.cli import pretrain

from .commands import steps


def wamim(folder, *arguments, **kwargs):
    command = [sys.executable, '-m', 'wamim_mm', *map(str, arguments)]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=600, **kwargs
    )


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    """Forty images of stripes, one file that is none, in sub-folders with blanks in their names."""
    folder = tmp_path_factory.mktemp('data') / 'my images'
    for i in range(40):
        stripes = np.sin(np.arange(40)[:, None] / (1 + i % 5) + np.arange(36)) * 127 + 128
        path = folder / f'part {i % 2}' / f'{i}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.stack([stripes] * 3, 2).astype(np.uint8)).save(path)
    (folder / 'broken.jpg').write_bytes(b'broken')
    return folder


@pytest.fixture(scope='module')
def run(images, tmp_path_factory):
    """A folder after a first run."""
    folder = tmp_path_factory.mktemp('run')
    done = wamim(folder, 'pretrain', '--data', images, '--out', 'first', '--epochs', 2)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_it_says_what_it_does_in_few_lines(run, images):
    _, printed = run
    lines = printed.splitlines()
    assert lines[0] == '41 images, median 36 x 40 pixels'
    assert lines[1] == '1 cannot be opened (broken.jpg): skipped'
    assert re.match(r'wamim vit-\w+, \d.* crops of 32 x 32 pixels', lines[2])
    assert 'images/s' in lines[3] and lines[4] == 'batches of 4, learning rate 0.0005'
    assert lines[5].startswith('2 epochs: 82 images seen, about ')
    first_loss = next(i for i, line in enumerate(lines) if 'recovered of level' in line)
    assert first_loss < 12
    assert not re.search('Warning|paramwise|Epoch\\(', printed)


def test_what_it_leaves(run, images):
    folder, _ = run
    out = folder / 'first'
    cfg = Config.fromfile(out / 'config.py')
    assert cfg.data_root == str(images) and cfg.train_cfg.max_epochs == 2
    full = Config.fromfile(out / 'full_config.py')
    assert full.model == cfg.model and full.optim_wrapper == cfg.optim_wrapper
    encoder = load_file(out / 'backbone.safetensors')
    trained = torch.load(out / 'epoch_2.pth', weights_only=False)['state_dict']
    for name, tensor in encoder.items():
        assert torch.equal(tensor, trained[f'backbone.{name.removeprefix("backbone.")}'])
    assert 'broken.jpg' in (out / 'bad_files.txt').read_text()


def test_probe(images, tmp_path):
    labelled = tmp_path / 'labelled'
    for split, count in (('train', 24), ('val', 8)):
        for i in range(count):
            path = labelled / split / 'ab'[i % 2] / f'{i}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((32, 32, 3), 60 + 90 * (i % 2), np.uint8)).save(path)
    options = ('--data', images, '--out', 'out', '--epochs', 1, '--probe')
    done = wamim(tmp_path, 'pretrain', *options, labelled)
    assert done.returncode == 0, done.stderr
    assert f'probed on images in {labelled}, in at most a twentieth of the time' in done.stdout
    assert done.stdout.count('100.0 % linear') == 2  # before and after
    done = wamim(tmp_path, 'report', 'out')
    assert done.returncode == 0, done.stderr
    page = (tmp_path / 'out/report.html').read_text()
    assert 'reads 100.0 % of the classes right, after 100.0 % before step 1;' in page
    Page(page)

    options = ('--data', images, '--out', 'other', '--probe', images)
    done = wamim(tmp_path, 'pretrain', *options)
    assert done.returncode == 2 and 'has no folder train/' in done.stderr


def test_long_runs_are_probed_on_scenes(images, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(pretrain, 'PROBED_SECONDS', 0)
    monkeypatch.setattr(pretrain, 'SCENES', 36)
    command = f'wamim pretrain --data {shlex.quote(str(images))} --epochs 1 --out {tmp_path / "a"}'
    monkeypatch.setattr(sys, 'argv', shlex.split(command)[1:])
    out = pretrain.plan(pretrain.parse_args())
    assert 'probed on built-in scenes' in capsys.readouterr().out
    hook = Config.fromfile(out / 'config.py').custom_hooks[-1]
    assert hook.type == 'ProbeHook' and hook.data == str(out / 'scenes')
    assert len(list((out / 'scenes/val').rglob('*.jpg'))) == 12


@pytest.mark.parametrize('option', ['value_range=(0,255)', 'color_type=unchanged'])
def test_images_that_scenes_are_not_like_are_not_probed(
    option, images, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(pretrain, 'PROBED_SECONDS', 0)
    command = f'wamim pretrain --data {shlex.quote(str(images))} --epochs 1 --out {tmp_path / "a"}'
    option = f'train_dataloader.dataset.pipeline.0.{option}'
    monkeypatch.setattr(sys, 'argv', [*shlex.split(command)[1:], '--cfg-options', option])
    out = pretrain.plan(pretrain.parse_args())
    assert 'the encoder is not probed: built-in scenes are colour' in capsys.readouterr().out
    hooks = Config.fromfile(out / 'config.py').custom_hooks
    assert 'ProbeHook' not in [hook.type for hook in hooks] and not (out / 'scenes').exists()


def test_the_config_trains_alike_by_hand(run, images):
    folder, _ = run
    done = wamim(folder, 'train', 'first/config.py', '--work-dir', 'by hand')
    assert done.returncode == 0, done.stderr
    first, second = (
        torch.load(folder / name / 'epoch_2.pth', weights_only=False)['state_dict']
        for name in ('first', 'by hand')
    )
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_next_commands_are_right(run, images):
    folder, printed = run
    commands = [line.strip() for line in printed.splitlines() if line.startswith('  wamim ')]
    assert [command.split()[1] for command in commands] == ['reconstruct', 'embed', 'export']
    for command in commands:
        shell = command.replace('wamim', f'{sys.executable} -m wamim_mm', 1)
        done = subprocess.run(shell, shell=True, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    vectors = np.load(folder / 'first' / 'embeddings.npz')
    assert len(vectors['names']) == 40 and vectors['names'][0] == 'part 0/0.png'


class Page(HTMLParser):
    """Which tags a page has, whether they close, and what it would fetch from elsewhere."""

    VOID = ('meta', 'img', 'br', 'path', 'use', 'link')

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.fetched, self.ids = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.tags.append(tag)
        self.ids += [given['id']] if 'id' in given else []
        self.fetched += [
            value for name, value in attributes if name in ('src', 'href') and value[:5] != 'data:'
        ]
        if tag == 'img':
            assert given['alt']
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_report(run):
    folder, _ = run
    done = wamim(folder, 'report', 'first')
    assert done.returncode == 0 and done.stdout == 'wrote first/report.html\n', done.stderr
    text = (folder / 'first' / 'report.html').read_text()
    page = Page(text)
    assert page.open == [] and page.tags.count('svg') == 1 and page.tags.count('img') == 1
    # Nothing comes from elsewhere, and each link of the contents has its section.
    assert all(link.startswith('#') for link in page.fetched)
    assert {link[1:] for link in page.fetched if link[1:] in ('curves', 'pictures', 'next')} <= set(
        page.ids
    )
    assert '<title>WaMIM, ViT deit-tiny, on my images</title>' in text
    assert re.search(r'Finished: epoch 2 of 2, 8\d images seen in 1 min, .* 1 bad files', text)
    assert text.count('of the energy recovered') == 3 and 'nothing predicted' in text
    assert 'wamim embed first/epoch_2.pth DIR' in text


def test_report_of_nothing(tmp_path):
    done = wamim(tmp_path, 'report', '.')
    assert done.returncode == 2 and 'no logged training step under' in done.stderr


def test_a_used_folder_is_refused_and_resumed(run, images):
    folder, _ = run
    started = time.time()
    done = wamim(folder, 'pretrain', '--data', images, '--out', 'first')
    assert done.returncode == 2 and time.time() - started < 60
    assert 'wamim pretrain --out first --resume goes on with it' in done.stderr
    options = ['--cfg-options', 'train_cfg.max_epochs=3', 'default_hooks.logger.interval=1']
    done = wamim(folder, 'pretrain', '--out', 'first', '--resume', *options)
    assert done.returncode == 0, done.stderr
    assert [step['epoch'] for step in steps(folder / 'first')][-1] == 3
    # What was changed once stays changed.
    options = ['--cfg-options', 'train_cfg.max_epochs=4']
    done = wamim(folder, 'pretrain', '--out', 'first', '--resume', *options)
    assert done.returncode == 0, done.stderr
    logged = [step['step'] for step in steps(folder / 'first') if step['epoch'] == 4]
    assert len(logged) == 10
    # A run that was killed after its last checkpoint is exported.
    (folder / 'first/backbone.safetensors').unlink()
    done = wamim(folder, 'pretrain', '--out', 'first', '--resume', '--max-bad-share', '0.5')
    assert done.returncode == 0, done.stderr
    assert (folder / 'first/backbone.safetensors').is_file()


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ([], 'the following arguments are required: --data DIR'),
        (['--resume'], '--resume needs --out DIR'),
        (['--resume', '--out', 'nowhere'], '--resume: there is no nowhere/config.py'),
        (['--resume', '--out', 'x', '--epochs', '3'], 'leave out --epochs, or change something by'),
        (['--resume', '--out', 'x', '--img-size', '96'], 'leave out --img-size'),
        (['--resume', '--out', 'x', '--data', '.'], 'goes on with what x/config.py says'),
        (['--data', 'nowhere'], "--data 'nowhere' is no folder"),
        (['--data', '.', '--out', '../other'], 'no image at'),
        (['--data', '.'], 'the folder of the images: pictures that the run makes would be'),
        (['--data', '{images}', '--img-size', '50'], '--img-size 50: must be a multiple of 8'),
        (['--data', '{images}', '--model', 'r50', '--method', 'wamim'], '--model r50: wamim takes'),
        (['--data', '{images}', '--epochs', '0'], 'must be a number from 1 on'),
    ],
)
def test_mistakes(arguments, message, images, tmp_path):
    arguments = [argument.format(images=images) for argument in arguments]
    done = wamim(tmp_path, 'pretrain', *arguments)
    assert done.returncode == 2 and message in done.stderr
    assert len(done.stderr.splitlines()) == 1 and not list(tmp_path.iterdir())


@pytest.mark.slow
def test_mfm_with_a_resnet(images, tmp_path):
    done = wamim(
        *(tmp_path, 'pretrain', '--data', images, '--model', 'r18', '--epochs', 1, '--out', 'mfm')
    )
    assert done.returncode == 0, done.stderr
    assert 'mfm r18' in done.stdout and ', loss 0.' in done.stdout
    assert 'conv1.weight' in str(load_file(tmp_path / 'mfm' / 'backbone.safetensors').keys())
    done = wamim(tmp_path, 'report', 'mfm', '--out', 'page.html')
    assert done.returncode == 0, done.stderr
    page = Page((tmp_path / 'page.html').read_text())
    assert page.open == [] and page.tags.count('svg') == 1 and page.tags.count('img') == 1
