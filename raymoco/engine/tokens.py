"""Whether a cluster asks for a token, and whether the one at hand is the cluster's.

A Ray driver is told by RAY_AUTH_MODE alone. Without it, it knocks for twenty seconds at a cluster
that asks for a token and says that nobody is there. With it, it waits ten for one that asks for
none.
"""

from __future__ import annotations

import os

from raymoco.errors import InputError

MODE = "RAY_AUTH_MODE"
# it reads nothing and changes nothing, and is authenticated like any other
QUESTION = "/ray.rpc.NodeInfoGcsService/GetClusterId"
ANSWER_S = 5.0


def bring_token(address: str) -> None:
    """Turn Ray's token mode on in this process if the cluster at HOST:PORT asks for a token.

    Does nothing where nobody answers, or something that is not understood: Ray says why.

    Raises:
        InputError: it asks for a token, and there is none here or another one.
    """
    if "://" in address or ":" not in address or not _refuses(address, None):
        return
    # Ray's own: what `ray start` and a local `ray.init` turn the mode on with
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
    """Whether the cluster does not let in who brings this token."""
    import grpc

    says = [("authorization", f"Bearer {token}")] if token else []
    # as Ray connects: no proxy stands between the nodes of a cluster
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        try:
            channel.unary_unary(QUESTION)(b"", timeout=ANSWER_S, metadata=says)
        except grpc.RpcError as error:
            return bool(error.code() == grpc.StatusCode.UNAUTHENTICATED)
    return False
