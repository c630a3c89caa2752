"""Passwords in URIs: kept in this process's memory, masked in everything that is written.

A config has only the masked URI, so no file, journal, log or upload can contain a password. The
process that was given it can still connect; a later one gets it from the environment, as MLflow's
own client does.
"""

from __future__ import annotations

import os
import re

from raymoco.errors import InputError

MASK = "***"
USER, PASSWORD, TOKEN = (
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
)
# scheme://user:PASSWORD@host, and ?password=... or &token=... after any address
_SECRET = re.compile(
    r"(?<=://)(?P<user>[^/?#@:\s]*):(?P<password>[^/?#\s]*)@"
    r"|(?P<key>[?&](?:password|passwd|pwd|token|secret|api_?key)=)(?P<value>[^&#\s]+)",
    re.IGNORECASE,
)
_known: dict[str, str] = {}  # masked URI: URI
_secrets: set[str] = set()


def mask(uri: str) -> str:
    """Return a URI with its passwords replaced by ***, and remember them in this process."""
    masked = _SECRET.sub(_masked, uri)
    if masked != uri:
        _known[masked] = uri
    return masked


def hide(text: str) -> str:
    """Replace in any text the passwords of URIs in it, and those that `mask` has seen."""
    text = _SECRET.sub(_masked, text)
    for secret in sorted(_secrets, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text


def reveal(uri: str) -> str:
    """Return a masked URI as it was given, for connecting.

    In a process that was not given the password, the URI without user and password: MLflow's client
    then takes both from the environment.

    Raises:
        InputError: this process does not know the password, and the environment has none.
    """
    if MASK not in uri:
        return uri
    if uri in _known:
        return _known[uri]
    bare = without_user(uri)
    if MASK in bare or not (os.environ.get(PASSWORD) or os.environ.get(TOKEN)):
        raise InputError(
            f"{uri}: the password is stored nowhere. Give the whole URI again, or set {USER} and "
            f"{PASSWORD}."
        )
    return bare


def without_user(uri: str) -> str:
    """Return a URI without user and password, for a browser."""
    return re.sub(r"(?<=://)[^/?#@]*@", "", uri)


def _masked(found: re.Match[str]) -> str:
    secret = found["password"] if found["value"] is None else found["value"]
    if secret and secret != MASK:
        _secrets.add(secret)
    if found["value"] is not None:
        return f"{found['key']}{MASK}"
    return f"{found['user']}:{MASK}@"
