"""gateway/sip/native/build.sh as somebody meets it whose machine lacks something: one line that says what to do."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

NATIVE = Path(__file__).parents[2] / "gateway" / "sip" / "native"
CACHE = Path(os.environ.get("SWITCHHOOK_CACHE") or Path.home() / ".cache" / "switchhook")
TOOLS = """apt-get ar as awk bash cat chmod cp cut dirname find flock g++ gcc grep head ld make mkdir mktemp mv nproc
paste rm sed sha256sum sort swig tail tar tr xargs xz"""
TREE = """aconfigure configure config.guess config.sub pjlib/include/pj/config.h pjsip-apps/src/swig/pjsua2.i
pjmedia/build/Makefile version.mak"""


def build(tmp_path: Path, *args: str, without: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    """build.sh with an empty cache and no network, on a PATH that lacks what `without` names."""
    tools = tmp_path / "bin"
    tools.mkdir(exist_ok=True)
    for tool in set(TOOLS.split()) - set(without.split()):
        found = shutil.which(tool)
        if found and not (tools / tool).exists():
            (tools / tool).symlink_to(found)
    environment = {"PATH": str(tools), "HOME": str(tmp_path), "SWITCHHOOK_CACHE": str(tmp_path / "cache"), **env}
    command = [NATIVE / "build.sh", "--python", sys.executable, *args]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path
    )


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    """The one line that a failed run has to say; nothing that looks like a wheel."""
    assert done.returncode != 0
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line


def test_a_missing_tool_is_named_with_its_package(tmp_path: Path) -> None:
    line = complaint(build(tmp_path, without="swig xz"))
    assert "missing: swig, xz; install with: apt-get install swig xz-utils" in line


def test_a_missing_compiler_is_said_first(tmp_path: Path) -> None:
    line = complaint(build(tmp_path, without="g++ swig"))
    assert "no C/C++ compiler (g++): apt-get install build-essential" in line


def test_a_missing_header_is_named_with_its_package(tmp_path: Path) -> None:
    # a compiler that finds no <opus/opus.h>
    tools = tmp_path / "bin"
    tools.mkdir()
    real = shutil.which("g++")
    (tools / "g++").write_text(
        f'#!/bin/bash\nsource=$(cat)\n[[ $source == *opus* ]] && exit 1\nexec {real} "$@" <<<"$source"\n'
    )
    (tools / "g++").chmod(0o755)
    line = complaint(build(tmp_path))
    assert "missing: opus/opus.h; install with: apt-get install libopus-dev" in line


def test_a_folder_that_is_no_source_tree_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    line = complaint(build(tmp_path, PJPROJECT_SRC=str(tmp_path / "empty")))
    assert "is not a pjproject tree: it has no version.mak" in line


def test_without_apt_it_says_how_to_bring_the_source(tmp_path: Path) -> None:
    line = complaint(build(tmp_path, without="apt-get"))
    assert "PJPROJECT_SRC" in line


def test_a_mirror_that_does_not_answer_is_one_line_and_leaves_no_half_made_source(tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "apt-get").write_text("#!/bin/bash\necho 'E: Failed to fetch' >&2\nexit 100\n")
    (tools / "apt-get").chmod(0o755)
    done = build(tmp_path)
    assert done.returncode != 0
    assert done.stdout == ""
    assert "PJPROJECT_SRC" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "cache" / "source" / "current").exists()
    assert list((tmp_path / "cache" / "wheels").iterdir()) == []


@pytest.mark.parametrize(
    ("args", "said"),
    [(["--python", "/no/python"], "no Python at '/no/python'"), (["--fast"], "unknown argument '--fast'")],
)
def test_wrong_arguments_are_explained(tmp_path: Path, args: list[str], said: str) -> None:
    assert said in complaint(build(tmp_path, *args))


def test_help_is_the_head_of_the_file(tmp_path: Path) -> None:
    done = build(tmp_path, "--help")
    assert done.returncode == 0
    assert "usage: gateway/sip/native/build.sh [--python PY] [--out DIR]" in done.stdout


def tree(tmp_path: Path, minor: int) -> None:
    """What passes for a source tree until it is configured."""
    for name in TREE.split():
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/bash\necho 'error: broken on purpose'; exit 1\n")
    path.write_text(
        f"export PJ_VERSION_MAJOR  := 2\nexport PJ_VERSION_MINOR  := {minor}\nexport PJ_VERSION_REV    :=\n"
    )


def test_a_broken_tree_leaves_a_log_and_no_wheel(tmp_path: Path) -> None:
    tree(tmp_path, minor=17)
    done = build(tmp_path, PJPROJECT_SRC=str(tmp_path / "tree"))
    assert done.returncode != 0
    assert done.stdout == ""
    last = done.stderr.splitlines()[-1]
    assert "the build failed at: configure; the whole output is in " in last
    assert "broken on purpose" in Path(last.rpartition(" ")[2]).read_text()
    assert list((tmp_path / "cache" / "wheels").iterdir()) == []
    assert not [p for p in (tmp_path / "cache").iterdir() if p.name.startswith("build.")]


def test_an_old_tree_is_refused(tmp_path: Path) -> None:
    tree(tmp_path, minor=9)
    done = build(tmp_path, PJPROJECT_SRC=str(tmp_path / "tree"))
    assert done.returncode != 0
    assert "this is pjproject 2.9, and 2.17 or newer is needed" in done.stderr.splitlines()[-1]


def test_a_second_run_needs_neither_network_nor_compiler(tmp_path: Path) -> None:
    done = build(
        tmp_path, "--out", str(tmp_path / "out"), without="g++ gcc swig apt-get make", SWITCHHOOK_CACHE=str(CACHE)
    )
    assert "no C/C++ compiler" not in done.stderr, "this version of native/ is not built yet: run make setup"
    assert done.returncode == 0, done.stderr
    wheel = Path(done.stdout.strip())
    assert wheel.parent == tmp_path / "out"
    again = build(tmp_path, without="g++ gcc swig apt-get make", SWITCHHOOK_CACHE=str(CACHE))
    assert Path(again.stdout.strip()).read_bytes() == wheel.read_bytes()
