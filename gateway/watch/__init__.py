"""`switchhook watch`: a running gateway's calls, legs, hearing and trunks, live on a terminal; called by cli.py.

client.py asks the gateway's HTTP API, wire.py reads its answers, board.py folds them, follow.py keeps the board true,
picture.py draws it, watch.py is the loop, key.py makes a key for as long as it runs.
"""

from gateway.watch.client import WatchError
from gateway.watch.options import UsageError, WatchOptions, read_options
from gateway.watch.watch import run_watch

__all__ = ["UsageError", "WatchError", "WatchOptions", "read_options", "run_watch"]
