"""Where a request carries the key or token of who makes it."""


def token_in(authorization: str) -> str:
    """Return the token of an ``Authorization`` header, without what may stand around it; empty where there is none.

    One token is one caller, however many spaces are put before it.
    """
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
