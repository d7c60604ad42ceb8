"""`python -m tests.bench`: the same as tests/bench/run.py."""

import sys

from tests.bench.run import main

sys.exit(main())
