"""The site is built without a warning, and has every public name."""

import os
import re
import subprocess
import sys
from importlib import import_module

import wamim_mm
from wamim_mm import ops


def test_every_public_name_is_there(root):
    names = re.findall(r'^::: [\w.]+\.(\w+)$', (root / 'docs/reference.md').read_text(), re.M)
    assert len(names) == len(set(names))
    assert {*wamim_mm.__all__, *ops.__all__} - {'__version__'} <= set(names)


def test_every_public_class_of_a_room_is_one_of_the_package():
    for room in set(wamim_mm._ROOMS.values()):
        public = {name for name, its in wamim_mm._ROOMS.items() if its == room}
        assert public == set(import_module(f'wamim_mm.{room}').__all__)


def test_every_page_is_in_the_menu(root):
    menu = set(re.findall(r': ([\w-]+\.md)$', (root / 'mkdocs.yml').read_text(), re.M))
    assert menu == {path.name for path in root.glob('docs/*.md')}


def test_it_is_built(root, tmp_path):
    done = subprocess.run(
        [sys.executable, '-m', 'mkdocs', 'build', '--strict', '--site-dir', tmp_path],
        cwd=root,
        env=os.environ | dict(NO_MKDOCS_2_WARNING='1'),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / 'reference/index.html').read_text().count('doc-heading') > 40
    # Nothing is fetched from other servers.
    for path in tmp_path.rglob('*.html'):
        text = path.read_text()
        assert not re.findall(r'<(?:script|link|img)[^>]*(?:src|href)="https?://', text), path
    assert not re.search(r'href="[^"]*\.\./configs', (tmp_path / 'study/index.html').read_text())
