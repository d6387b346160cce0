"""Bootstrapped: a student that learns its own belief beside the answers."""

from typing import ClassVar

from sandwich.label_models.robust import Robust


class Bootstrapped(Robust):
    """A student is fitted to what is believed by the soft bootstrapped cross-entropy (Reed et al. 2015); an answer is
    as likely honest as that student finds that its move is its own and not a random one.

    The target is a mixture of the move advised and of what the student itself says of the position, so that an answer
    that contradicts what it is sure of draws it less.
    """

    objective: ClassVar = "bootstrapped"
