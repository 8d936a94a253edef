"""Read a small file that the user names by a flag, local or remote, and packed or not."""

from vitw_ray.errors import InputError


def read_given(address: str, flag: str, fix: str) -> bytes:
    """The content of a file.

    Args:
        address: a path, or an address that fsspec knows.
        flag: that names it, for the message.
        fix: what to give instead.

    Raises:
        InputError: it cannot be read.
    """
    import fsspec

    try:
        with fsspec.open(address, "rb", compression="infer") as file:
            return file.read()  # type: ignore[union-attr]
    except OSError as error:
        raise InputError(
            f"{flag} {address} cannot be read ({type(error).__name__})", fix
        ) from error
