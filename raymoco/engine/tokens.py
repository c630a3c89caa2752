"""Find out whether a cluster requires a token, and whether the local token is the right one.

A Ray driver sends a token only if RAY_AUTH_MODE says so. Without that setting it tries for twenty
seconds to reach a cluster that requires a token, and then reports that there is none. With it, it
waits ten seconds at a cluster that requires no token.
"""

from __future__ import annotations

import os

from raymoco.errors import InputError

MODE = "RAY_AUTH_MODE"
# this call reads and changes nothing, and is authenticated like any other
QUESTION = "/ray.rpc.NodeInfoGcsService/GetClusterId"
ANSWER_S = 5.0


def bring_token(address: str) -> None:
    """Turn on Ray's token mode in this process if the cluster at HOST:PORT requires a token.

    It does nothing if there is no answer, or one that it does not understand: Ray reports why.

    Raises:
        InputError: the cluster requires a token, and the local one is missing or differs.
    """
    if "://" in address or ":" not in address or not _refuses(address, None):
        return
    # the class by which `ray start` and a local `ray.init` turn on the mode
    from ray._private.authentication.authentication_token_setup import (
        maybe_enable_token_auth_if_token_available,
    )
    from ray._raylet import AuthenticationTokenLoader  # type: ignore[attr-defined]  # in C++

    asks = f"the Ray cluster at {address} asks for a token"
    if os.environ.get(MODE, "token").lower() != "token":
        raise InputError(f"{asks}, but {MODE} is {os.environ[MODE]}: unset it.")
    token = AuthenticationTokenLoader.instance().get_raw_token(ignore_auth_mode=True)
    where = "in ~/.ray/auth_token or RAY_AUTH_TOKEN; `ray get-auth-token` prints it on its head."
    if not token:
        raise InputError(f"{asks}, and there is none here: put the cluster's {where}")
    if _refuses(address, token):
        raise InputError(f"{asks}, and the one here is another: put the cluster's {where}")
    maybe_enable_token_auth_if_token_available(warn_if_disabled=False)


def _refuses(address: str, token: str | None) -> bool:
    """Whether the cluster rejects this token."""
    import grpc

    says = [("authorization", f"Bearer {token}")] if token else []
    # as Ray connects: without a proxy between the nodes of a cluster
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        try:
            channel.unary_unary(QUESTION)(b"", timeout=ANSWER_S, metadata=says)
        except grpc.RpcError as error:
            return bool(error.code() == grpc.StatusCode.UNAUTHENTICATED)
    return False
