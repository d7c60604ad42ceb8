"""A running gateway as an operator sees and steers it: `switchhook watch`, `calls`, `consult` …; for cli_agent.py.

client.py asks the API and wire.py reads its answers; connect.py gives it a key, made by key.py where none was given.
Watching: board.py folds what is told, follow.py keeps the board true, picture.py draws it, watch.py is the loop.
Steering: pick.py finds the call, orders.py writes the request, command.py sends it, told.py says what is now.
"""

from gateway.watch.client import WatchError
from gateway.watch.command import run_calls, run_order, to_its_end
from gateway.watch.options import UsageError, WatchOptions, read_access, read_options
from gateway.watch.orders import (
    Order,
    Target,
    change_mode,
    consult,
    hold,
    monitor,
    plain,
    stop_monitor,
    transfer,
)
from gateway.watch.watch import run_watch
from gateway.watch.words import Numbers

__all__ = [
    "Numbers", "Order", "Target", "UsageError", "WatchError", "WatchOptions", "change_mode", "consult", "hold",
    "monitor", "plain", "read_access", "read_options", "run_calls", "run_order", "run_watch", "stop_monitor",
    "to_its_end", "transfer",
]  # fmt: skip
