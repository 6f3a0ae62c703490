"""Nothing in a checkpoint is run: not its config, and not what that names.

Each road is shown open without the patch, and closed with it.
"""

import contextlib
import subprocess
import sys
import unittest  # noqa: F401

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.infer.infer import BaseInferencer
from mmengine.model import BaseModel
from mmengine.registry import FUNCTIONS, MODELS, TASK_UTILS, DefaultScope
from mmengine.runner import FlexibleRunner, Runner
from torch import nn

from wamim_mm.export import backbone as exported
from wamim_mm.interop.untrusted import check_untrusted, registered_only

from .test_saving import Model, runner

pytestmark = pytest.mark.usefixtures('own_instances')


@pytest.fixture
def marker(tmp_path, monkeypatch):
    """The file that hostile checkpoints write, if they can, also with the module that is there."""
    path = tmp_path / 'code_was_run'
    folder = tmp_path / 'modules'
    folder.mkdir()
    (folder / 'hostile_module.py').write_text(f'open({str(path)!r}, "w").close()\nx = dict\n')
    monkeypatch.syspath_prepend(folder)
    yield path
    sys.modules.pop('hostile_module', None)


# Resuming


def flexible(work_dir, epochs, **options):
    return FlexibleRunner(
        Model(),
        work_dir=str(work_dir),
        strategy=dict(type='SingleDeviceStrategy'),
        train_dataloader=dict(
            dataset=[torch.ones(2)] * 4,
            batch_size=2,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=lambda samples: dict(inputs=samples),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        default_scope='mmengine',
        experiment_name=f'{work_dir}{epochs}',
        log_level='ERROR',
        **options,
    )


@pytest.mark.parametrize('patched', [False, True])
@pytest.mark.parametrize('make', [runner, flexible])
def test_resuming(make, patched, marker, tmp_path, monkeypatch):
    make(tmp_path / 'run', epochs=1).train()
    path = tmp_path / 'hostile.pth'
    content = torch.load(tmp_path / 'run' / 'epoch_1.pth', weights_only=False)
    content['meta']['config'] = f"open({str(marker)!r}, 'w').close()\ngpu_ids = [0]\n"
    torch.save(content, path)
    if not patched:
        for cls, name in ((Runner, 'load_checkpoint'), (FlexibleRunner, 'resume')):
            monkeypatch.setattr(cls, name, getattr(cls, name).__wrapped__)
    resumed = make(tmp_path / 'run', epochs=2, load_from=str(path), resume=True)
    resumed.train()
    assert resumed.iter == 4
    assert marker.exists() is not patched


# Inferencers


@MODELS.register_module()
class Part(nn.Linear):
    """Of a model; its class has a name in a registry, and one with dots."""


@MODELS.register_module()
class OfParts(BaseModel):
    def __init__(self, part=None, task=None, nms=None, **kwargs):
        super().__init__()
        self.part = MODELS.build(part or dict(type='Part', in_features=2, out_features=2))
        if task:
            TASK_UTILS.build(task)
        if nms:
            from mmcv.ops.nms import batched_nms

            batched_nms(torch.zeros(1, 4), torch.zeros(1), torch.zeros(1), nms)

    def forward(self, inputs, mode='tensor'):
        return self.part(inputs)


class Plain(BaseInferencer):
    def _init_pipeline(self, cfg):
        return lambda inputs: inputs

    def visualize(self, inputs, preds, **kwargs):
        """Not used."""

    postprocess = visualize


def save(path, config, model=None):
    text = config if isinstance(config, str) else Config(config).pretty_text
    model = model or OfParts()
    torch.save(dict(state_dict=model.state_dict(), meta=dict(cfg=text)), path)
    return str(path)


def hostile(marker):
    """Configs by what is hostile in them."""
    command, opened = f'touch {marker}', f'open({str(marker)!r}, "w")'
    plain = dict(type='OfParts')
    return {
        'program': f"x = {opened}\nmodel = dict(type='OfParts')",
        'module': "custom_imports = dict(imports=['hostile_module'])\nmodel = dict(type='OfParts')",
        'function': dict(model=dict(type='subprocess.getoutput', cmd=command)),
        'part': dict(model=dict(plain, part=dict(type='subprocess.getoutput', cmd=command))),
        'name of a module': dict(model=dict(type='hostile_module')),
        'class of a module': dict(model=dict(type='hostile_module.x')),
        'scope': dict(model=dict(plain, _scope_='hostile_module')),
        'function for batches': dict(
            model=plain, test_dataloader=dict(collate_fn='hostile_module.x')
        ),
        'evaluated mode': dict(
            model=dict(plain, task=dict(type='mmdet.CameraMotionCompensation', warp_mode=opened))
        ),
        'evaluated type': dict(model=dict(plain, nms=dict(type=opened))),
    }


@pytest.mark.parametrize('kind', hostile('x'))
@pytest.mark.parametrize('patched', [False, True])
def test_inferencers(kind, patched, marker, tmp_path, monkeypatch):
    pytest.importorskip('mmdet')
    import mmdet.models  # noqa: F401

    path = save(tmp_path / 'hostile.pth', hostile(marker)[kind])
    if not patched:
        monkeypatch.setattr(BaseInferencer, '__init__', BaseInferencer.__init__.__wrapped__)
        with contextlib.suppress(Exception):
            Plain(weights=path, device='cpu', scope='mmengine')
        assert marker.exists()
        return
    if kind in ('module', 'scope', 'function for batches'):  # nothing needs it
        Plain(weights=path, device='cpu', scope='mmengine')
    else:
        refused = r'hostile\.pth cannot be used|is not in the \w+::\w+ registry'
        with pytest.raises((KeyError, ValueError), match=refused):
            Plain(weights=path, device='cpu', scope='mmengine')
    assert not marker.exists()


def test_honest_inferencers(tmp_path):
    """Classes by their names in a registry and in a module, as new-style configs write them."""
    for name in ('Part', f'{__name__}.Part', 'mmengine.Part'):
        config = dict(
            model=dict(type='OfParts', part=dict(type=name, in_features=2, out_features=2)),
            test_dataloader=dict(batch_size=1),
        )
        model = OfParts()
        found = Plain(weights=save(tmp_path / 'a.pth', config, model), device='cpu')
        assert torch.equal(found.model.part.weight, model.part.weight)
        assert found.cfg.test_dataloader.batch_size == 1


def test_no_config(tmp_path):
    torch.save(dict(state_dict={}), tmp_path / 'bare.pth')
    with pytest.raises(ValueError, match=r"bare\.pth does not hold the config .*model='CONFIG.py'"):
        Plain(weights=str(tmp_path / 'bare.pth'), device='cpu')


SEGMENTOR = dict(
    default_scope='mmseg',
    model=dict(
        type='EncoderDecoder',
        data_preprocessor=dict(type='SegDataPreProcessor', size=(32, 32)),
        backbone=dict(type='ResNetV1c', depth=18, num_stages=4, out_indices=(0, 1, 2, 3)),
        decode_head=dict(
            type='FCNHead', in_channels=512, in_index=3, channels=8, num_classes=2, num_convs=1
        ),
        train_cfg=dict(),
        test_cfg=dict(mode='whole'),
    ),
    test_dataloader=dict(
        dataset=dict(pipeline=[dict(type='LoadImageFromFile'), dict(type='PackSegInputs')])
    ),
    visualizer=dict(
        type='SegLocalVisualizer',
        vis_backends=[dict(type='LocalVisBackend')],
        save_dir='written',
        name='visualizer',
    ),
)


@pytest.mark.parametrize('program', [False, True])
def test_a_segmentor(program, marker, tmp_path, monkeypatch):
    """mmsegmentation's own inferencer works, and writes nothing where the config says."""
    pytest.importorskip('mmseg')
    from mmseg.apis import MMSegInferencer

    monkeypatch.chdir(tmp_path)
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(dict(SEGMENTOR['model'], _scope_='mmseg'))
    text = Config(SEGMENTOR).pretty_text
    if program:
        text = f'x = open({str(marker)!r}, "w")\n{text}'
    meta = dict(cfg=text, dataset_meta=dict(classes=('a', 'b'), palette=[[0] * 3, [9] * 3]))
    torch.save(dict(state_dict=model.state_dict(), meta=meta), 'segmentor.pth')
    if program:
        with pytest.raises(ValueError, match="line 1 has 'open'"):
            MMSegInferencer(None, weights='segmentor.pth', device='cpu')
        assert not marker.exists()
        return
    found = MMSegInferencer(None, weights='segmentor.pth', device='cpu')
    result = found(np.zeros((32, 32, 3), np.uint8))
    assert result['predictions'].shape == (32, 32)
    assert not (tmp_path / 'written').exists()


# Names in a config


def test_what_is_refused_by_name():
    check_untrusted(dict(type='A', x=[dict(type='torch.nn.ReLU', _scope_=None)], y='x()'))
    check_untrusted([dict(type='torchvision/Resize'), dict(type='mmdet.models.A')])
    for bad in (
        dict(type='os.system()'),
        dict(a=[dict(type='a b')]),
        dict(a=dict(_scope_='hostile_module.x')),
        dict(type='no_module_of_this_name.x'),
        dict(dtype='float32 or 1'),
        dict(type=['A']) | dict(type=1),
        dict(teacher_config='teacher.py'),
        dict(a=(dict(trust_remote_code=True),)),
    ):
        with pytest.raises(ValueError, match=r'is not taken from a checkpoint, since it may run'):
            check_untrusted(bad)


def test_registries_import_nothing_in_the_context(marker):
    assert MODELS.get('subprocess.Popen') is subprocess.Popen
    with registered_only():
        for name in ('subprocess.Popen', 'hostile_module', 'hostile_module.x', 'torch.hub.load'):
            assert MODELS.get(name) is None
        assert MODELS.get('torch.nn.modules.activation.ReLU') is nn.ReLU  # mmcv registers it
        assert not marker.exists()
    assert FUNCTIONS.get('subprocess.Popen') is subprocess.Popen


@pytest.mark.parametrize('name', ['tqdm.__main__.x', 'unittest.__main__.x', 'torch.__main__.x'])
def test_programs_of_libraries_are_no_classes(name):
    """Importing them runs them; that a library is imported already does not make them harmless."""
    with registered_only():
        assert MODELS.get(name) is None
    assert name.removesuffix('.x') not in sys.modules


# Export


@pytest.mark.parametrize('patched', [False, True])
@pytest.mark.parametrize(
    'arguments',
    [
        dict(type='VisionTransformer', layer_cfgs=dict(act_cfg='HOSTILE')),
        dict(type='hostile_module'),
        dict(type='VisionTransformer', _scope_='hostile_module'),
    ],
    ids=['part', 'type', 'scope'],
)
def test_export(arguments, patched, marker, tmp_path, monkeypatch):
    arguments = dict(arguments, arch='deit-tiny')
    if 'layer_cfgs' in arguments:
        part = dict(type='subprocess.getoutput', cmd=f'touch {marker}')
        arguments['layer_cfgs'] = dict(act_cfg=part)
    config = dict(model=dict(backbone=arguments))
    state = {'backbone.x': torch.zeros(1)}
    torch.save(dict(state_dict=state, meta=dict(cfg=Config(config).pretty_text)), tmp_path / 'a')
    if not patched:
        monkeypatch.setattr(exported, 'registered_only', contextlib.nullcontext)
        monkeypatch.setattr(exported, 'check_untrusted', lambda config: None)
    with pytest.raises(Exception) as error:
        exported.read_backbone(str(tmp_path / 'a')).build('timm')
    assert marker.exists() is not patched
    assert not patched or isinstance(error.value, KeyError | ValueError)
