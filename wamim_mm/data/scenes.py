"""The command ``python -m wamim_mm.data.scenes``; the scenes are drawn in `wamim_mm.demo`."""

from ..demo.scenes import main, make_scenes

__all__ = ['main', 'make_scenes']

if __name__ == '__main__':
    main()
