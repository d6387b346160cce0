"""What somebody may have meant by a name that is not known."""

import difflib
from collections.abc import Iterable


def near(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like this one; None where none is."""
    by_folded = {one.casefold(): one for one in known}
    found = difflib.get_close_matches(name.casefold(), by_folded, 3, cutoff=0.65)
    # A letter mistaken for another is likelier than letters left out.
    return by_folded[min(found, key=lambda one: abs(len(one) - len(name)))] if found else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`did you mean X? `, to stand before what is known; nothing where no known name is like this one."""
    found = near(name, known)
    return f"did you mean {found}? " if found else ""
