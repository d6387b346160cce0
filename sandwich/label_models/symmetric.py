"""Symmetric: a student that is not drawn far by answers that it finds unlikely."""

from typing import ClassVar

from sandwich.label_models.robust import Robust


class Symmetric(Robust):
    """A student is fitted to what is believed by the symmetric cross-entropy (Wang et al. 2019); an answer is as likely
    honest as that student finds that its move is its own and not a random one.

    Beside the cross-entropy that loss has the reverse one, in which the answer is judged by the student: an answer that
    the student finds impossible then draws it less than one that it half expects.
    """

    objective: ClassVar = "symmetric"
