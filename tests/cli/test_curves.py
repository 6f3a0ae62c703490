"""What is read of a run's logs."""

import json

from wamim_mm.cli.curves import scalars


def test_lines_that_a_full_disk_has_cut(tmp_path, capsys):
    """The next line was added to one; the last is being written."""
    lines = [json.dumps(dict(loss=1.0 / step, step=step)) for step in (1, 2, 3, 4)]
    log = tmp_path / '2026/vis_data/scalars.json'
    log.parent.mkdir(parents=True)
    log.write_bytes('\n'.join([lines[0], lines[1][:9] + lines[2], lines[3], lines[3][:5]]).encode())
    assert [entry['step'] for entry in scalars(tmp_path)] == [1, 4]
    assert '2 cut lines in the logs' in capsys.readouterr().err
