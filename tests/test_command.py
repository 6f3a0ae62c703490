"""The command `wamim`."""

import ast
import subprocess
import sys
from importlib.util import resolve_name
from pathlib import Path

import pytest

from wamim_mm.__main__ import COMMANDS, main, usage

from .mistakes import HEAVY


def run(*arguments):
    command = [sys.executable, '-m', 'wamim_mm', *arguments]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize('word', COMMANDS)
def test_help_is_by_the_word_and_waits_for_no_library(word):
    command = [sys.executable, '-X', 'importtime', '-m', 'wamim_mm', word, '--help']
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith(f'usage: wamim {word} ')
    imported = {line.split('|')[-1].strip() for line in done.stderr.splitlines()}
    assert 'argparse' in imported and imported.isdisjoint(HEAVY)


def test_mistakes_name_the_command(tmp_path):
    done = run('test', 'nowhere.py', 'nothing.pth')
    assert done.returncode == 2
    assert done.stderr == "wamim test: config 'nowhere.py' does not exist\n"
    done = run('tset')
    assert done.returncode == 2 and "'tset' is none of pretrain, train, test" in done.stderr


def test_help_and_version(monkeypatch, capsys):
    for arguments in ([], ['--help'], ['-h']):
        monkeypatch.setattr(sys, 'argv', ['wamim', *arguments])
        main()
        assert capsys.readouterr().out == usage() + '\n'
    monkeypatch.setattr(sys, 'argv', ['wamim', '--version'])
    main()
    assert capsys.readouterr().out.startswith('wamim_mm 0.')


def test_scripts_and_words_are_the_same_commands(root):
    """Every script of tools/ is a door to one of the commands."""
    modules = {resolve_name(module, 'wamim_mm') for module, _ in COMMANDS.values()}
    for script in root.glob('tools/*.py'):
        imported = {
            node.module
            for node in ast.walk(ast.parse(script.read_text()))
            if isinstance(node, ast.ImportFrom) and node.module.startswith('wamim_mm')
        }
        assert imported <= modules, script.name


def test_it_is_installed_with_the_package():
    script = Path(sys.executable).with_name('wamim')
    done = subprocess.run([script, '--version'], capture_output=True, text=True)
    assert done.stdout.startswith('wamim_mm ')
