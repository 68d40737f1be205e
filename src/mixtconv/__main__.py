"""`python -m mixtconv`, the same as the command `mixtconv`."""

import sys

from mixtconv.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
