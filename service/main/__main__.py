"""`python -m service.main` is `relist-serve`."""

from __future__ import annotations

import sys

from service.main.cli import main

if __name__ == "__main__":
    sys.exit(main())
