"""The files that are made from code: `make docs` writes them, unit/test_generated.py compares."""

import re
from pathlib import Path

from gateway.calls.states import diagram
from gateway.dialplan.editor import json_schema

ROOT = Path(__file__).parent.parent


def generated() -> dict[Path, str]:
    """What each file should hold."""
    readme = (ROOT / "README.md").read_text()
    states = f"<!-- states -->\n```mermaid\n{diagram()}\n```\n<!-- /states -->"
    return {
        ROOT / "README.md": re.sub(r"<!-- states -->.*<!-- /states -->", lambda _: states, readme, flags=re.DOTALL),
        ROOT / "dialplans" / "dialplan.schema.json": json_schema(),
    }


if __name__ == "__main__":
    for path, text in generated().items():
        path.write_text(text)
