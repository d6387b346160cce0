"""The one way in which data become HTML: templates that escape every value, and refuse one that is not there.

`figures/…` are those of pictures and reports, `viewer/…` those of the viewer's pages.
"""

from functools import cache

import jinja2
from markupsafe import Markup


def render(template: str, **values: object) -> Markup:
    """A template filled in; it is safe to stand in another one. Raises jinja2.UndefinedError for a value it lacks."""
    return Markup(_environment().get_template(template).render(**values))


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PrefixLoader(
            {
                "figures": jinja2.PackageLoader("experiments.figures"),
                "viewer": jinja2.PackageLoader("experiments.viewer", "web"),
            }
        ),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"count": count, "bound": bound}
    return environment


def count(number: float | None) -> str:
    """A count, its thousands set apart by thin spaces."""
    return "–" if number is None else f"{number:,.0f}".replace(",", "\u202f")


def bound(number: float | None, form: str, *, unit: bool = True) -> str:
    """A number as figures of this form have it, with a true minus; an open end of an interval is `?`."""
    if number is None:
        return "?"
    scale, digits, sign, name = {
        "elo": (1, 0, "+", ""), "ratio": (1, 2, "", ""), "percent": (100, 1, "", "\u202f%"), "points": (1, 2, "", ""),
    }[form]  # fmt: skip
    text = f"{number * scale:{sign}.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("+-")
    return text.replace("-", "−") + (name if unit else "")
