"""`switchhook demo`: a caller, a bot, a person, all of it on this machine, shown and checked; called by cli.py.

run.py joins the rest: cast.py starts the gateway and the two telephones, story.py is what caller and agent do, stage.py
what was seen of it, record.py the call's CDR.
"""

from gateway.demo.run import run_demo
from gateway.demo.story import Agent

__all__ = ["Agent", "run_demo"]
