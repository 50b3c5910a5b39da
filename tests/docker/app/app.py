"""Misbehave as the environment says: one variable for each fault that an application can have."""

import json
import os
import signal
import socket
import socketserver
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT = int(os.environ.get("PORT", "8000"))
DIE_AT_START = os.environ.get("DIE_AT_START", "")
LISTEN = os.environ.get("LISTEN", "once")
DIE_AFTER_CONNECTIONS = int(os.environ.get("DIE_AFTER_CONNECTIONS", "0"))
STATUS = int(os.environ.get("STATUS", "200"))
HEALTH = int(os.environ.get("HEALTH", "200"))
PAGE = os.environ.get("PAGE", "the page")
CLOSE = bool(os.environ.get("CLOSE"))
DELAY_S = float(os.environ.get("DELAY_S", "0"))
HOSTS = os.environ.get("HOSTS", "").split()
LARGE_MIB = int(os.environ.get("LARGE_MIB", "0"))
STREAM = bool(os.environ.get("STREAM"))
FORK = bool(os.environ.get("FORK"))
LOCATION = os.environ.get("LOCATION", "")
CERT, KEY = os.environ.get("CERT", ""), os.environ.get("KEY", "")
BUSY_CONNECTIONS = 4
BUSY_DELAY_S = float(os.environ.get("BUSY_DELAY_S", "0.01"))  # so that a load takes little CPU from other tests
BUSY_STATUS = int(os.environ.get("BUSY_STATUS", "0")) or STATUS
BUSY_PAGE = os.environ.get("BUSY_PAGE", PAGE)

seen: Counter[str] = Counter()
lock = threading.Lock()
started: list[subprocess.Popen[bytes]] = []


def say(text: str) -> None:
    """Write to the container's log, unbuffered."""
    print(text, file=sys.stderr, flush=True)


class Server(ThreadingHTTPServer):
    """Accepts as many simultaneous connections as a test may open."""

    request_queue_size = 4096
    daemon_threads = True
    accepted = 0

    def process_request(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> None:
        """Count connections: unlike requests, wrk opens exactly as many as requested."""
        self.accepted += 1
        if DIE_AFTER_CONNECTIONS and self.accepted > DIE_AFTER_CONNECTIONS:
            say(f"Segmentation fault, said connection {self.accepted}")
            os._exit(7)
        super().process_request(request, client_address)

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore clients that disconnect."""


class Handler(BaseHTTPRequestHandler):
    """Serves `/health` for readiness and the recorded requests at `/seen`; records and answers all other requests."""

    open_connections = 0
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # headers and body in one packet

    def setup(self) -> None:
        """Count an open connection."""
        super().setup()
        with lock:
            Handler.open_connections += 1

    def finish(self) -> None:
        """Count a closed connection."""
        with lock:
            Handler.open_connections -= 1
        super().finish()

    def do_GET(self) -> None:
        """Answer as the environment says."""
        time.sleep(DELAY_S)
        if HOSTS and str(self.headers["Host"]).partition(":")[0] not in HOSTS:
            self.answer(400, "this host name is not allowed")
        elif self.path == "/health":
            self.answer(HEALTH, "healthy")
        elif self.path == "/seen":
            with lock:
                self.answer(200, json.dumps(seen))
        else:
            if FORK:
                started.append(subprocess.Popen(["sleep", "600"]))
            self.note("")
            busy = Handler.open_connections > BUSY_CONNECTIONS
            if busy and BUSY_DELAY_S:
                time.sleep(BUSY_DELAY_S)
            if LARGE_MIB:
                self.answer_large()
            elif STREAM:
                self.stream()
            else:
                self.answer(BUSY_STATUS, BUSY_PAGE) if busy else self.answer(STATUS, PAGE)

    def do_POST(self) -> None:
        """Record the whole request."""
        self.note(self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode())
        self.answer(201, "noted")

    def note(self, body: str) -> None:
        """Count requests that are identical."""
        with lock:
            seen[json.dumps([self.command, self.path, sorted(self.headers.items()), body])] += 1

    def answer(self, status: int, text: str) -> None:
        """Send a reply."""
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        if LOCATION:
            self.send_header("Location", LOCATION)
        if CLOSE:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def stream(self) -> None:
        """Send events without end."""
        self.send_response(STATUS)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        while True:
            self.wfile.write(b"data: tick\n\n")
            self.wfile.flush()
            time.sleep(0.1)

    def answer_large(self) -> None:
        """Send so many bytes that reading them takes more CPU than sending them, which the kernel does."""
        with tempfile.TemporaryFile() as file:
            file.truncate(LARGE_MIB << 20)
            self.send_response(STATUS)
            self.send_header("Content-Length", str(LARGE_MIB << 20))
            self.end_headers()
            self.wfile.flush()
            self.connection.sendfile(file)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class names it)
        """Log nothing about requests."""


def main() -> None:
    """Serve until SIGTERM, unless the environment says otherwise."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    if DIE_AT_START:
        say(DIE_AT_START)
        sys.exit(3)
    if LISTEN == "never":
        say("thinking about it")
        signal.pause()
    if LISTEN == "twice":
        other = socketserver.TCPServer(("0.0.0.0", PORT), Handler)  # noqa: S104 (inside a separate container)
        say(f"somebody else listens on {other.server_address}")
    server = Server(("0.0.0.0", PORT), Handler)  # noqa: S104
    if CERT:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERT, KEY)
        # the handshake waits for the first read, so that it keeps no other connection from being accepted
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.serve_forever()


if __name__ == "__main__":
    main()
