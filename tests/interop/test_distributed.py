"""Process groups on a machine without a GPU, started by every launcher."""

import os
import socket
from datetime import timedelta

import pytest
import torch
from mmengine.config import Config
from mmengine.dist import init_dist

from wamim_mm.interop import distributed
from wamim_mm.interop.distributed import meet_anew, timeout_of, use_cpu_processes

LAUNCHERS = {
    'pytorch': dict(RANK='0', WORLD_SIZE='1', LOCAL_RANK='0', MASTER_ADDR='127.0.0.1'),
    'slurm': dict(SLURM_PROCID='0', SLURM_NTASKS='1', SLURM_LOCALID='0', SLURM_NODELIST='a'),
    'mpi': dict(
        OMPI_COMM_WORLD_RANK='0',
        OMPI_COMM_WORLD_SIZE='1',
        OMPI_COMM_WORLD_LOCAL_RANK='0',
        MASTER_ADDR='127.0.0.1',
    ),
}


@pytest.mark.parametrize('launcher', LAUNCHERS)
@pytest.mark.parametrize('timeout', [None, 7])
def test_timeout_holds(launcher, timeout, tmp_path, monkeypatch):
    if torch.cuda.is_available():
        pytest.skip('a CUDA device')
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = str(free.getsockname()[1])
    (tmp_path / 'scontrol').write_text('#!/bin/sh\necho 127.0.0.1\n')  # the names of the nodes
    (tmp_path / 'scontrol').chmod(0o755)
    monkeypatch.setenv('PATH', f'{tmp_path}:{os.environ["PATH"]}')
    for name, value in (LAUNCHERS[launcher] | dict(MASTER_PORT=port)).items():
        monkeypatch.setenv(name, value)
    given = {} if timeout is None else dict(timeout=timeout)
    cfg = Config(dict(launcher=launcher, env_cfg=dict(dist_cfg=dict(backend='nccl', **given))))
    child = os.fork()
    if child == 0:
        holds = False
        try:
            use_cpu_processes(cfg)
            init_dist(cfg.launcher, **cfg.env_cfg.dist_cfg)
            group = torch.distributed.distributed_c10d._get_default_group()
            options = group._get_backend(torch.device('cpu')).options
            holds = options._timeout == timedelta(seconds=timeout_of(cfg))
            torch.distributed.all_reduce(torch.ones(1))
        finally:
            os._exit(0 if holds else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_timeout_of():
    for config, seconds in (
        (dict(), 600),
        (dict(env_cfg=dict(dist_cfg=dict(backend='nccl'))), 600),
        (dict(env_cfg=dict(dist_cfg=dict(backend='gloo'))), 1800),
        (dict(env_cfg=dict(dist_cfg=dict(backend='nccl', timeout=20.5))), 20.5),
    ):
        assert timeout_of(Config(config)) == seconds
    # What torch takes itself.
    from torch.distributed import constants

    assert constants.default_pg_timeout == timedelta(seconds=1800)
    assert constants.default_pg_nccl_timeout in (None, timedelta(seconds=600))


@pytest.mark.parametrize(
    ('launcher', 'name', 'number', 'gpus', 'taken'),
    [
        ('pytorch', 'LOCAL_RANK', '3', 4, '3'),
        ('pytorch', 'LOCAL_RANK', '4', 4, None),
        ('slurm', 'SLURM_LOCALID', '3', 1, '0'),
        ('slurm', 'SLURM_LOCALID', '4', 4, None),
        ('mpi', 'OMPI_COMM_WORLD_LOCAL_RANK', '1', 1, None),
    ],
)
def test_every_process_has_a_gpu(launcher, name, number, gpus, taken, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: gpus)
    monkeypatch.setenv(name, number)
    cfg = Config(dict(launcher=launcher))
    if taken is None:
        with pytest.raises(ValueError, match=rf'process {number} .* torch sees {gpus}; start'):
            use_cpu_processes(cfg)
    else:
        use_cpu_processes(cfg)
        assert os.environ[name] == taken
    assert cfg.to_dict() == dict(launcher=launcher)


@pytest.mark.parametrize(
    ('there', 'usable', 'visible', 'said'),
    [
        (True, False, None, True),
        (True, False, '0,1', True),
        (True, False, '-1', False),
        (True, True, None, False),
        (False, False, None, False),
    ],
)
def test_a_gpu_that_torch_cannot_use(there, usable, visible, said, tmp_path, monkeypatch):
    monkeypatch.setattr(distributed, 'DRIVER', tmp_path if there else tmp_path / 'none')
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: usable)
    monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
    if visible is not None:
        monkeypatch.setenv('CUDA_VISIBLE_DEVICES', visible)
    assert ('this runs on CPUs' in distributed.unusable_gpu()) == said


def test_without_a_launcher_nothing_changes():
    cfg = Config(dict(launcher='none'))
    use_cpu_processes(cfg)
    assert cfg.to_dict() == dict(launcher='none')


@pytest.mark.parametrize(
    ('restarts', 'shared', 'port'),
    [('0', 'True', '29500'), ('2', 'True', '29502'), ('2', 'False', '29500')],
)
def test_restarted_processes_meet_in_a_store_of_their_own(monkeypatch, restarts, shared, port):
    for name, value in (
        ('TORCHELASTIC_RESTART_COUNT', restarts),
        ('TORCHELASTIC_USE_AGENT_STORE', shared),
        ('MASTER_PORT', '29500'),
    ):
        monkeypatch.setenv(name, value)
    meet_anew()
    meet_anew()  # the second of two Runners
    assert os.environ['MASTER_PORT'] == port
    assert (os.environ['TORCHELASTIC_USE_AGENT_STORE'] == 'True') == (restarts == '0')
