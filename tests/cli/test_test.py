"""What `wamim test` refuses before it evaluates."""

import sys

import pytest

from wamim_mm.cli import test as command


@pytest.mark.parametrize(
    ('out', 'message'),
    [
        ('folder.json', 'exists; remove it or choose another name'),
        ('file/metrics.json', 'cannot be made or written'),
        ('metrics.txt', 'must end in .json, .yaml'),
    ],
)
def test_metrics_that_could_not_be_written(tmp_path, monkeypatch, capsys, out, message):
    (tmp_path / 'folder.json').mkdir()
    (tmp_path / 'file').touch()
    monkeypatch.setattr('wamim_mm.cli.test.load_config', lambda *_, **__: pytest.fail('too late'))
    words = ['wamim test', 'config.py', 'epoch_1.pth', '--out', str(tmp_path / out)]
    monkeypatch.setattr(sys, 'argv', words)
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == 2 and message in capsys.readouterr().err
