"""``python -m alpr``."""

import sys

from alpr.cli import main

sys.exit(main())
