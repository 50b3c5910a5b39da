"""A greeter over gRPC. Its messages are those of greet.proto, which is compiled when it starts."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc

sys.path.append(str(Path(__file__).parent))  # where grpcio-tools looks for the file
_messages, _services = grpc.protos_and_services("greet.proto")


class Greeter(_services.GreeterServicer):  # type: ignore[misc, name-defined]
    """Greets."""

    def Greet(self, request: Any, _context: grpc.ServicerContext) -> Any:  # noqa: N802 (as greet.proto has it)
        """Greet by name."""
        return _messages.Greeting(text=f"Hello, {request.name}!")


def make_server(address: str) -> tuple[grpc.Server, int]:
    """Make a server on an address; also return its port."""
    server = grpc.server(ThreadPoolExecutor(max_workers=4))
    _services.add_GreeterServicer_to_server(Greeter(), server)
    return server, server.add_insecure_port(address)


if __name__ == "__main__":
    server, _ = make_server(f"0.0.0.0:{os.environ.get('PORT', '8000')}")
    server.start()
    server.wait_for_termination()
