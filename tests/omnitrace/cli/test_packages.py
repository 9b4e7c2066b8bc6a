"""The four folders are ours, or the command says so in one sentence and exits 2."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from omnitrace.cli.packages import check_packages
from omnitrace.errors import CommandError

ROOT = Path(__file__).parents[3]


def run_cli(*args: str, path: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(path), str(ROOT)])}
    command = [sys.executable, "-m", "omnitrace", *args]
    return subprocess.run(
        command, env=environment, cwd=cwd, capture_output=True, text=True, check=False
    )


def test_our_own_checkout_passes() -> None:
    check_packages()


def test_a_foreign_folder_of_the_same_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "replay").mkdir()
    (tmp_path / "replay" / "__init__.py").touch()
    done = run_cli("--version", path=tmp_path, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("omnitrace: the packages replay")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


@pytest.mark.parametrize("listing", ["RECORD", "top_level.txt"])
def test_another_distribution_that_ships_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listing: str
) -> None:
    info = tmp_path / "other-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    text = {"RECORD": "other/a.py,,\ntui/__init__.py,,\n", "top_level.txt": "other\ntui\n"}
    (info / listing).write_text(text[listing])
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(CommandError, match="'other' also installs tui: uninstall it"):
        check_packages()
