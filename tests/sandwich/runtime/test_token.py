"""The token of a cluster: made whole, for its owner alone, or what is in the way named in one line."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from experiments.cli.main import cli


def token(path: Path, monkeypatch: pytest.MonkeyPatch) -> Result:
    """What the command says where Ray looks for the token at a path."""
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(path))
    return CliRunner().invoke(cli, ["cluster", "token"])


def test_a_token_is_made_once_and_how_to_pass_it_on_can_be_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a folder" / "token"
    assert f"< '{path}'" in token(path, monkeypatch).stdout
    made = path.read_bytes()
    assert len(made) == 64 and path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    assert "was already" in token(path, monkeypatch).stdout
    assert path.read_bytes() == made and path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_an_empty_file_is_no_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "token"
    path.touch()
    assert "is now" in token(path, monkeypatch).stdout
    assert len(path.read_bytes()) == 64


def test_a_folder_is_refused_and_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = tmp_path.stat().st_mode
    done = token(tmp_path, monkeypatch)
    assert str(done.exception) == f"{tmp_path} is a folder: name another file by RAY_AUTH_TOKEN_PATH"
    assert tmp_path.stat().st_mode == before


def test_a_variable_that_ray_prefers_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0" * 64)
    assert "RAY_AUTH_TOKEN is set here" in token(tmp_path / "token", monkeypatch).stderr
