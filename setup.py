"""The part of the build that pyproject.toml cannot say; the rest is declared there."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

AT_START = Path(__file__).parent / 'wamim_mm' / 'interop' / 'at_start'


class BuildWithStart(build_py):
    """Puts the files that Python runs at its start where it looks for them."""

    def run(self) -> None:
        """Build the package, then add the two files beside it."""
        super().run()
        if not self.editable_mode:  # tools/setup_env.py does it there
            for file in AT_START.iterdir():
                if file.suffix in ('.py', '.pth'):
                    self.copy_file(str(file), str(Path(self.build_lib, file.name)))


setup(cmdclass=dict(build_py=BuildWithStart))
