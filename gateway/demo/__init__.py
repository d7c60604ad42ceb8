"""`switchhook demo`: callers, a bot and people, all of it on this machine, shown and checked; called by cli.py.

run.py plays a scene: transfer.py or consult.py, and what those share is in cast.py (starts the gateway and the
telephones), stage.py (what was seen), desk.py (the API), hearing.py (who hears whom) and record.py (the CDR).
"""

from collections.abc import Callable
from typing import Final

from gateway.demo.consult import Consult
from gateway.demo.run import run_demo
from gateway.demo.scene import Scene
from gateway.demo.transfer import Agent, Transfer

SCENES: Final[dict[str, Callable[[], Scene]]] = {"transfer": Transfer, "consult": Consult}
"""By the name that the command line gives; the first is what is shown when it gives none."""

__all__ = ["SCENES", "Agent", "Consult", "Transfer", "run_demo"]
