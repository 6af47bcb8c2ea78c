"""What a header of HTTP may hold."""


def fits_a_header(token: str) -> bool:
    """Whether `token` is ASCII that prints, without a blank."""
    return token.isascii() and token.isprintable() and " " not in token
