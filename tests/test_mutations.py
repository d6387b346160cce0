"""The mistakes that are planted on purpose have their place in the code of today."""

from pathlib import Path

import pytest

from benchmarks.mutations import MUTATIONS, Mutation


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_mistake_can_be_planted(root: Path, mutation: Mutation) -> None:
    assert (root / mutation.file).read_text(encoding="utf-8").count(mutation.old) == 1
    assert mutation.new != mutation.old
