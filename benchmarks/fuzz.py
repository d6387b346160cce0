"""Coverage-guided fuzzing: libFuzzer drives one of the tests of tests/fuzz, and sees which code its inputs reach.

Needs atheris (`.venv/bin/pip install atheris`), which not every platform has; nothing else in the project does.

usage: .venv/bin/python benchmarks/fuzz.py TEST [FOLDER] [-max_total_time=600] [other settings of libFuzzer]

TEST is the name of a test without fixtures, for example test_a_spec. Inputs that reached something new are kept in
FOLDER, and an input that fails is written beside the caller, as `crash-…`.
"""

import sys
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
with atheris.instrument_imports(include=["engines", "agents", "sandwich", "experiments"]):
    from tests.fuzz import test_fuzz


def main() -> None:
    names = [name for name in vars(test_fuzz) if name.startswith("test_")]
    if len(sys.argv) < 2 or sys.argv[1] not in names:
        sys.exit(f"usage: {sys.argv[0]} TEST [settings of libFuzzer]; tests: {', '.join(names)}")
    test = getattr(test_fuzz, sys.argv.pop(1))
    atheris.Setup(sys.argv, test.hypothesis.fuzz_one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
