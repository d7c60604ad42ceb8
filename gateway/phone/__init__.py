"""The terminal phone: dials a SIP URI, speaks, presses digits, records, shows the ladder; called by cli.py and tests.

options.py reads what was asked for, call.py does it, script.py takes orders on stdin, ear.py keeps what is heard.
"""

from gateway.phone.call import run_call
from gateway.phone.options import CallOptions

__all__ = ["CallOptions", "run_call"]
