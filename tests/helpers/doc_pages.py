"""Pages of the documentation, done word by word: their files are written, their commands typed; runs are tiny."""

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import torch

from engines.network import NetworkConfig, PolicyValueNet, to_bytes
from tests.helpers.project import ROOT


def page(name: str) -> str:
    """Text of a page."""
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def blocks(text: str, section: str) -> list[tuple[str, str]]:
    """The fenced blocks of a section of a page: language and content."""
    _, text = text.split(f"\n## {section}\n")
    return re.findall(r"^```(\w+)\n(.*?)^```$", text.partition("\n## ")[0], re.MULTILINE | re.DOTALL)


def follow(text: str, section: str, folder: Path, environment: dict[str, str]) -> tuple[Path, str]:
    """Do what a section says, from `folder` on: write its files, type its commands; where one ends, and what it said.

    A block whose first line is `# NAME` is the file of that name.
    """
    said = ""
    for language, content in blocks(text, section):
        if language != "sh":
            named = re.match(r"# (\S+)\n", content)
            assert named, f"this block names no file: {content}"
            (folder / named[1]).write_text(content)
            continue
        command = ["sh", "-e", "-c", f"{content}\npwd -P >.pwd"]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=800)
        assert done.returncode == 0, f"{content}{done.stdout}{done.stderr}"
        said += done.stdout
        folder = Path(next(folder.glob("**/.pwd")).read_text().strip())
        (folder / ".pwd").unlink()
    return folder, said


def commands(folder: Path, python: Path, tiny: Sequence[str]) -> dict[str, str]:
    """An environment in which `python`, `pip` and `sandwich` are those of an interpreter, and runs are tiny."""
    folder.mkdir()
    make_tiny = f"sys.argv += {list(tiny)} if sys.argv[1] == 'run' else []"
    (folder / "cli.py").write_text(f"import sys\nfrom experiments.cli.main import main\n{make_tiny}\nmain()\n")
    for name, arguments in (("python", ""), ("pip", "-m pip"), ("sandwich", f'"{folder / "cli.py"}"')):
        (folder / name).write_text(f'#!/bin/sh\nexec "{python}" {arguments} "$@"\n')
        (folder / name).chmod(0o755)
    own = {
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "PIP_NO_INDEX": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    return {**os.environ, **own}


def tiny_overrides(folder: Path) -> tuple[str, ...]:
    """Overrides that make any run a matter of seconds; the players are written into a folder."""
    for seed, name in enumerate(("expert", "weak")):
        torch.manual_seed(seed)
        network = PolicyValueNet(NetworkConfig(blocks=1, channels=16, head=16)).eval()
        (folder / f"{name}.safetensors").write_bytes(to_bytes(network))
    expert, weak = folder / "expert.safetensors", folder / "weak.safetensors"
    return (
        "steps=2", "workers=2", 'tracking.wandb="off"', "inference.backend=torch",
        f"expert={expert}", f"student={weak}", f"assistant.base={expert}",
        "play.games=8", "play.block=4", "play.ply_cap=30", "play.pgn_games=2",
        "finetune.max_examples=100", "finetune.fit.batch=64",
        "evaluate.pairs=2", "evaluate.ply_cap=12", "evaluate.positions=2", "evaluate.nodes=null",
        "evaluate.ledger_positions=30", "evaluate.ledger_nodes=200",
        "evaluate.sampled=false", "evaluate.bootstrap=100",
    )  # fmt: skip


def register(folder: Path, name: str, version: str, group: str, entries: dict[str, str]) -> None:
    """Put into a folder of packages what says that a package registers these plugins."""
    about = folder / f"{name}-{version}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = [f"{key} = {value}" for key, value in entries.items()]
    (about / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines]) + "\n")
