"""The files that are made from code: `make docs` writes them, unit/test_generated.py compares."""

import json
import re
from pathlib import Path

from gateway.api.v1 import ControlApi
from gateway.calls.states import diagram
from gateway.dialplan.editor import json_schema
from tests.fakes.control import MemoryControl
from tests.fakes.journal import MemoryJournal

ROOT = Path(__file__).parent.parent


def generated() -> dict[Path, str]:
    """What each file should hold."""
    readme = (ROOT / "README.md").read_text()
    states = f"<!-- states -->\n```mermaid\n{diagram()}\n```\n<!-- /states -->"
    return {
        ROOT / "README.md": re.sub(r"<!-- states -->.*<!-- /states -->", lambda _: states, readme, flags=re.DOTALL),
        ROOT / "dialplans" / "dialplan.schema.json": json_schema(),
        ROOT / "gateway" / "api" / "openapi.json": openapi(),
    }


def openapi() -> str:
    """The control API's description. Nobody is asked for it, so there need be no keys and no store."""
    api = ControlApi(MemoryControl(), None, MemoryJournal(), None, lambda: 0.0)  # type: ignore[arg-type]
    return json.dumps(api.description(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for path, text in generated().items():
        path.write_text(text)
