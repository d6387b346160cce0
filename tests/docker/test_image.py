"""The image is built, without a Docker daemon, and a run is done in it."""

import os
import shutil
import subprocess

import pytest

from tests.helpers.project import ROOT

FOLDER = os.environ.get("SANDWICH_IMAGES", "")
"""Where Debian and the images come to lie: some ten GB, and what is there already is used again."""


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(not FOLDER, reason="SANDWICH_IMAGES names no folder to build the image in (many minutes)")
@pytest.mark.skipif(
    not all(map(shutil.which, ("buildah", "debootstrap", "crun"))), reason="needs buildah and debootstrap"
)
def test_the_image_is_built_and_a_run_done_in_it() -> None:
    script = str(ROOT / "docker" / "build_without_daemon.sh")
    done = subprocess.run(
        [script, FOLDER, *os.environ.get("SANDWICH_BUILD", "").split()], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Report: runs/quick/report.html" in done.stdout
    assert "Stockfish: /usr/games/stockfish" in done.stdout
    assert "board: chessground" in done.stdout
