"""One clear error for an environment that cannot work, in place of a traceback from a library."""

from __future__ import annotations

import importlib.util
import re
from importlib import metadata

# Import name -> {distribution that provides it: its lowest version}. The mm* versions are the ones
# the project is tested with. torch 2.6 is the first whose `weights_only` keeps a hostile file from
# running code (before it: CVE-2025-32434) and whose allow-list takes a name for each entry, which
# interop/checkpoints.py builds on; torchvision 0.21 is its companion. There are no upper bounds:
# the mm* packages check their own on mmcv and mmengine.
_LOWEST = {
    'torch': {'torch': '2.6'},
    'torchvision': {'torchvision': '0.21'},
    'mmengine': {'onedl-mmengine': '0.10.12', 'mmengine': '0.10.7'},
    'mmcv': {'onedl-mmcv': '2.3.6', 'mmcv': '2.1.0', 'mmcv-lite': '2.1.0'},
    'mmpretrain': {'onedl-mmpretrain': '1.3.6', 'mmpretrain': '1.2.0'},
    'mmdet': {'onedl-mmdetection': '3.5.1', 'mmdet': '3.3.0'},
    'mmseg': {'onedl-mmsegmentation': '1.4.2', 'mmsegmentation': '1.2.2'},
}
# Pre-training and classification run without these two; an outdated one is an error all the same.
_OPTIONAL = ('mmdet', 'mmseg')

# No name of ours: in the package index anybody could claim it.
_INSTALL = """Install one of the two stacks, in an environment that holds nothing of the other:
in a clone of wamim_mm's repository
  pip install ".[onedl]"      (the maintained forks)
  pip install ".[openmmlab]"  (the official packages)"""


def installed_version(distribution: str) -> str | None:
    """Of a distribution; None where it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _older(version: str, lowest: str) -> bool:
    """Compare release numbers; what follows them (`rc1`, `+cpu`) is left out."""

    def release(text: str) -> list[int]:
        return [int(number) for number in re.findall(r'^[\d.]+', text)[0].strip('.').split('.')]

    return release(version) < release(lowest)


def _library_problems() -> list[str]:
    problems = []
    for module, lowest in _LOWEST.items():
        found = {name: version for name in lowest if (version := installed_version(name))}
        needed = ' or '.join(f'{name}>={version}' for name, version in lowest.items())
        if len(found) > 1:
            both = ' and '.join(f'{name} {version}' for name, version in found.items())
            problems.append(
                f"{module}: {both} are installed together and overwrite each other's files; run "
                f'`pip uninstall -y {" ".join(found)}`, then install one of them'
            )
        # A checkout on the path has no metadata: it can be imported, but its version is unknown.
        elif not found and module not in _OPTIONAL and importlib.util.find_spec(module) is None:
            problems.append(f'{module}: not installed, {needed} is needed')
        for name, version in found.items():
            if _older(version, lowest[name]):
                problems.append(f'{module}: {name} {version} found, {needed} is needed')
    return problems


def _setuptools_problems() -> list[str]:
    """The official mmengine 0.10.7 imports `pkg_resources`; the fork does not."""
    if (
        installed_version('mmengine') is None
        or importlib.util.find_spec('pkg_resources') is not None
    ):
        return []
    found = installed_version('setuptools')
    return [
        'pkg_resources: not installed, the official mmengine imports it; run '
        f'`pip install "setuptools<81"` ({f"setuptools {found}" if found else "none"} found)'
    ]


def _torchvision_problems() -> list[str]:
    """Import torchvision, the only way to learn whether its operators load beside this torch.

    A torch of another build (`+cpu` beside the CUDA torchvision) has fitting version numbers and
    fails only here, with `operator torchvision::nms does not exist`. mmpretrain imports it anyway.
    """
    found = installed_version('torch'), installed_version('torchvision')
    if None in found:
        return []
    try:
        import torchvision  # noqa: F401
    except Exception as error:  # whatever it is, importing mmpretrain would raise it too
        return [
            f'torchvision: {found[1]} does not work with torch {found[0]} ({error}); run '
            '`pip install --force-reinstall torch torchvision`, both from the same index'
        ]
    return []


def check_versions() -> None:
    """Check torch, torchvision and the libraries of OpenMMLab before anything imports them.

    mmdet and mmseg may be missing: only detection and segmentation need them.

    Raises:
        ImportError: Names every problem found, with the version found and the versions that work:
            a library that is missing or too old, two distributions of one library installed
            together, `pkg_resources` missing beside the official mmengine, or a torchvision that
            does not fit torch.
    """
    problems = _library_problems() + _setuptools_problems() + _torchvision_problems()
    if problems:
        listed = '\n'.join(f'  - {problem}' for problem in problems)
        raise ImportError(f'wamim_mm cannot work with what is installed:\n{listed}\n{_INSTALL}')
