"""guardMediaStart(): a peer that talks before its 200 is here is heard all the same."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pjsua2", reason="needs the wheel of gateway/sip/native/build.sh")

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


@pytest.fixture(scope="module")
def give_way(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """give_way.c, built with the compiler that built the wheel."""
    built = tmp_path_factory.mktemp("give_way") / "give_way.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", built, HERE / "give_way.c", "-ldl"], check=True)
    return built


def deaf(how: str, give_way: Path) -> int:
    """Calls of 10 in which nothing was heard; a process each time, since a process can have one Endpoint only."""
    env = os.environ | {"LD_PRELOAD": str(give_way)}
    command = [sys.executable, "-m", "tests.native.early_rtp", how]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, env=env, cwd=ROOT)
    assert done.returncode == 0, f"{how} ended with {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    told: dict[str, int] = json.loads(done.stdout.rpartition("\nRESULT ")[2])
    return told["deaf"]


def test_who_talks_before_the_answer_is_heard(give_way: Path) -> None:
    assert deaf("gateway", give_way) == 0


def test_the_measurement_can_fail_without_the_guard_legs_are_deaf(give_way: Path) -> None:
    assert deaf("upstream", give_way) > 0
