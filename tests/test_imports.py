"""What importing the package costs, and what it makes known, each in a fresh interpreter."""

import subprocess
import sys
import textwrap
import venv
from pathlib import Path

import pytest
from PIL import Image

LIBRARIES = ('torch', 'numpy', 'mmengine', 'mmcv', 'mmpretrain', 'mmdet', 'mmseg', 'transformers')


def run(code: str, python=sys.executable) -> str:
    """What the code prints, on either stream."""
    done = subprocess.run(
        [python, '-W', 'ignore', '-c', textwrap.dedent(code)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return (done.stdout + done.stderr).strip()


def test_importing_imports_no_library():
    out = run(f'import sys, wamim_mm; print([m for m in {LIBRARIES} if m in sys.modules])')
    assert out == '[]'


def test_the_first_lookup_registers_everything():
    """Also where MMEngine and its registries were imported and used before."""
    names = """
        MODELS.get('WaMIM'), MODELS.get('MFM'), TRANSFORMS.get('LoadRandomResizedCrop'),
        HOOKS.get('PretrainedFitHook'), LOOPS.get('DatasetsTestLoop'),
        OPTIM_WRAPPER_CONSTRUCTORS.get('LayerDecayOptimWrapperConstructor')"""
    registries = """
        from mmengine.registry import HOOKS, LOOPS, OPTIM_WRAPPER_CONSTRUCTORS
        HOOKS.get("IterTimerHook")
        from mmpretrain.registry import MODELS, TRANSFORMS"""
    for before, after in (
        ('import wamim_mm', registries),
        (registries, 'import wamim_mm'),
    ):
        out = run(f"""
        {before}
        {after}
        print(all([{names}]))
        """)
        assert out.endswith('True'), out


SCRIPT = """
import mmpretrain
from mmpretrain import get_model
print(type(get_model('resnet18_8xb32_in1k')).__name__)

from mmengine.registry import MODELS
print(type(MODELS.build(dict(type='mmpretrain.WaMIMViT', arch='deit-tiny'))).__name__)
from mmpretrain.registry import MODELS as OURS
print(type(OURS.build(dict(type='WaMIMSwinTransformer', arch='tiny'))).__name__)

from mmengine.config import Config
from mmengine.runner import Runner
Runner.from_cfg(Config.fromfile('config.py')).train()
print('trained')
"""
CONFIG = """
custom_imports = dict(imports=['wamim_mm'])
default_scope = 'mmpretrain'
model = dict(
    type='mmpretrain.WaMIM',
    backbone=dict(type='mmpretrain.WaMIMViT', arch='deit-tiny', img_size=64, out_indices=[5, 11]),
    neck=dict(type='mmpretrain.WaMIMDecoder', strides=16, embed_dims=32, num_heads=2),
    target_generator=dict(type='mmpretrain.WaveletTargetGenerator', wavelet='haar', levels=(2, 3)),
    head=dict(type='mmpretrain.WaMIMHead', loss_weights=(1, 1)),
)
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='CustomDataset',
        data_root='images',
        with_label=False,
        pipeline=[dict(type='LoadRandomResizedCrop', scale=64), dict(type='PackInputs')],
    ),
)
train_cfg = dict(by_epoch=True, max_epochs=1)
optim_wrapper = dict(optimizer=dict(type='AdamW', lr=1e-3))
work_dir = 'run'
log_level = 'ERROR'
"""


@pytest.mark.parametrize(
    'imports',
    [
        pytest.param('import wamim_mm', id='first'),
        pytest.param('import mmengine.runner', id='by custom_imports'),
        pytest.param(
            'import mmpretrain\nimport wamim_mm', id='after mmpretrain', marks=pytest.mark.slow
        ),
    ],
)
def test_a_script_of_ones_own(imports, tmp_path):
    """With MMEngine's Runner and not ours, in a folder that knows nothing of the repository."""
    (tmp_path / 'images').mkdir()
    for i in range(2):
        Image.new('RGB', (80, 80), (i, 9, 99)).save(tmp_path / 'images' / f'{i}.jpg')
    (tmp_path / 'config.py').write_text(CONFIG)
    script = SCRIPT
    if 'wamim_mm' not in imports:  # the config imports it
        script = SCRIPT[SCRIPT.index('from mmengine.config') :]
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', f'{imports}\n{script}'],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    names = ['ImageClassifier', 'WaMIMViT', 'WaMIMSwinTransformer', 'trained']
    printed = [line for line in done.stdout.splitlines() if line in names]
    assert printed == (names if 'wamim_mm' in imports else names[-1:])
    assert list(tmp_path.glob('run/epoch_1.pth'))


def test_classes_are_attributes_of_the_package():
    out = run("""
        import wamim_mm
        from wamim_mm import *
        print(all(getattr(wamim_mm, name) is globals()[name] for name in wamim_mm.__all__))
        try:
            wamim_mm.Missing
        except AttributeError as error:
            print(error)
    """)
    assert out == "True\nmodule 'wamim_mm' has no attribute 'Missing'"


def test_registering_imports_neither_detection_nor_transformers_and_says_nothing():
    out = run("""
        import sys, wamim_mm
        wamim_mm.register()
        print([m for m in ('mmdet', 'mmseg', 'transformers') if m in sys.modules])
    """)
    assert out == '[]'


def test_what_was_put_off_is_there_when_asked_for():
    pytest.importorskip('mmdet')
    pytest.importorskip('transformers')
    out = run("""
        import wamim_mm, torch
        wamim_mm.register()
        import mmdet.models, mmpretrain.models.utils
        from mmdet.registry import MODELS
        norm = mmpretrain.models.utils.ResLayerExtraNorm
        print(norm is not None and MODELS.get('ResLayerExtraNorm') is norm)
        from mmengine.optim import build_optim_wrapper
        cfg = dict(optimizer=dict(type='Adafactor', lr=1e-3, relative_step=False))
        print(type(build_optim_wrapper(torch.nn.Linear(2, 2), cfg).optimizer).__module__)
    """)
    assert 'True' in out.splitlines() and 'transformers.optimization' in out.splitlines()


@pytest.mark.parametrize(
    'first',
    [
        'mmpretrain',
        pytest.param('mmdet.models', marks=pytest.mark.slow),
        pytest.param('mmdet', marks=pytest.mark.slow),
        pytest.param('mmdet.registry', marks=pytest.mark.slow),
    ],
)
def test_the_order_of_imports_does_not_matter(first):
    pytest.importorskip('mmdet')
    out = run(f"""
        import wamim_mm, {first}, mmpretrain.models, mmdet.models
        from mmdet.registry import MODELS
        print(MODELS.get('ResLayerExtraNorm') is mmpretrain.models.utils.ResLayerExtraNorm)
    """)
    assert out.endswith('True')


def test_a_second_thread_waits_for_all_classes():
    out = run("""
        import threading, wamim_mm
        from mmpretrain.registry import MODELS
        found = []
        look = lambda: found.append(MODELS.get('WaMIM') is not None)
        threads = [threading.Thread(target=look) for _ in range(4)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        print(found)
    """)
    assert out.endswith(str([True] * 4))


def test_the_package_may_be_imported_again():
    out = run("""
        import sys, wamim_mm
        for name in [name for name in sys.modules if name.startswith('wamim_mm')]:
            del sys.modules[name]
        import wamim_mm
        import mmengine.registry, mmengine.runner.checkpoint
        print('imported')
    """)
    assert out.endswith('imported')


def test_ops_need_torch_and_pywavelets_only(tmp_path):
    """A venv that sees this environment's libraries, but for those of OpenMMLab."""
    import torch

    import wamim_mm

    venv.create(tmp_path / 'venv', with_pip=False)
    python = tmp_path / 'venv' / 'bin' / 'python'
    seen = tmp_path / 'seen'
    seen.mkdir()
    for entry in Path(torch.__file__).parents[1].iterdir():
        if not entry.name.lower().startswith(('mm', 'onedl', '_', 'wamim', 'torchvision')):
            (seen / entry.name).symlink_to(entry)
    (seen / 'wamim_mm').symlink_to(Path(wamim_mm.__file__).parent)
    out = run(
        f"""
        import sys
        sys.path.insert(0, {str(seen)!r})
        import importlib.util
        print([m for m in ('mmengine', 'mmcv', 'mmpretrain') if importlib.util.find_spec(m)])
        import torch
        from wamim_mm.ops import waverec2, wavedec2
        x = torch.randn(2, 3, 16, 16)
        print(torch.allclose(waverec2(wavedec2(x, 'db2', level=2), 'db2'), x, atol=1e-5))
        import wamim_mm
        try:
            wamim_mm.WaMIM
        except ImportError as error:
            print('mmpretrain: not installed' in str(error))
        """,
        python,
    )
    assert out == '[]\nTrue\nTrue'
