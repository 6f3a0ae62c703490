import functools
import io
import os
import pathlib
import pickle
import re
import shutil
import sys
from collections import OrderedDict
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from wamim_mm.interop.checkpoints import install

install()

from mmengine.evaluator import BaseMetric  # noqa: E402
from mmengine.hooks import Hook  # noqa: E402
from mmengine.logging import HistoryBuffer  # noqa: E402
from mmengine.model import BaseModel, BaseModule  # noqa: E402
from mmengine.runner import CheckpointLoader, Runner, checkpoint, load_checkpoint  # noqa: E402

DTYPES = ['bool', 'float16', 'float32', 'float64']
DTYPES += [f'{sign}int{bits}' for sign in ('', 'u') for bits in (8, 16, 32, 64)]
COSINE = [
    {'type': 'LinearLR', 'start_factor': 0.1, 'end': 1, 'convert_to_iter_based': True},
    {'type': 'CosineAnnealingLR', 'T_max': 3},
]


pytestmark = pytest.mark.usefixtures('own_instances')


@pytest.fixture
def only_globals():
    """Return a function that replaces torch's allow-list, for the time of the test."""
    saved = torch.serialization.get_safe_globals()

    def replace(entries):
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(entries)

    yield replace
    replace(saved)


# A real run


class Samples(torch.utils.data.Dataset):
    def __init__(self):
        self.metainfo = {'classes': ('cat', 'dog'), 'palette': [(1, 2, 3)], 'weight': np.ones(2)}

    def __len__(self):
        return 8

    def __getitem__(self, index):
        return {'inputs': torch.arange(3.0) * index}


class Model(BaseModel):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.Linear(2, 1))

    def forward(self, inputs, mode='loss'):
        loss = self.layers(torch.stack(inputs)).square().mean()
        return {'loss': loss} if mode == 'loss' else [{'score': loss}]


class Accuracy(BaseMetric):
    def process(self, data_batch, data_samples):
        self.results.append(0.5)

    def compute_metrics(self, results):
        return {'accuracy': np.float32(0.5)}  # best_score: a numpy scalar in the message hub


class LogNumbers(Hook):
    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        hub = runner.message_hub
        hub.update_scalar('train/int', runner.iter)
        hub.update_scalar('train/float64', np.float64(runner.iter) / 3)
        hub.update_info('started', HistoryBuffer([1, 2], [1, 1]))  # int64 arrays
        for dtype in DTYPES:
            hub.update_info(dtype, np.ones((), dtype)[()])
            hub.update_info(f'{dtype} array', np.ones((2, 3), dtype))


def make_runner(work_dir, scheduler=COSINE, optimizer='AdamW', max_epochs=3, **kwargs):
    loader = {
        'dataset': Samples(),
        'batch_size': 4,
        'num_workers': 0,
        'sampler': {'type': 'DefaultSampler', 'shuffle': False},
    }
    return Runner(
        model=Model(),
        work_dir=str(work_dir),
        train_dataloader=loader,
        val_dataloader=loader,
        train_cfg={'by_epoch': True, 'max_epochs': max_epochs, 'val_interval': 1},
        val_cfg={},
        val_evaluator=[Accuracy()],
        optim_wrapper={'optimizer': {'type': optimizer, 'lr': 0.1}, 'clip_grad': {'max_norm': 1.0}},
        param_scheduler=scheduler,
        default_hooks={
            'checkpoint': {'type': 'CheckpointHook', 'interval': 1, 'save_best': 'accuracy'},
            'logger': {'type': 'LoggerHook', 'interval': 1},
        },
        custom_hooks=[{'type': 'EMAHook'}, LogNumbers()],
        randomness={'seed': 0},
        default_scope='mmengine',
        experiment_name=str(work_dir),
        log_level='ERROR',
        **kwargs,
    )


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """The work directory of a run of three epochs."""
    work_dir = tmp_path_factory.mktemp('trained')
    make_runner(work_dir).train()
    return work_dir


def assert_equal(a, b):
    # An array that was read is of a subclass, until it is saved.
    assert type(a) is type(b) or isinstance(a, np.ndarray) is isinstance(b, np.ndarray) is True
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_equal(a[key], b[key])
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_equal(x, y)
    elif isinstance(a, HistoryBuffer):
        assert_equal(a.data, b.data)
    elif isinstance(a, (torch.Tensor, np.ndarray)):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        assert (a == b).all()
    else:
        assert a == b


def test_resumed_run_equals_the_saved_one(trained, tmp_path):
    path = str(trained / 'epoch_3.pth')
    saved = torch.load(path, weights_only=False)
    runner = make_runner(tmp_path, load_from=path, resume=True)
    runner.train()  # three of three epochs are done: it resumes and ends
    assert runner.epoch == 3
    assert runner.iter == saved['meta']['iter'] == 6
    assert_equal(runner.optim_wrapper.state_dict(), saved['optimizer'])
    assert_equal([s.state_dict() for s in runner.param_schedulers], saved['param_schedulers'])
    hub = saved['message_hub']
    assert_equal(runner.message_hub.log_scalars, hub['log_scalars'])
    assert list(hub['log_scalars']['train/int'].data[0]) == list(range(6))
    assert runner.message_hub.get_scalar('train/int').mean() == 2.5  # its methods work
    assert_equal(runner.message_hub.get_info('best_score'), np.float32(0.5))
    for dtype in DTYPES:
        assert_equal(runner.message_hub.get_info(dtype), np.ones((), dtype)[()])
        assert_equal(runner.message_hub.get_info(f'{dtype} array'), np.ones((2, 3), dtype))


def test_resumed_run_continues_as_if_uninterrupted(trained, tmp_path):
    make_runner(tmp_path, load_from=str(trained / 'epoch_1.pth'), resume=True).train()
    straight = torch.load(trained / 'epoch_3.pth', weights_only=True)
    resumed = torch.load(tmp_path / 'epoch_3.pth', weights_only=True)
    for part in ('state_dict', 'ema_state_dict', 'optimizer', 'param_schedulers'):
        assert_equal(resumed[part], straight[part])


@pytest.mark.parametrize(
    'scheduler',
    [
        {'type': 'ConstantLR'},
        {'type': 'ExponentialLR', 'gamma': 0.9},
        {'type': 'MultiStepLR', 'milestones': [1, 2]},
        {'type': 'StepLR', 'step_size': 1},
        {'type': 'PolyLR'},
        {'type': 'OneCycleLR', 'eta_max': 0.1, 'total_steps': 6},
        {'type': 'OneCycleLR', 'eta_max': 0.1, 'total_steps': 6, 'anneal_strategy': 'linear'},
        {'type': 'CosineRestartLR', 'periods': [1, 1], 'restart_weights': [1, 1], 'eta_min': 0},
        {'type': 'ReduceOnPlateauLR', 'monitor': 'accuracy', 'rule': 'greater'},
    ],
    ids=str,
)
def test_every_scheduler_resumes(scheduler, tmp_path):
    make = functools.partial(make_runner, scheduler=[scheduler], optimizer='SGD', max_epochs=1)
    make(tmp_path / 'first').train()
    path = str(tmp_path / 'first' / 'epoch_1.pth')
    assert torch.serialization.get_unsafe_globals_in_checkpoint(path) == []
    runner = make(tmp_path / 'second', load_from=path, resume=True)
    runner.train()
    saved = torch.load(path, weights_only=False)['param_schedulers']
    assert_equal([s.state_dict() for s in runner.param_schedulers], saved)


def test_amp_scaler_state_loads(tmp_path):
    path = str(tmp_path / 'amp.pth')
    state = torch.amp.GradScaler('cpu').state_dict()
    torch.save({'optimizer': {'loss_scaler': state}}, path)
    assert CheckpointLoader.load_checkpoint(path)['optimizer']['loss_scaler'] == state


@pytest.mark.parametrize(
    'name',
    [
        'builtins.getattr',
        'mmengine.logging.history_buffer.HistoryBuffer',
        'numpy.ndarray',
        'numpy.dtype',
        '_reconstruct',
        'scalar',
        'arrays._Array',
    ],
)
def test_every_class_of_the_list_is_needed(name, trained, only_globals):
    path = str(trained / 'epoch_3.pth')
    CheckpointLoader.load_checkpoint(path)
    entries = torch.serialization.get_safe_globals()
    # torch itself adds some, without a name.
    kept = [e for e in entries if not (type(e) is tuple and f'.{e[1]}'.endswith(f'.{name}'))]
    assert len(kept) < len(entries)
    only_globals(kept)
    with pytest.raises(pickle.UnpicklingError, match=r'epoch_3\.pth is refused'):
        CheckpointLoader.load_checkpoint(path)


def test_the_list_holds_no_door():
    entries = torch.serialization.get_safe_globals()
    allowed = [entry[0] for entry in entries if type(entry) is tuple]
    assert len(allowed) > 8
    for function in (getattr, setattr, eval, exec, open, __import__, type, object):
        assert function not in allowed
    # NumPy's own constructors make arrays of pointers of a file's choice.
    for constructor in (np.ndarray, np.dtype, type(np.dtype(object)), np.array, np.frombuffer):
        assert constructor not in allowed


class Reduced:
    """Pickled as a call of a function, with a state to be set afterwards."""

    def __init__(self, function, *arguments, state=None):
        self.reduced = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self):
        return self.reduced


POINTERS = b'A' * 8
DTYPE = Reduced(np.dtype, 'i8', False, True, state=(3, '<', None, None, None, -1, -1, 0))
EMPTY = np.empty(0).__reduce__()[0], np.ndarray, (0,), b'b'
HOSTILE_ARRAYS = {
    'array of pointers': lambda: Reduced(np.ndarray, (1,), 'O', POINTERS),
    'array over a buffer': lambda: Reduced(np.ndarray, (1,), 'i8', POINTERS),
    'dtype of objects': lambda: Reduced(np.dtype, 'O'),
    'dtype of fields': lambda: Reduced(np.dtype, [('a', 'O')]),
    'dtype with the flags of objects': lambda: Reduced(
        np.dtype, 'i8', False, True, state=(3, '<', None, None, None, -1, -1, 63)
    ),
    'more elements than data': lambda: Reduced(*EMPTY, state=(1, (99,), DTYPE, False, POINTERS)),
    'negative side': lambda: Reduced(*EMPTY, state=(1, (-1, -1), DTYPE, False, POINTERS)),
    'list in the place of data': lambda: Reduced(*EMPTY, state=(1, (1,), DTYPE, False, [1])),
    'scalar too long': lambda: Reduced(np.float64(0).__reduce__()[0], DTYPE, POINTERS * 2),
    'scalar of objects': lambda: Reduced(
        np.float64(0).__reduce__()[0], Reduced(np.dtype, 'O'), POINTERS
    ),
}


@pytest.mark.parametrize('name', HOSTILE_ARRAYS)
def test_hostile_arrays_are_refused(name, tmp_path):
    """With NumPy's own constructors, the first two end in a segmentation fault."""
    path = str(tmp_path / 'hostile.pth')
    torch.save({'state_dict': {}, 'x': HOSTILE_ARRAYS[name]()}, path)
    with pytest.raises(pickle.UnpicklingError, match=r'hostile\.pth is refused'):
        CheckpointLoader.load_checkpoint(path)


@pytest.mark.parametrize('dtype', [*DTYPES, '>f4', '>i8'])
def test_arrays_of_numbers_load(dtype, tmp_path):
    path = str(tmp_path / 'numbers.pth')
    arrays = [np.arange(6).reshape(2, 3).astype(dtype), np.ones((), dtype)]
    arrays += [np.asfortranarray(arrays[0]), arrays[0][:, ::2]]
    torch.save({'arrays': arrays, 'scalar': arrays[0][1, 2]}, path)
    for _ in range(2):
        loaded = CheckpointLoader.load_checkpoint(path)
        for array, expected in zip(loaded['arrays'], arrays, strict=True):
            # NumPy brings what it reads into the machine's byte order.
            assert array.dtype.newbyteorder('=') == expected.dtype.newbyteorder('=')
            assert array.shape == expected.shape
            np.testing.assert_array_equal(array, expected)
        assert loaded['scalar'] == arrays[0][1, 2]
        torch.save(loaded, path)  # and are saved as NumPy's own
    assert 'wamim_mm' not in str(torch.serialization.get_unsafe_globals_in_checkpoint(path))


@pytest.mark.parametrize('core', ['numpy.core', 'numpy._core'])
def test_files_of_either_numpy_load(core, tmp_path):
    path = tmp_path / 'numpy.pth'
    # Of the legacy format, whose pickles lie in the file as they are.
    torch.save(np.arange(3), path, _use_new_zipfile_serialization=False)
    data = path.read_bytes()
    now = b'numpy._core' if b'numpy._core' in data else b'numpy.core'
    path.write_bytes(data.replace(now, core.encode()))
    assert CheckpointLoader.load_checkpoint(str(path)).tolist() == [0, 1, 2]


@pytest.mark.parametrize('legacy', [False, True], ids=['zip', 'legacy'])
@pytest.mark.parametrize('kind', [OrderedDict, dict, 'wrapped'])
def test_weights_alone_load(kind, legacy, tmp_path):
    path = str(tmp_path / 'weights.pth')
    weights = Model().state_dict()
    content = {'state_dict': weights} if kind == 'wrapped' else kind(weights)
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    model = Model()
    nn.init.zeros_(model.layers[0].weight)
    load_checkpoint(model, path, strict=True)
    assert_equal(dict(model.state_dict()), dict(weights))


# Hostile files


class Call:
    """Pickled, it is the call of `function`."""

    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


@pytest.fixture
def marker(tmp_path):
    """The file that hostile checkpoints write, if they can."""
    return tmp_path / 'code_was_run'


@pytest.fixture(params=['zip', 'legacy'])
def hostile(request, tmp_path, marker):
    path = tmp_path / 'hostile.pth'
    content = {'state_dict': Model().state_dict(), 'meta': Call(open, str(marker), 'w')}
    torch.save(content, path, _use_new_zipfile_serialization=request.param == 'zip')
    return str(path)


def test_hostile_file_is_hostile(hostile, marker):
    torch.load(hostile, weights_only=False)['meta'].close()
    assert marker.exists()


def cached_download(path, monkeypatch):
    """Put the file where torch.hub keeps the download of the URL that is returned."""
    home = os.path.dirname(path)
    monkeypatch.setenv('TORCH_HOME', home)
    monkeypatch.setattr(torch.hub, '_hub_dir', None)
    os.makedirs(f'{home}/hub/checkpoints')
    shutil.copy(path, f'{home}/hub/checkpoints/hostile.pth')
    return 'https://example.com/hostile.pth'


def zoo(getter, prefix):
    def road(path, monkeypatch):
        url = cached_download(path, monkeypatch)
        monkeypatch.setattr(checkpoint, getter, lambda: {'hostile': url})
        CheckpointLoader.load_checkpoint(f'{prefix}hostile')

    return road


def mmengine_home(path, monkeypatch):
    monkeypatch.setenv('MMENGINE_HOME', os.path.dirname(path))
    monkeypatch.setattr(checkpoint, 'get_external_models', lambda: {'hostile': 'hostile.pth'})
    CheckpointLoader.load_checkpoint('open-mmlab://hostile')


def pavi(path, monkeypatch):
    model = SimpleNamespace(name='hostile.pth', download=lambda to: shutil.copy(path, to))
    cloud = SimpleNamespace(get=lambda name: model)
    monkeypatch.setitem(sys.modules, 'pavi', SimpleNamespace(modelcloud=cloud))
    CheckpointLoader.load_checkpoint('pavi://hostile')


def petrel(path, monkeypatch):
    backend = SimpleNamespace(get=lambda name: pathlib.Path(path).read_bytes())
    monkeypatch.setattr(checkpoint, 'get_file_backend', lambda *args, **kwargs: backend)
    CheckpointLoader.load_checkpoint('s3://hostile')


def home_directory(path, monkeypatch):
    monkeypatch.setenv('HOME', os.path.dirname(path))
    CheckpointLoader.load_checkpoint('~/hostile.pth')


def init_cfg(path, monkeypatch):
    BaseModule(init_cfg={'type': 'Pretrained', 'checkpoint': path}).init_weights()


ROADS = {
    'CheckpointLoader': lambda path, _: CheckpointLoader.load_checkpoint(path),
    '_load_checkpoint': lambda path, _: checkpoint._load_checkpoint(path),
    'with_prefix': lambda path, _: checkpoint._load_checkpoint_with_prefix('backbone.', path),
    'load_checkpoint': lambda path, _: load_checkpoint(Model(), path),
    'init_cfg': init_cfg,
    'load_from': lambda path, _: make_runner(f'{path}.run', load_from=path).train(),
    'resume': lambda path, _: make_runner(f'{path}.run', load_from=path, resume=True).train(),
    'Runner.resume': lambda path, _: make_runner(f'{path}.run').resume(path),
    'home': home_directory,
    'http': lambda path, m: CheckpointLoader.load_checkpoint(cached_download(path, m)),
    'torchvision': zoo('get_torchvision_models', 'torchvision://'),
    'modelzoo': zoo('get_torchvision_models', 'modelzoo://'),
    'open-mmlab': zoo('get_external_models', 'open-mmlab://'),
    'openmmlab': zoo('get_external_models', 'openmmlab://'),
    'mmcls': zoo('get_mmcls_models', 'mmcls://'),
    'mmengine_home': mmengine_home,
    'pavi': pavi,
    'petrel': petrel,
}


@pytest.mark.parametrize('road', ROADS)
def test_hostile_file_is_refused(road, hostile, marker, monkeypatch):
    with pytest.raises(pickle.UnpicklingError) as caught:
        ROADS[road](hostile, monkeypatch)
    assert not marker.exists()
    text = str(caught.value)
    assert 'hostile' in text.split(' is refused: ')[0]
    # pickle writes a function under the module that it says it is of, which depends on Python.
    assert re.search(r'it holds (_?io\.)?open,', text)
    assert 'add_safe_globals([' in text


@pytest.mark.parametrize('road', ['CheckpointLoader', 'http'])
def test_torch_variable_does_not_undo_it(road, hostile, marker, monkeypatch):
    monkeypatch.setenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', '1')
    with pytest.raises(pickle.UnpicklingError):
        ROADS[road](hostile, monkeypatch)
    assert not marker.exists()


@pytest.fixture
def through_getattr(tmp_path, marker):
    """A file that calls `open` by nothing but `getattr` and what torch itself allows."""
    rebuild = torch._tensor._rebuild_from_type_v2  # calls its first argument
    module = Call(getattr, Call(getattr, HistoryBuffer, 'min'), '__globals__')
    get, dict_ = Call(getattr, module, 'get'), Call(getattr, module, '__class__')
    builtins = Call(rebuild, get, dict_, ('__builtins__',), None)
    open_ = Call(
        rebuild, Call(getattr, builtins, 'get'), Call(getattr, get, '__class__'), ('open',), None
    )
    path = tmp_path / 'hostile.pth'
    torch.save(Call(rebuild, open_, dict_, (str(marker), 'w'), None), path)
    return str(path)


def test_getattr_on_the_list_would_run_code(through_getattr, marker, only_globals):
    only_globals([getattr, HistoryBuffer])
    with pytest.raises(AttributeError, match='as_subclass'):  # after the call
        torch.load(through_getattr, weights_only=True)
    assert marker.exists()


def test_getattr_reaches_no_further_than_the_statistics(through_getattr, marker):
    with pytest.raises(pickle.UnpicklingError, match=r'getattr\(HistoryBuffer.min, __globals__\)'):
        CheckpointLoader.load_checkpoint(through_getattr)
    assert not marker.exists()


def test_objects_of_other_classes_are_named(tmp_path):
    path = str(tmp_path / 'buffer.pth')
    torch.save(np.array(['text']), path)
    with pytest.raises(pickle.UnpicklingError, match=r"it holds <numpy\.dtype\('U4'\)>,"):
        CheckpointLoader.load_checkpoint(path)


# Damaged files


@pytest.mark.parametrize('legacy', [False, True], ids=['zip', 'legacy'])
def test_file_cut_short(legacy, tmp_path):
    buffer = io.BytesIO()
    content = {'state_dict': OrderedDict(weight=torch.zeros(40, 40))}
    torch.save(content, buffer, _use_new_zipfile_serialization=not legacy)
    data, path = buffer.getvalue(), tmp_path / 'cut.pth'
    for length in [*range(0, 300, 7), *range(300, len(data), 371), len(data) - 1]:
        path.write_bytes(data[:length])
        # The first 300 bytes of the legacy format can end inside a class name: refused by that.
        with pytest.raises((RuntimeError, pickle.UnpicklingError), match=r'cut\.pth') as caught:
            CheckpointLoader.load_checkpoint(str(path))
        if length > 300:
            assert 'interrupted' in str(caught.value)


@pytest.mark.filterwarnings('ignore:Detected pickle protocol 4')
@pytest.mark.parametrize(
    'data',
    [
        b'',
        b'<!DOCTYPE html><html>404</html>',
        b'version https://git-lfs.github.com/spec/v1\noid sha256:0123',
        b'\x89PNG\r\n\x1a\n',
        b'PK\x03\x04 and no archive',
        pickle.dumps({'state_dict': {}}, protocol=2),
        pickle.dumps({'state_dict': {}}, protocol=4),
    ],
    ids=['empty', 'html', 'git-lfs', 'png', 'zip', 'pickle2', 'pickle4'],
)
def test_no_checkpoint(data, tmp_path, monkeypatch):
    path = tmp_path / 'other.pth'
    path.write_bytes(data)
    with pytest.raises(RuntimeError, match=r'other\.pth cannot be read as a checkpoint \('):
        CheckpointLoader.load_checkpoint(str(path))
    url = cached_download(str(path), monkeypatch)
    with pytest.raises(RuntimeError, match=f'{url} cannot be read .*hub/checkpoints'):
        CheckpointLoader.load_checkpoint(url)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'absent\.pth'):
        CheckpointLoader.load_checkpoint(str(tmp_path / 'absent.pth'))


def test_other_errors_pass(tmp_path):
    path = str(tmp_path / 'weights.pth')
    torch.save(Model().state_dict(), path)

    def no_memory(*args):
        raise torch.cuda.OutOfMemoryError('CUDA out of memory')

    with pytest.raises(torch.cuda.OutOfMemoryError):
        CheckpointLoader.load_checkpoint(path, map_location=no_memory)


def test_install_twice_changes_nothing():
    schemes = dict(CheckpointLoader._schemes)
    allowed = torch.serialization.get_safe_globals()
    install()
    assert schemes == CheckpointLoader._schemes
    assert set(allowed) == set(torch.serialization.get_safe_globals())
