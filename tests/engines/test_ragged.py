"""Rows of different lengths in one array: the same as a list of rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.ragged import MoveLists, Policies

ROWS = st.lists(st.lists(st.integers(0, 1857), min_size=1, max_size=6, unique=True), min_size=1, max_size=8)


@given(ROWS, st.data())
def test_rows_are_taken_replaced_and_joined_as_in_a_list(rows: list[list[int]], data: st.DataObject) -> None:
    ragged = MoveLists.of(rows)
    some = data.draw(st.lists(st.integers(0, len(rows) - 1), unique=True, max_size=len(rows)))
    assert [*ragged] == rows and ragged == rows and len(ragged) == len(rows)
    assert ragged.take(some) == [rows[row] for row in some]
    assert MoveLists.joined([ragged, ragged.take(some)]) == rows + [rows[row] for row in some]
    other = {row: [number + 1 for number in rows[row]] for row in some}
    assert ragged.replaced(some, MoveLists.of([*other.values()])) == [other.get(n, row) for n, row in enumerate(rows)]
    assert ragged == rows  # itself as it was
    assert ragged.owners.tolist() == [number for number, row in enumerate(rows) for _ in row]


@given(ROWS, st.data())
def test_a_number_is_found_in_its_row_or_not_at_all(rows: list[list[int]], data: st.DataObject) -> None:
    chosen = [data.draw(st.sampled_from([*row, -1, 1858])) for row in rows]
    places = [row.index(number) if number in row else -1 for row, number in zip(rows, chosen, strict=True)]
    assert MoveLists.of(rows).find(np.array(chosen)).tolist() == places


def test_the_first_of_the_most_probable_moves_is_the_best() -> None:
    policies = Policies.of([np.array(row, np.float32) for row in ([0.2, 0.4, 0.4], [1], [0.6, 0.4])])
    assert policies.best().tolist() == [1, 0, 0]
    assert policies.at(policies.best()).tolist() == pytest.approx([0.4, 1, 0.6])
    assert policies.padded(-1)[1].tolist() == [1, -1, -1]


def test_nobody_writes_to_them() -> None:
    policies = Policies.of([np.array([0.5, 0.5], np.float32)])
    for array in (policies.flat, policies[0]):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


def test_what_is_ragged_comes_back_as_it_is() -> None:
    legal = MoveLists.of([[1, 2], [3]])
    assert MoveLists.of(legal) is legal
    assert legal.take(range(2)) is legal
    assert legal.take([0]) == [[1, 2]]
    assert len(MoveLists.of([])) == 0
