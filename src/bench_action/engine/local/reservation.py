"""Reserve what two runs on one machine must not share, such as a port or an account."""

import socket


def reserve(name: str) -> socket.socket | None:
    """Reserve a name until the socket is closed, or until this process exits; None if somebody else has it.

    The socket is in Linux's abstract namespace (unix(7)): it has no file, and the kernel closes it with the process.
    """
    reservation = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        reservation.bind(f"\0bench-action-{name}")
    except OSError:
        reservation.close()
        return None
    return reservation
