"""How a command ends that a signal stops."""

import signal
from pathlib import Path

import pytest

from experiments.cli import stopping
from experiments.cli.stopping import Stopped, Told, resumable


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("became", [Told, KeyboardInterrupt])
def test_the_code_is_that_of_the_signal_whatever_its_exception_became_on_its_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, became: type[KeyboardInterrupt]
) -> None:
    monkeypatch.setattr(stopping, "_received", [Told(number)])
    with pytest.raises(Stopped, match="goes on from") as stopped, resumable(tmp_path):
        raise Told(number) if became is Told else became
    assert stopped.value.code == 128 + number


def test_an_interruption_that_no_signal_brought_is_ctrl_c(tmp_path: Path) -> None:
    with pytest.raises(Stopped) as stopped, resumable(tmp_path):
        raise KeyboardInterrupt
    assert stopped.value.code == 130
