"""Ports of this machine for one run; two runs at the same time never get the same port."""

import random
import socket

from bench_action.engine.local.reservation import reserve
from bench_action.model.errors import StackError

# below the range that Linux uses for outgoing connections (ip_local_port_range), of which wrk opens many
_FIRST, _LAST = 20_000, 32_000
_TRIES = 200


class Ports:
    """Free loopback ports, reserved until `release` or until this process exits.

    A reservation does not use the port itself, on which the service will listen.
    """

    def __init__(self) -> None:
        self._reservations: list[socket.socket] = []

    def reserve(self) -> int:
        """Reserve a port that nobody listens on. Raises StackError if none is found."""
        for port in random.SystemRandom().sample(range(_FIRST, _LAST), _TRIES):
            if self._try_reserve(port):
                return port
        raise StackError(f"no free port found between {_FIRST} and {_LAST}", advice="stop the processes that use them")

    def release(self) -> None:
        """Release all ports."""
        for reservation in self._reservations:
            reservation.close()
        self._reservations.clear()

    def _try_reserve(self, port: int) -> bool:
        reservation = reserve(f"port-{port}")
        if reservation is None:
            return False
        try:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            reservation.close()
            return False
        self._reservations.append(reservation)
        return True
