"""Inputs that are nearly right: whole ones, cut, spliced, with bytes changed and telling words put in."""

import os
from collections.abc import Sequence

from hypothesis import settings
from hypothesis import strategies as st

LONG = settings(max_examples=int(os.environ.get("FUZZ_EXAMPLES", "150")), deadline=None)
"""How long to look: FUZZ_EXAMPLES is the number of inputs for each kind."""

ANYWHERE = (b"", b"\0", b"\xff", b"\xef\xbb\xbf", b"\n", b"\r", b" ", b"\t", b"-1", b"0", b"1e999", b"nan", b"9" * 40)


@st.composite
def mutated(draw: st.DrawFn, whole: Sequence[bytes], words: Sequence[bytes] = ()) -> bytes:
    """One of the whole inputs after up to six changes. `words` are those that mean something to a reader of them."""
    content = draw(st.sampled_from(whole))
    for _ in range(draw(st.integers(0, 6))):
        start = draw(st.integers(0, len(content)))
        end = draw(st.integers(start, min(len(content), start + 40)))
        new = draw(
            st.one_of(
                st.sampled_from([*ANYWHERE, *words]),
                st.binary(max_size=8),
                st.just(content[start:end] * 2),
                st.sampled_from(whole).map(lambda other: other[:60]),
            )
        )
        content = content[:start] + new + (b"" if draw(st.integers(0, 15)) == 0 else content[end:])
    return content
