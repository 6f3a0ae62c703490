"""The demo: built-in data, small runs, and a report.

python tools/demo.py --help
"""

from wamim_mm.demo.runner import main

if __name__ == '__main__':
    main()
