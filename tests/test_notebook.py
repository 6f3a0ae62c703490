"""docs/quickstart.ipynb runs from its first cell to its last, with fewer images."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import wamim_mm


def script(cells):
    """The cells as a program; lines with ! are commands of the shell."""
    lines = ['import subprocess']
    for cell in cells:
        for line in ''.join(cell['source']).splitlines():
            call = f'subprocess.run({line[1:]!r}, shell=True, check=True)'
            lines.append(call if line.startswith('!') else line)
    return '\n'.join(lines)


@pytest.mark.slow
def test_it_runs(root, tmp_path):
    notebook = json.loads((root / 'docs/quickstart.ipynb').read_text())
    cells = [cell for cell in notebook['cells'] if cell['cell_type'] == 'code']
    assert len(cells) >= 8 and not any(cell['outputs'] for cell in cells)
    code = script(cells)
    assert '--images 600' in code
    code = code.replace('--images 600', '--images 48')
    environment = os.environ | dict(PATH=f'{Path(sys.executable).parent}:{os.environ["PATH"]}')
    done = subprocess.run(
        [sys.executable, '-c', code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for name in ('reconstruction.png', 'neighbours.png', 'curves.png', 'timm.pth', 'vectors.npz'):
        assert (tmp_path / 'run' / name).stat().st_size


def test_the_citation_is_whole(root):
    found = yaml.safe_load((root / 'CITATION.cff').read_text())
    assert found['cff-version'] == '1.2.0' and found['version'] == wamim_mm.__version__
    assert [len(work['authors']) for work in found['references']] == [4, 6]
