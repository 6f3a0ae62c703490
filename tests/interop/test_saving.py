"""Checkpoints are whole or not there; old ones stay until the new one is whole."""

import errno
import itertools
import multiprocessing
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.fileio import LocalBackend
from mmengine.hooks import CheckpointHook, Hook
from mmengine.logging import MMLogger
from mmengine.model import BaseModel
from mmengine.runner import Runner, load_checkpoint, save_checkpoint
from mmengine.runner.checkpoint import find_latest_checkpoint
from torch import nn

from benchmarks.fake_gpu import pretended_gpu
from wamim_mm.interop import saving

pytestmark = pytest.mark.usefixtures('own_instances')


class Model(BaseModel):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def forward(self, inputs, mode='tensor'):
        return dict(loss=self.layer(torch.stack(inputs)).square().mean())


def runner(work_dir, epochs=4, model=None, **options):
    checkpoint = dict(type='CheckpointHook', interval=1) | options.pop('checkpoint', {})
    return Runner(
        model or Model(),
        str(work_dir),
        train_dataloader=dict(
            dataset=[torch.ones(2)] * 4,
            batch_size=2,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=lambda samples: dict(inputs=samples),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=options.pop('optim_wrapper', dict(optimizer=dict(type='SGD', lr=0.1))),
        default_hooks=dict(checkpoint=checkpoint),
        default_scope='mmengine',
        experiment_name=f'{work_dir}{epochs}',
        log_level='ERROR',
        **options,
    )


def names(work_dir):
    files = [path for path in work_dir.iterdir() if path.is_file()]
    return sorted(path.name for path in files if path.suffix != '.py')  # but for the config


def test_an_optimizer_on_a_gpu_is_saved_from_the_cpu():
    """As MMEngine's strategies hand it over."""
    with pretended_gpu() as mode, mode:
        moment = torch.zeros(2, device='cuda')
        found = saving._on_cpu(dict(state={0: dict(moment=moment, step=3)}, param_groups=[]))
    assert moment.device.type == 'cuda' and found['state'][0]['moment'].device.type == 'cpu'
    assert found['state'][0]['step'] == 3


def test_the_pointer_is_relative_and_old_ones_go(tmp_path):
    runner(tmp_path, checkpoint=dict(max_keep_ckpts=2)).train()
    assert names(tmp_path) == ['epoch_3.pth', 'epoch_4.pth', 'last_checkpoint']
    assert (tmp_path / 'last_checkpoint').read_text() == 'epoch_4.pth'
    content = torch.load(tmp_path / 'epoch_4.pth', weights_only=False)
    assert content['message_hub']['runtime_info']['keep_ckpt_ids'] == [3, 4]


@pytest.mark.parametrize('keep', [1, 2])
def test_the_old_one_stays_until_the_new_one_is_whole(tmp_path, monkeypatch, keep):
    """At every call that touches the disk there is a whole checkpoint of the epoch before."""
    epochs = []
    for name in ('fsync', 'replace', 'unlink', 'remove'):
        real = getattr(os, name)

        def watched(*given, real=real, **named):
            latest = find_latest_checkpoint(str(tmp_path))
            epochs.append(0 if latest is None else torch.load(latest)['meta']['epoch'])
            return real(*given, **named)

        monkeypatch.setattr(os, name, watched)
    runner(tmp_path, checkpoint=dict(max_keep_ckpts=keep)).train()
    assert epochs == sorted(epochs) and set(epochs) == {0, 1, 2, 3, 4}


KILLED = """
import os, sys, torch
import mmengine.runner
import wamim_mm
from mmengine.runner import save_checkpoint
path, share = sys.argv[1], float(sys.argv[2])
class Torn:
    def __init__(self, file): self.file = file
    def __getattr__(self, name): return getattr(self.file, name)
    def write(self, data):
        self.file.write(bytes(data)[: int(share * len(data))])
        self.file.flush()
        os.kill(os.getpid(), 9)
open_file = __import__('pathlib').Path.open
__import__('pathlib').Path.open = lambda *a, **k: Killer(open_file(*a, **k))
class Killer:
    def __init__(self, file): self.file = file
    def __enter__(self): return Torn(self.file.__enter__())
    def __exit__(self, *rest): return self.file.__exit__(*rest)
save_checkpoint(dict(state_dict={'a': torch.ones(1000)}), path)
"""


@pytest.mark.parametrize('share', [0, 0.5, 1])
def test_killed_while_it_writes(tmp_path, share):
    path = tmp_path / 'epoch_1.pth'
    old = dict(state_dict={'a': torch.zeros(1000)})
    save_checkpoint(old, str(path))
    done = subprocess.run([sys.executable, '-c', KILLED, path, str(share)], cwd=Path.cwd())
    assert done.returncode == -9
    assert torch.equal(torch.load(path)['state_dict']['a'], torch.zeros(1000))


def test_a_config_that_cannot_be_written_leaves_the_one_before(tmp_path, monkeypatch):
    """MMEngine empties the file before it knows what to write."""
    path = tmp_path / 'config.py'
    Config(dict(a=1)).dump(path)
    assert Config.fromfile(path).a == 1

    def killed(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Config, 'pretty_text', property(killed))
    with pytest.raises(KeyboardInterrupt):
        Config(dict(a=2)).dump(path)
    assert path.read_text() == 'a = 1\n' and list(tmp_path.iterdir()) == [path]
    monkeypatch.undo()
    assert Config(dict(a=1)).dump() == 'a = 1\n'
    Config(dict(a=3)).dump(tmp_path / 'config.json')
    assert Config.fromfile(tmp_path / 'config.json').a == 3


def test_a_full_disk_stops_no_training(tmp_path, monkeypatch):
    """The failed save is reported, the last good one stays, and the next one is tried."""
    calls = []
    write = saving.write_whole

    def full(path, writes):
        if str(path).endswith('epoch_2.pth'):
            calls.append(path)
            raise OSError(errno.ENOSPC, 'No space left on device')
        write(path, writes)

    monkeypatch.setattr(saving, 'write_whole', full)
    training = runner(tmp_path, epochs=2, checkpoint=dict(max_keep_ckpts=1))
    said = []
    monkeypatch.setattr(training.logger, 'error', said.append)
    with pytest.raises(SystemExit) as ended:  # it was the last one, and was tried once more
        training.train()
    assert ended.value.code == 1
    assert training.epoch == 2 and len(calls) == 2
    assert names(tmp_path) == ['epoch_1.pth', 'last_checkpoint']
    assert (tmp_path / 'last_checkpoint').read_text() == 'epoch_1.pth'
    assert 'epoch_2.pth was not saved (No space left on device): it takes 0.0 MB' in said[0]

    runner(tmp_path, epochs=3, resume=True, checkpoint=dict(max_keep_ckpts=1)).train()
    assert 'epoch_3.pth' in names(tmp_path)


def test_a_failed_write_leaves_nothing(tmp_path):
    path = tmp_path / 'a'
    path.write_text('old')

    def fail(file):
        file.write(b'new')
        raise OSError(errno.EIO, 'broken')

    with pytest.raises(OSError, match='broken'):
        saving.write_whole(path, fail)
    assert names(tmp_path) == ['a'] and path.read_text() == 'old'


@pytest.fixture
def three(tmp_path):
    runner(tmp_path, epochs=3).train()
    return tmp_path


@pytest.mark.parametrize(
    'pointer', [None, '', '/no/such/epoch_1.pth', 'epoch_9.pth', 'epoch_1.pth']
)
def test_the_latest_is_found_whatever_the_pointer_says(three, tmp_path, pointer):
    if pointer is None:
        (three / 'last_checkpoint').unlink()
    else:
        (three / 'last_checkpoint').write_text(pointer)
    moved = three.rename(tmp_path.parent / f'{tmp_path.name} moved')
    assert find_latest_checkpoint(str(moved)) == str(moved / 'epoch_3.pth')
    resumed = runner(moved, epochs=4, resume=True)
    resumed.train()
    assert resumed.iter == 8


def test_damaged_ones_are_passed_over(three, caplog):
    whole = (three / 'epoch_3.pth').read_bytes()
    flipped = bytearray(whole)
    with zipfile.ZipFile(three / 'epoch_3.pth') as archive:
        record = max(archive.infolist(), key=lambda info: info.file_size)
    flipped[record.header_offset + 200 + record.file_size // 2] ^= 1
    for bad in (bytes(flipped), whole[: len(whole) // 2], b''):
        (three / 'epoch_3.pth').write_bytes(bad)
        assert find_latest_checkpoint(str(three)) == str(three / 'epoch_2.pth')
    (three / 'epoch_3.pth').write_bytes(flipped)
    with pytest.raises(RuntimeError, match=r'cannot be read as a checkpoint.*checksum'):
        load_checkpoint(Model(), str(three / 'epoch_3.pth'))
    for name in ('epoch_1.pth', 'epoch_2.pth'):
        (three / name).write_bytes(b'')
    with pytest.raises(RuntimeError, match=r'no whole checkpoint to resume from \(epoch_'):
        find_latest_checkpoint(str(three))


def test_none_is_none(tmp_path):
    assert find_latest_checkpoint(str(tmp_path)) is None
    assert find_latest_checkpoint(str(tmp_path / 'nowhere')) is None


class Diverging(Model):
    """Its loss is NaN in the third epoch, of two steps each."""

    steps = 0

    def forward(self, inputs, mode='tensor'):
        self.steps += 1
        loss = super().forward(inputs, mode)['loss']
        return dict(loss=loss * float('nan') if self.steps > 4 else loss)


def test_weights_that_are_not_finite_replace_no_good_ones(tmp_path):
    training = runner(tmp_path, checkpoint=dict(max_keep_ckpts=1), model=Diverging())
    training.register_hook(dict(type='FiniteWeightsHook'))
    with pytest.raises(FloatingPointError, match=r'by iteration .* 2 weights .*--resume'):
        training.train()
    assert names(tmp_path) == ['epoch_2.pth', 'last_checkpoint']
    weights = torch.load(tmp_path / 'epoch_2.pth', weights_only=False)['state_dict']
    assert all(weight.isfinite().all() for weight in weights.values())


def test_the_config_in_a_checkpoint_is_not_run(tmp_path):
    runner(tmp_path, epochs=1).train()
    path, proof = tmp_path / 'epoch_1.pth', tmp_path / 'proof'
    content = torch.load(path, weights_only=False)
    content['meta']['config'] = f"open({str(proof)!r}, 'w')\ngpu_ids = [0]\n"
    torch.save(content, path)
    resumed = runner(tmp_path, epochs=2, resume=True)
    resumed.train()
    assert resumed.iter == 4 and not proof.exists()


def test_a_checkpoint_names_no_path_that_is_removed(tmp_path):
    precious = tmp_path / 'precious'
    precious.mkdir()
    outside = tmp_path / 'outside.pth'
    outside.touch()
    work_dir = tmp_path / 'run'
    work_dir.mkdir()
    (work_dir / 'outside.pth').touch()
    hub = dict(
        best_ckpt=str(precious),
        best_ckpt_a=str(outside),
        keep_ckpt_ids=['../../precious', 1],
    )
    hook = CheckpointHook(1, max_keep_ckpts=1, save_best=['a', 'b'], rule='greater')
    fake = SimpleNamespace(
        work_dir=str(work_dir),
        logger=MMLogger.get_current_instance(),
        message_hub=SimpleNamespace(runtime_info=hub, get_info=hub.get),
    )
    hook.before_train(fake)
    assert precious.is_dir() and outside.is_file()
    assert hub == dict(best_ckpt_a=str(work_dir / 'outside.pth'))
    assert hook.best_ckpt_path_dict == dict(a=str(work_dir / 'outside.pth'), b=None)


class Remember(Hook):
    """Keep the weights of every epoch, and when its checkpoint was asked for."""

    priority = 'LOWEST'  # after the checkpoint

    def __init__(self):
        self.weights, self.times = [], []

    def after_train_epoch(self, runner):
        self.weights.append({k: v.clone() for k, v in runner.model.state_dict().items()})
        self.times.append(time.monotonic())


def test_training_does_not_wait_for_the_disk(tmp_path, monkeypatch):
    """The file holds the weights of its epoch, though they change while it is written."""
    write = saving.write_whole

    def slow(path, writes):
        if str(path).endswith('.pth'):
            time.sleep(0.5)
        write(path, writes)

    monkeypatch.setattr(saving, 'write_whole', slow)
    training, seen = runner(tmp_path, epochs=4), Remember()
    seen.times.append(time.monotonic())
    training.register_hook(seen)
    training.train()
    waited = [after - before for before, after in itertools.pairwise(seen.times)]
    assert waited[0] < 0.4 < waited[2]  # the third save waits for the second
    for epoch, weights in enumerate(seen.weights, 1):
        saved = torch.load(tmp_path / f'epoch_{epoch}.pth', weights_only=False)
        assert saved['meta']['epoch'] == epoch
        for name, tensor in weights.items():
            assert torch.equal(saved['state_dict'][name], tensor)
    assert not torch.equal(seen.weights[0]['layer.weight'], seen.weights[1]['layer.weight'])


def test_other_saves_follow_those_of_the_background(tmp_path, monkeypatch):
    written = []
    write = saving.write_whole

    def slow(path, writes):
        time.sleep(0.2)
        write(path, writes)
        written.append(Path(path).name)

    monkeypatch.setattr(saving, 'write_whole', slow)
    files = []
    with saving.gathered(files):
        save_checkpoint(dict(state_dict={}), str(tmp_path / 'first.pth'))
    saving.in_background(saving.write_checkpoint, *files[0])
    save_checkpoint(dict(state_dict={}), str(tmp_path / 'second.pth'))
    assert written == ['first.pth', 'second.pth']


def test_the_size_counts_shared_tensors_once(tmp_path):
    tensor = torch.zeros(1000)
    content = dict(a=tensor, b=[tensor[:10], dict(c=tensor.view(10, 100))], d='text')
    assert saving._size(content) == 4000


@pytest.mark.parametrize('elsewhere', [False, True])
def test_what_a_killed_process_has_left_is_removed(tmp_path, elsewhere):
    folder = tmp_path / ('out/run' if elsewhere else 'run')
    folder.mkdir(parents=True)
    for name in ('.epoch_1.pth.123', '.other', '.epoch_1.pth.old', 'epoch_0.pth.123'):
        (folder / name).write_text('')
    checkpoint = dict(out_dir=str(tmp_path / 'out')) if elsewhere else {}
    runner(tmp_path / 'run', epochs=1, checkpoint=checkpoint).train()
    others = ['.epoch_1.pth.old', '.other', 'epoch_0.pth.123', 'epoch_1.pth']
    assert names(folder) == others + ['last_checkpoint'] * (not elsewhere)
    assert (tmp_path / 'run' / 'last_checkpoint').is_file()


@pytest.mark.parametrize('keep', [1, 3])
def test_another_storage_that_fails_loses_nothing(tmp_path, monkeypatch, keep):
    """Its files are written at once; the error is reported, and the old ones stay."""
    out = tmp_path / 'out'
    checkpoint = dict(out_dir=str(out), backend_args=dict(backend='local'), max_keep_ckpts=keep)
    training = runner(tmp_path / 'run', epochs=3, checkpoint=checkpoint)
    put = LocalBackend.put

    def fail(backend, data, path):
        if path.endswith('epoch_2.pth'):
            raise OSError(errno.EIO, 'unreachable')
        put(backend, data, path)

    monkeypatch.setattr(LocalBackend, 'put', fail)
    said = []
    monkeypatch.setattr(training.logger, 'error', said.append)
    training.train()
    kept = sorted(path.name for path in out.rglob('*.pth'))
    assert kept == (['epoch_3.pth'] if keep == 1 else ['epoch_1.pth', 'epoch_3.pth'])
    assert len(said) == 1 and 'unreachable' in said[0]


def test_a_forked_process_saves_too(tmp_path):
    save_checkpoint(dict(state_dict={}), str(tmp_path / 'parent.pth'))  # has started the thread
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        save_checkpoint(dict(state_dict={}), str(tmp_path / 'child.pth'))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status == 0 and (tmp_path / 'child.pth').is_file()


def test_there_is_room_again_at_the_end(tmp_path, monkeypatch):
    write, calls = saving.write_whole, []

    def full_once(path, writes):
        if str(path).endswith('epoch_2.pth') and not calls:
            calls.append(path)
            raise OSError(errno.ENOSPC, 'No space left on device')
        write(path, writes)

    monkeypatch.setattr(saving, 'write_whole', full_once)
    runner(tmp_path, epochs=2).train()
    assert calls and (tmp_path / 'last_checkpoint').read_text() == 'epoch_2.pth'
    assert torch.load(tmp_path / 'epoch_2.pth', weights_only=False)['meta']['epoch'] == 2


@pytest.mark.parametrize('epochs', [2, 3])
def test_one_name_for_all_checkpoints(epochs, tmp_path):
    checkpoint = dict(max_keep_ckpts=1, filename_tmpl='latest.pth')
    runner(tmp_path, epochs=epochs, checkpoint=checkpoint).train()
    assert names(tmp_path) == ['last_checkpoint', 'latest.pth']
    assert torch.load(tmp_path / 'latest.pth', weights_only=False)['meta']['epoch'] == epochs


def test_a_run_that_was_given_up_does_not_come_back(three):
    """Somebody went back to the first epoch, and has come to its successor."""
    named = three / 'epoch_1.pth'
    (three / 'last_checkpoint').write_text(named.name)
    assert find_latest_checkpoint(str(three)) == str(three / 'epoch_3.pth')
    later = (three / 'epoch_3.pth').stat().st_mtime + 10
    os.utime(named, (later, later))
    assert find_latest_checkpoint(str(three)) == str(named)


def test_folders_of_deepspeed_are_named(tmp_path):
    (tmp_path / 'epoch_3.pth').mkdir()
    with pytest.raises(RuntimeError, match=r'name the one.*--resume .*epoch_3\.pth$'):
        find_latest_checkpoint(str(tmp_path))


def test_what_cannot_be_meant_is_no_beginning(tmp_path):
    (tmp_path / 'last_checkpoint').write_text('s3://bucket/epoch_7.pth')
    assert find_latest_checkpoint(str(tmp_path)) == 's3://bucket/epoch_7.pth'
    (tmp_path / 'last_checkpoint').unlink()
    (tmp_path / 'best_accuracy_epoch_7.pth').write_text('')
    with pytest.raises(RuntimeError, match=r'best_accuracy_epoch_7\.pth.*--resume'):
        find_latest_checkpoint(str(tmp_path))


def save_best_in_two(rank, folder):
    """One process of two, the first of which has a full disk when the best one is saved first."""
    group = dict(rank=rank, world_size=2)
    torch.distributed.init_process_group('gloo', f'file://{folder}/store', **group)
    write, failed = saving.write_whole, []

    def full_once(path, writes):
        if 'best' in str(path) and not failed:
            failed.append(path)
            raise OSError(errno.ENOSPC, 'No space left on device')
        write(path, writes)

    saving.write_whole = full_once
    training = runner(Path(folder, str(rank)), epochs=1)
    hook = CheckpointHook(
        interval=-1,
        save_best='score',
        rule='greater',
        save_optimizer=False,
        save_param_scheduler=False,
    )
    hook.before_train(training)
    for step, score in enumerate((0.7, 0.6, 0.5)):
        training.train_loop._epoch = step
        hook.after_val_epoch(training, metrics=dict(score=score))
    Path(folder, f'{rank}.txt').write_text(str(training.message_hub.get_info('best_score')))


def test_all_processes_forget_a_save_that_failed(tmp_path):
    """Then all of them save the next best one; a sharded model waits for all."""
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(['tests.forked_libraries'])
    ranks = [
        context.Process(target=save_best_in_two, args=(rank, str(tmp_path))) for rank in (0, 1)
    ]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(120)
    assert [(tmp_path / f'{rank}.txt').read_text() for rank in (0, 1)] == ['0.6', '0.6']
