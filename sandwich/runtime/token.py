"""The token of a cluster of several machines: where Ray looks for it, and its making."""

import os
import secrets
from pathlib import Path
from tempfile import NamedTemporaryFile

from sandwich.runtime.files import FileError


def token_file() -> Path:
    """The file in which Ray looks for the token: `$RAY_AUTH_TOKEN_PATH`, else `~/.ray/auth_token`."""
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    return Path(named).expanduser() if named else Path.home() / ".ray" / "auth_token"


def keep_token() -> tuple[Path, bool]:
    """The token's file, for its owner alone, and whether it was made now. Raises FileError."""
    path = token_file()
    way = "name another file by RAY_AUTH_TOKEN_PATH"
    if path.is_dir():
        raise FileError(f"{path} is a folder: {way}")
    try:
        if path.exists() and path.read_bytes().strip():
            path.chmod(0o600)
            return path, False
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="ascii") as file:  # for its owner alone
            file.write(secrets.token_hex(32))
        Path(file.name).replace(path)  # whole, or not at all
        return path, True
    except OSError as error:
        raise FileError(f"{path} can't be written ({error.strerror}): {way}") from None


def has_token() -> bool:
    """Whether Ray finds a token here: in `$RAY_AUTH_TOKEN`, else in the file."""
    if os.environ.get("RAY_AUTH_TOKEN"):
        return True
    try:
        return bool(token_file().read_bytes().strip())
    except OSError:
        return False
