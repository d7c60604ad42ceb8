"""A run's figures as a table for people and as JSON for comparing runs; filled by the figures, written by run.py."""

import json
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    figure: str
    measured: str
    aim: str = ""
    note: str = ""


@dataclass(slots=True)
class Report:
    """Everything that a run found. `details` holds the numbers behind the rows, by figure."""

    machine: dict[str, str]
    quick: bool
    began: datetime
    rows: list[Row] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def add(self, figure: str, measured: str, aim: str = "", note: str = "") -> None:
        """A line of the table."""
        self.rows.append(Row(figure, measured, aim, note))

    def show(self, console: Console) -> None:
        """The table, the machine above it, and what did not work below."""
        console.print()
        kind = "a quick run: too short for figures to quote" if self.quick else "one run"
        console.print(f"[bold]Switchhook, {self.began:%Y-%m-%d %H:%M}[/bold], {kind}", highlight=False)
        about = ", ".join(f"{name} {value}" for name, value in self.machine.items())
        console.print(f"{about}. Callers, bots and gateway share the cores; loopback only.", highlight=False)
        table = Table(show_lines=False, expand=False, pad_edge=False)
        table.add_column("figure")
        table.add_column("measured", justify="right", style="bold")
        table.add_column("aim", justify="right")
        table.add_column("note", overflow="fold")
        for row in self.rows:
            table.add_row(row.figure, row.measured, row.aim, row.note)
        console.print(table)
        for name, why in self.failures.items():
            console.print(f"[bold red]{name} did not work:[/bold red] {why}", highlight=False)

    def write(self, folder: Path) -> Path:
        """Into `folder`, under the time of the run."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.began:%Y%m%d-%H%M%S}.json"
        content = {
            "began": self.began.isoformat(timespec="seconds"),
            "quick": self.quick,
            "machine": self.machine,
            "rows": [asdict(row) for row in self.rows],
            "details": self.details,
            "failures": self.failures,
        }
        path.write_text(json.dumps(content, indent=1) + "\n")
        return path


def quantile(values: list[float], share: float) -> float:
    """The value that this share of them does not exceed."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
