"""`python -m safeeraser`."""

import sys

from safeeraser.cli import main

sys.exit(main())
