"""`install`: when it puts the stand-in for `mmcv._ext` in place, and what module that is."""

import doctest
import importlib.util
import inspect
import pydoc
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

pytest.importorskip('mmcv')

from wamim_mm.interop import mmcv_ext

mmcv_ext.install()

import mmcv  # noqa: E402
import mmcv._ext  # noqa: E402
import mmcv.ops  # noqa: E402

if Path(mmcv._ext.__file__).name != 'stand_in.py':
    pytest.skip('this mmcv has compiled operators', allow_module_level=True)


def run(code: str, *path: Path) -> str:
    """What `code` prints in a fresh interpreter that has `install` and, first, `path`."""
    code = (
        f'import sys\nsys.path[:0] = {[str(p) for p in path]}\n'
        'from wamim_mm.interop.mmcv_ext import install\n' + textwrap.dedent(code)
    )
    result = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def fake_mmcv(folder: Path, init: str, ext: str | None) -> Path:
    package = folder / 'mmcv'
    package.mkdir()
    (package / '__init__.py').write_text(init)
    if ext is not None:
        (package / '_ext.py').write_text(ext)
    return folder


class TestInstall:
    def test_second_call_changes_nothing(self):
        before = list(sys.meta_path)
        mmcv_ext.install()
        assert sys.meta_path == before

    def test_compiled_operators_win(self, tmp_path):
        path = fake_mmcv(tmp_path, '', "def nms(): return 'compiled'")
        out = run(
            """
            install()
            from mmcv._ext import nms
            print(nms(), 'torchvision' in sys.modules)
            """,
            path,
        )
        assert out == 'compiled False'

    def test_no_compiled_operators(self, tmp_path):
        path = fake_mmcv(tmp_path, '', None)
        out = run(
            """
            import warnings
            install()
            print('mmcv' in sys.modules, 'torchvision' in sys.modules)
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter('always')
                from mmcv import _ext
            print([str(w.message) for w in caught if 'mmcv' in str(w.message)])
            import mmcv
            print(mmcv._ext is sys.modules['mmcv._ext'], mmcv._ext.nms.__name__)
            """,
            path,
        )
        assert out == 'False False\n[]\nTrue nms'

    def test_compiled_operators_that_do_not_load(self, tmp_path):
        path = fake_mmcv(tmp_path, '', "raise ImportError('undefined symbol: _ZN2at4')")
        out = run(
            """
            import importlib.util, warnings
            install()
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter('always')
                from mmcv._ext import nms
            print([str(w.message) for w in caught if 'mmcv' in str(w.message)])
            print(importlib.util.find_spec('mmcv._ext').origin)
            """,
            path,
        )
        assert 'undefined symbol: _ZN2at4' in out
        assert 'reinstall mmcv' in out
        assert out.endswith('stand_in.py')

    def test_mmcv_not_installed(self):
        out = run(
            """
            sys.modules['mmcv'] = None  # makes importing it fail
            install()
            try:
                import mmcv._ext
            except ImportError:
                print('mmcv._ext' in sys.modules, 'torchvision' in sys.modules)
            """
        )
        assert out == 'False False'

    def test_after_a_failed_import_of_the_operators(self):
        """mmcv.cnn tries mmcv.ops and swallows the error; mmdet needs them in full."""
        pytest.importorskip('mmdet')
        out = run(
            """
            import warnings
            warnings.simplefilter('ignore')
            own = [f for f in sys.meta_path if type(f).__module__.startswith('wamim_mm')]
            sys.meta_path[:] = [f for f in sys.meta_path if f not in own]
            import mmcv.cnn
            try:
                import mmcv.ops
            except ModuleNotFoundError as error:
                print(error)
            sys.meta_path[:0] = own
            import mmdet.models
            from mmcv.ops import DeformConv2dPack, MultiScaleDeformableAttention, nms
            import mmcv
            print(mmcv._ext is sys.modules['mmcv._ext'], 'MaskRCNN' in dir(mmdet.models))
            """
        )
        assert out == "No module named 'mmcv._ext'\nTrue True"


class TestModule:
    def test_has_a_spec(self):
        spec = importlib.util.find_spec('mmcv._ext')
        assert spec is mmcv._ext.__spec__
        assert (spec.name, mmcv._ext.__name__) == ('mmcv._ext', 'mmcv._ext')
        assert Path(spec.origin).name == 'stand_in.py'

    def test_mmengine_finds_it(self):
        from mmengine.model import revert_sync_batchnorm

        # With a module that has no spec this raises ValueError.
        (layer,) = revert_sync_batchnorm(torch.nn.Sequential(torch.nn.SyncBatchNorm(3)))
        assert not isinstance(layer, torch.nn.SyncBatchNorm)

    def test_collect_env(self):
        from mmcv.utils import collect_env

        assert 'torchvision' in collect_env()['MMCV Compiler']

    def test_inspection(self):
        for name in ('__path__', '__wrapped__', '__all_ops__', '_repr_html_', '_private'):
            assert not hasattr(mmcv._ext, name)
        members = dict(inspect.getmembers(mmcv._ext))
        assert set(mmcv._ext.__all__) <= set(members)
        assert 'carafe_forward' not in members
        assert 'iou_threshold' in inspect.getsource(mmcv._ext.nms)
        assert 'Soft-NMS' in pydoc.plain(pydoc.render_doc(mmcv._ext))
        assert doctest.DocTestFinder().find(mmcv._ext)

    def test_missing_operator_says_what_to_do(self):
        logits, target = torch.zeros(2, 3), torch.zeros(2, dtype=torch.long)
        with pytest.raises(NotImplementedError) as error:
            mmcv.ops.softmax_focal_loss(logits, target, 2.0, 0.25, None, 'mean')
        for part in (
            'softmax_focal_loss_forward',
            'pip install mmcv',
            '2.14',
            'CUDA',
            'onedl-mmcv',
        ):
            assert part in str(error.value)

    def test_missing_operators_have_their_names(self):
        assert mmcv._ext.carafe_forward.__name__ == 'carafe_forward'
        with pytest.raises(RuntimeError, match="'filtered_lrelu_act_'"):
            mmcv._ext.filtered_lrelu_act_(1, up=2)
