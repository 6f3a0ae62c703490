"""The arrows between the rooms, as CONTRIBUTING draws them, read from the code itself."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / 'wamim_mm'
#: Room -> the rooms that it may import. Modules of the package itself are rooms of one file.
ARROWS = {
    'version': set(),
    'image_files': {'interop'},
    'imagenet_c': set(),
    'class_names': set(),
    'saved_config': set(),
    'launcher_notes': set(),
    'model_wrappers': set(),
    'ops': set(),
    'interop': {'saved_config'},
    'models': {'ops', 'interop', 'class_names', 'saved_config'},
    'data': {'ops', 'interop', 'imagenet_c', 'class_names', 'image_files', 'model_wrappers'},
    # One ties the loader to the model, and one a checkpoint's positions.
    'hooks': {
        *('ops', 'interop', 'models', 'data', 'class_names', 'saved_config'),
        *('launcher_notes', 'model_wrappers', 'image_files'),
    },
    'optim': {'ops', 'interop'},
    'strategies': {'ops', 'class_names'},
    'evaluation': {
        *('ops', 'interop', 'models', 'data', 'hooks', 'imagenet_c', 'class_names'),
        *('saved_config', 'image_files', 'model_wrappers'),
    },
    'export': {'ops', 'interop', 'class_names', 'saved_config'},
    'cli': {
        *('interop', 'data', 'evaluation', 'export', 'imagenet_c', 'class_names'),
        *('image_files', 'saved_config', 'launcher_notes'),
    },
    'demo': {'cli', 'interop'},
    '__main__': {'cli', 'demo', 'version'},
    '__init__': {'interop', 'version'},
}
#: The command keeps the name that people know; it is no part of the room.
DOORS = {'data/scenes.py': {'demo'}}


def imports(path: Path) -> set[str]:
    """The modules that a file imports, by their full names, wherever in the file."""
    package = path.relative_to(ROOT).with_suffix('').parts[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = '.'.join(package[: len(package) - node.level + 1]) if node.level else ''
            module = '.'.join(filter(None, [base, node.module]))
            found |= {module, *(f'{module}.{alias.name}' for alias in node.names)}
    return found


def room(module: str) -> str | None:
    """The room of a module of ours; None for the package itself and for the modules of others."""
    parts = module.split('.')
    named = parts[0] == 'wamim_mm' and len(parts) > 1
    return parts[1] if named and parts[1] in rooms() else None


def rooms() -> set[str]:
    return {
        path.stem
        for path in PACKAGE.iterdir()
        if path.suffix == '.py' or (path / '__init__.py').is_file()
    }


def files() -> list[str]:
    return sorted(str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob('*.py'))


def test_every_room_is_drawn():
    assert rooms() == ARROWS.keys()


@pytest.mark.parametrize('file', files())
def test_arrows(file):
    own = Path(file).parts[0].removesuffix('.py')
    imported = {room(module) for module in imports(PACKAGE / file)} - {None, own}
    assert imported <= ARROWS[own] | DOORS.get(file, set())


def test_the_reader_of_imports_sees_all_forms(tmp_path, monkeypatch):
    (tmp_path / 'wamim_mm' / 'cli').mkdir(parents=True)
    path = tmp_path / 'wamim_mm' / 'cli' / 'a.py'
    path.write_text(
        'import wamim_mm.hooks.compile\nfrom .. import demo\nfrom ..ops.fourier import x\n'
        'def f():\n    from wamim_mm import models\n    from . import b\n'
    )
    monkeypatch.setattr('tests.test_house.ROOT', tmp_path)
    assert {room(module) for module in imports(path)} - {None} == {
        'hooks',
        'demo',
        'ops',
        'models',
        'cli',
    }


@pytest.mark.parametrize('path', sorted(ROOT.glob('tools/*.py')), ids=lambda path: path.name)
def test_scripts_are_doors(path):
    """Of ten lines, to one command each; but for the one that works before there is a package."""
    scripts = {other.stem for other in path.parent.glob('*.py')}
    found = imports(path)
    assert not found & scripts and not any(module.startswith('tools') for module in found)
    if path.name == 'setup_env.py':
        assert not any(room(module) for module in found)
        return
    assert len(path.read_text().splitlines()) <= 10
    assert len({module for module in found if module.endswith('.main')}) == 1
