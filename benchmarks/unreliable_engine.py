"""A UCI engine that passes everything on to Stockfish and, where FAULT names one, fails at some of the questions.

usage: FAULT=die|stop|rubbish|close|lose STOCKFISH=/path/of/stockfish unreliable_engine.py

FAULT_MARK: a file that is made at the first fault; once it is there, the engine is a good one.
FAULT_AT: the question that meets the fault, counted from 0 in each process.
"""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path


class Relay:
    """What stands between the program and the engine."""

    def __init__(self) -> None:
        self._engine = subprocess.Popen(
            [os.environ["STOCKFISH"]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            bufsize=1,
        )
        self._left = int(os.environ.get("FAULT_AT", "0"))
        self._lose = False

    def run(self) -> None:
        """Pass lines on in both directions until one side ends."""
        threading.Thread(target=self._answers, daemon=True).start()
        assert self._engine.stdin
        for line in sys.stdin:
            if line.startswith("go") and self._fails():
                continue
            self._engine.stdin.write(line)
            self._engine.stdin.flush()
        self._engine.kill()

    def _answers(self) -> None:
        assert self._engine.stdout
        for line in self._engine.stdout:
            if self._lose and line.startswith("info depth"):
                self._lose = False
                continue
            print(line, end="", flush=True)
        os._exit(0)

    def _fails(self) -> bool:
        """Whether this question is swallowed by a fault."""
        mark = Path(os.environ["FAULT_MARK"])
        if mark.exists():
            return False
        self._left -= 1
        if self._left >= 0:
            return False
        mark.touch()
        match os.environ.get("FAULT"):
            case "die":
                self._engine.kill()
                os._exit(1)
            case "stop":
                time.sleep(3600)
            case "rubbish":
                print("info depth one score cp none pv\nbestmove\n\x00\xff???", flush=True)
                return True
            case "close":
                os.close(1)
                time.sleep(3600)
            case "lose":
                self._lose = True
        return False


if __name__ == "__main__":
    Relay().run()
