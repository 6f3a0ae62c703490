"""Settings that contradict each other or the machine."""

import math
import os
import re
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from wamim_mm.cli.settings import (
    RANKS,
    SIZES,
    check_batch,
    check_checkpoint,
    check_clipping,
    check_folder,
    check_launcher,
    check_length,
    check_loader,
    check_new_file,
    check_outside,
    check_timeout,
    complete_environment,
    pretrained_files,
    process_count,
    started_together,
)


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    for name in (*RANKS, *SIZES.values(), 'SLURM_STEP_NUM_TASKS'):
        monkeypatch.delenv(name, raising=False)


def test_launchers(monkeypatch):
    check_launcher('none')
    for launcher, names, command in (
        ('pytorch', ('RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT'), 'dist_train.sh'),
        ('slurm', ('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_NODELIST'), 'slurm_train.sh'),
        ('mpi', ('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE'), 'mpirun'),
    ):
        with monkeypatch.context() as patch:
            for name in names:
                with pytest.raises(ValueError, match=rf'{launcher}.*{name}.*{command}'):
                    check_launcher(launcher)
                patch.setenv(name, '0')
            check_launcher(launcher)


@pytest.mark.parametrize(
    ('launcher', 'given', 'local_rank', 'port'),
    [
        ('none', {}, '5', None),
        ('pytorch', dict(LOCAL_RANK='2'), '2', None),
        ('mpi', dict(OMPI_COMM_WORLD_LOCAL_RANK='3'), '3', None),
        ('slurm', dict(SLURM_JOB_ID='1234567'), '5', '34567'),
        ('slurm', dict(SLURM_JOB_ID='1234567', PORT='29500'), '5', '29500'),
        ('slurm', dict(SLURM_JOB_ID='1234567', MASTER_PORT='1'), '5', '1'),
    ],
)
def test_what_launchers_leave_open(launcher, given, local_rank, port, monkeypatch):
    for name in ('LOCAL_RANK', 'MASTER_PORT', 'PORT', 'SLURM_JOB_ID'):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with monkeypatch.context() as patch:
        patch.setattr(os, 'environ', dict(os.environ))
        complete_environment(launcher, 5)
        found = os.environ['LOCAL_RANK'], os.environ.get('MASTER_PORT')
    assert found == (local_rank, port)


def test_a_batch_script_of_slurm_is_one_process(monkeypatch):
    monkeypatch.setenv('SLURM_NTASKS', '8')
    assert (process_count('none'), process_count('slurm')) == (1, 8)
    assert started_together() == ('none', 1)
    check_launcher('none')


@pytest.mark.parametrize(
    ('name', 'launcher'),
    [
        ('WORLD_SIZE', 'pytorch'),
        ('SLURM_STEP_NUM_TASKS', 'slurm'),
        ('OMPI_COMM_WORLD_SIZE', 'mpi'),
    ],
)
def test_processes_that_would_all_do_the_same(name, launcher, monkeypatch):
    monkeypatch.setenv(name, '1')
    check_launcher('none')
    monkeypatch.setenv(name, '2')
    with pytest.raises(ValueError, match=f'one of 2 processes.* add --launcher {launcher}, or'):
        check_launcher('none')


def test_folders(tmp_path, monkeypatch):
    (tmp_path / 'file').touch()
    for good in (tmp_path, tmp_path / 'new' / 'deep', 's3://bucket'):
        check_folder(str(good), '--out')
    with pytest.raises(ValueError, match=r"file' is a file; give a folder: --work-dir DIR"):
        check_folder(str(tmp_path / 'file'), '--work-dir')
    with pytest.raises(ValueError, match=r"sub' cannot be made, since .*file' is a file"):
        check_folder(str(tmp_path / 'file' / 'sub'), '--out')
    with pytest.raises(ValueError, match='its name is not UTF-8; give another: --out DIR'):
        check_folder(os.fsdecode(os.fsencode(tmp_path) + b'/d\xe9'), '--out')
    monkeypatch.setattr(os, 'access', lambda *_: False)
    with pytest.raises(ValueError, match='cannot be written'):
        check_folder(str(tmp_path / 'new'), '--out')


def test_a_run_does_not_write_among_its_images(tmp_path, monkeypatch):
    images = tmp_path / 'images'
    images.mkdir()
    (tmp_path / 'link').symlink_to(images)
    monkeypatch.chdir(images)
    for out in ('.', 'work_dirs/a', str(images), str(tmp_path / 'link' / 'a')):
        with pytest.raises(ValueError, match=r"images'?, the folder of the images.*: --out DIR"):
            check_outside(out, images, '--out')
    for out in ('..', str(tmp_path / 'images_out'), 's3://bucket/images/a'):
        check_outside(out, images, '--out')
    check_outside('a', 's3://bucket', '--out')


def test_lengths():
    check_length({})
    check_length(dict(max_epochs=1))
    for bad in (0, -1, 'ten', 1.5, None):
        for key in ('max_epochs', 'max_iters', 'val_interval'):
            with pytest.raises(ValueError, match=f'train_cfg.{key} must be a number from 1 on'):
                check_length({key: bad})


def test_clipping():
    for good in ({}, dict(clip_grad=None), dict(clip_grad=dict(max_norm=0.1, norm_type='inf'))):
        check_clipping(good)
    check_clipping(dict(clip_grad=dict(type='value', clip_value=1)))
    for key in ('max_norm', 'clip_value'):
        for bad in (0, -1.0, math.nan, None, '5'):
            with pytest.raises(ValueError, match=f'clip_grad.{key} must be above 0, got {bad!r}'):
                check_clipping(dict(clip_grad={key: bad}))


def test_torch_turns_gradients_round():
    """What `check_clipping` is for."""
    weight = torch.nn.Parameter(torch.zeros(1))
    weight.grad = torch.ones(1)
    torch.nn.utils.clip_grad_norm_([weight], max_norm=-1.0)
    assert weight.grad < 0


@pytest.mark.parametrize(
    ('loader', 'message'),
    [
        (dict(batch_size=0), 'a.batch_size must be a number from 1 on, got 0'),
        (dict(batch_size='8x'), "a.batch_size must be a number from 1 on, got '8x'"),
        (dict(num_workers=-1), 'a.num_workers must be a number from 0 on, got -1'),
        (
            dict(num_workers=0, persistent_workers=True),
            'a.num_workers=0 and persistent_workers=True.*add a.persistent_workers=False',
        ),
        (dict(prefetch_factor=2), 'a.num_workers=0 and prefetch_factor=2.*a.prefetch_factor=None'),
    ],
)
def test_loaders(loader, message):
    with pytest.raises(ValueError, match=message):
        check_loader('a', dict(loader, dataset={}))
    if 'batch_size' not in loader and loader.get('num_workers') != -1:  # torch says the same
        with pytest.raises(ValueError, match='num_workers'):
            torch.utils.data.DataLoader([0], **loader)
    check_loader('a', dict(batch_size=8, num_workers=2, persistent_workers=True, dataset={}))
    with pytest.raises(ValueError, match='a has no dataset'):
        check_loader('a', dict(batch_size=8))


def test_timeouts():
    for good in ({}, dict(dist_cfg=None), *(dict(dist_cfg=dict(timeout=t)) for t in (20, 0.5))):
        check_timeout(good)
    for bad in (0, -1, '30min', None, True, float('nan'), float('inf')):
        with pytest.raises(ValueError, match=r'env_cfg.dist_cfg.timeout must be a positive num'):
            check_timeout(dict(dist_cfg=dict(timeout=bad)))


@pytest.mark.parametrize('processes', [1, 2, 3])
@pytest.mark.parametrize('images', [1, 6, 7, 8, 9])
def test_batches(images, processes, monkeypatch):
    """MMEngine's sampler and torch's loader, with and without drop_last."""
    from mmengine.dataset import DefaultSampler

    monkeypatch.setattr('mmengine.dataset.sampler.get_dist_info', lambda: (0, processes))
    for drop_last in (False, True):
        loader = torch.utils.data.DataLoader(
            [0] * images, 4, sampler=DefaultSampler([0] * images), drop_last=drop_last
        )
        given = ('a', dict(batch_size=4, drop_last=drop_last), images, processes)
        if len(loader):
            check_batch(*given)
            continue
        with pytest.raises(ValueError, match=rf'a.batch_size=4: {images} images') as refused:
            check_batch(*given)
        advised = int(re.search(r'set a.batch_size to (\d+)', str(refused.value))[1])
        check_batch('a', dict(batch_size=advised, drop_last=True), images, processes)


def test_checkpoints(tmp_path):
    good, old = tmp_path / 'good.pth', tmp_path / 'old.pth'
    state = {'a': torch.zeros(1000)}
    torch.save(state, good)
    torch.save(state, old, _use_new_zipfile_serialization=False)
    for path in (str(good), str(old), 's3://bucket/a.pth', 'https://host/a.pth'):
        check_checkpoint(path)
    with pytest.raises(FileNotFoundError, match=r"checkpoint '.*no\.pth' does not exist"):
        check_checkpoint(str(tmp_path / 'no.pth'))
    with pytest.raises(FileNotFoundError, match=r'init_cfg.checkpoint=FILE.* a.init_cfg=None$'):
        check_checkpoint(str(tmp_path / 'no.pth'), 'a.init_cfg.checkpoint')
    shards = tmp_path / 'step_1'
    shards.mkdir()
    (shards / 'mp_rank_00_model_states.pt').touch()
    with pytest.raises(ValueError, match=r"is a folder of DeepSpeed's, from which"):
        check_checkpoint(str(shards))
    with pytest.raises(ValueError, match=r'is a folder; give a file, in there are good.pth, old'):
        check_checkpoint(str(tmp_path))
    torn = tmp_path / 'torn.pth'
    content = good.read_bytes()
    for length in range(4, len(content) - 1, 97):
        torn.write_bytes(content[:length])
        with pytest.raises(ValueError, match=r'torn.pth. is cut short'):
            check_checkpoint(str(torn))
    for bad, message in ((b'', 'it is empty'), (b'<html>', "it begins with b'<html>'")):
        torn.write_bytes(bad)
        with pytest.raises(ValueError, match=f'model.init torn|is no checkpoint.*{message}'):
            check_checkpoint(str(torn), 'model.init')


def test_files_of_safetensors(tmp_path):
    good, bad = tmp_path / 'good.safetensors', tmp_path / 'bad.safetensors'
    save_file({'a': torch.zeros(1000), 'b': torch.ones(3)}, good, {'format': 'pt'})
    save_file({}, bad)
    for path in (good, bad):
        check_checkpoint(str(path))
    content = good.read_bytes()
    for length in range(8, len(content), 61):
        bad.write_bytes(content[:length])
        with pytest.raises(ValueError, match=r'--resume .*bad\.safetensors. is cut short'):
            check_checkpoint(str(bad), '--resume')
    torch.save({}, pickled := tmp_path / 'pickled.safetensors')
    for data, message in (
        (b'', 'it is empty'),
        (bytes(8), 'it begins with'),
        (b'<html><body>', "it begins with b'<html><bo'"),
        (pickled.read_bytes(), "it begins with b'PK"),
        (content[:10] + b'?' + content[11:], 'its header is damaged'),
        ((10**6).to_bytes(8, 'little') + b'{' + b'[' * 10**6, 'its header is damaged'),
        ((10**15).to_bytes(8, 'little') + b'{', 'it begins with'),
        ((9).to_bytes(8, 'little') + b'{"a": []}', 'its header is damaged'),
    ):
        bad.write_bytes(data)
        with pytest.raises(ValueError, match=r'is no file of safetensors: ') as refused:
            check_checkpoint(str(bad))
        assert message in str(refused.value)
        with pytest.raises(SafetensorError):  # itself says the same
            load_file(bad)


def test_checkpoints_that_a_config_names():
    pretrained = dict(type='Pretrained', checkpoint='a.pth')
    model = dict(
        backbone=dict(init_cfg=pretrained),
        heads=[dict(init_cfg=[dict(type='Xavier'), dict(pretrained, checkpoint='b.pth')])],
        other=dict(type='Pretrained', checkpoint=None),
    )
    assert list(pretrained_files(model, 'model')) == [
        ('model.backbone.init_cfg.checkpoint', 'a.pth'),
        ('model.heads.0.init_cfg.1.checkpoint', 'b.pth'),
    ]


def test_a_new_file(tmp_path):
    """Its folder is made; what is there is never written over."""
    new = tmp_path / 'a' / 'b.PNG'
    check_new_file(new, '--out', ('.png',))
    assert new.parent.is_dir() and not new.exists()
    new.write_text('a picture')
    with pytest.raises(FileExistsError, match=r'b\.PNG exists; remove it or choose'):
        check_new_file(new, '--out', ('.png',))
    (tmp_path / 'dangling').symlink_to('nowhere')
    with pytest.raises(FileExistsError):
        check_new_file(tmp_path / 'dangling', '--out')
    with pytest.raises(ValueError, match=r"--out '.*c.txt': the name must end in .json, .csv"):
        check_new_file(tmp_path / 'c.txt', '--out', ('.json', '.csv'))
    for wrong in (new / 'c.json', Path('/proc/x/c.json')):
        with pytest.raises(ValueError, match=r'--out .*: its folder .* cannot be made or written'):
            check_new_file(wrong, '--out')
    assert new.read_text() == 'a picture'
