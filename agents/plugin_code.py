"""The code of plugins, by which results of before and after a change are told apart."""

import hashlib
import inspect
import sys
from functools import lru_cache

from agents.plugins import Plugin, Unread, plugins_in, source_of


def code_of(record: object) -> dict[str, str]:
    """SHA-256 of the code of every plugin in a record, wherever it comes from, by `module:Class` or `file:Class`.

    Of one whose file is not to be run nothing is known.
    """
    kinds = {type(plugin) for plugin in plugins_in(record) if not isinstance(plugin, Unread)}
    return dict(sorted((_reference(kind), _code_digest(kind)) for kind in kinds))


def _reference(kind: type[Plugin]) -> str:
    source = source_of(kind)
    return source.reference if source else f"{kind.__module__}:{kind.__qualname__}"


@lru_cache
def _code_digest(kind: type[Plugin]) -> str:
    return hashlib.sha256(code_text(kind).encode()).hexdigest()


def code_text(kind: type[Plugin]) -> str:
    """The modules of a class and of all plugins that it extends, one behind the other."""
    texts = {other.__module__: _code(other) for other in kind.__mro__ if issubclass(other, Plugin) and other != Plugin}
    return "\0".join(texts.values())


def _code(kind: type[Plugin]) -> str:
    if source := source_of(kind):
        return source.text
    try:
        return inspect.getsource(sys.modules[kind.__module__])
    except (KeyError, OSError, TypeError):  # typed in, or without its source
        return f"{kind.__module__}:{kind.__qualname__}"
