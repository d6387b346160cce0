"""The token of a cluster of several machines: where Ray looks for it, and its making."""

import os
import secrets
from pathlib import Path

from sandwich.runtime.files import FileError


def token_file() -> Path:
    """The file in which Ray looks for the token: `$RAY_AUTH_TOKEN_PATH`, else `~/.ray/auth_token`."""
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    return Path(named) if named else Path.home() / ".ray" / "auth_token"


def keep_token() -> tuple[Path, bool]:
    """The token's file, for its owner alone, and whether it was made now. Raises FileError."""
    path = token_file()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            path.chmod(0o600)
            return path, False
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(32))
        return path, True
    except OSError as error:
        way = "name another file by RAY_AUTH_TOKEN_PATH"
        raise FileError(f"{path} can't be written ({error.strerror}): {way}") from None
