"""The terminal phone: dials or is called, speaks, presses digits, records, shows the ladder; called by cli.py, tests.

options.py reads what was asked for, call.py does it, script.py takes orders on stdin, ear.py keeps what is heard,
output.py shows what happens.
"""

from gateway.phone.call import run_call
from gateway.phone.options import Answering, CallOptions

__all__ = ["Answering", "CallOptions", "run_call"]
