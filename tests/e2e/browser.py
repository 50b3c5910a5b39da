"""Drive a headless Chromium in tests by the DevTools protocol over pipes: no driver and no network."""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

_DEADLINE_S = 60
_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")


class BrowserError(Exception):
    """Chromium is missing or has died, or a script in the page failed."""


class Page:
    """One tab. `errors` has what it logged as an error, threw, or could not load."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._to, self._from = to_browser, from_browser
        self._number, self._buffer, self._session = 0, b"", ""
        self.errors: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self._loaded = False

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command of the protocol, and return its answer. Raises BrowserError."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise BrowserError(f"{method}: {answer['error']}")
                return dict(answer["result"])

    def open(self, address: str, width: int = 1280, height: int = 900, *, dark: bool = False) -> None:
        """Load a page in a window of this size, and wait until it is loaded."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", features=scheme)
        self._loaded = False
        self.call("Page.navigate", url=address)
        end = time.monotonic() + _DEADLINE_S
        while not self._loaded:
            if time.monotonic() > end:
                raise BrowserError(f"{address} did not load; errors: {self.errors}")
            self._next()

    def value(self, script: str) -> Any:
        """Evaluate an expression in the page, awaiting a promise. Raises BrowserError if it throws."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise BrowserError(f"{script}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def until(self, script: str) -> Any:
        """Wait until an expression is true, and return it. Raises BrowserError with the logged errors."""
        end = time.monotonic() + _DEADLINE_S
        while not (value := self.value(script)):
            if time.monotonic() > end:
                raise BrowserError(f"never true: {script}; errors: {self.errors}")
            time.sleep(0.02)
        return value

    def press(self, key: str) -> None:
        """Press a key."""
        text = {"text": " "} if key == " " else {"text": key} if len(key) == 1 else {}
        codes = {"Tab": 9, "Enter": 13, " ": 32, "ArrowLeft": 37, "ArrowRight": 39, "PageUp": 33, "PageDown": 34}
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=codes.get(key, ord(key[0])), **text
            )

    def screenshot(self, path: Path, *, whole: bool = True) -> None:
        """Write a PNG of the page."""
        picture = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(picture["data"]))

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            if not select.select([self._from], [], [], _DEADLINE_S)[0]:
                raise BrowserError(f"the browser sent nothing for {_DEADLINE_S} s")
            data = os.read(self._from, 1 << 20)
            if not data:
                raise BrowserError("the browser has exited")
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\0", 1)
        message: dict[str, Any] = json.loads(line)
        self._note(message.get("method", ""), message.get("params", {}))
        return message

    def _note(self, method: str, about: dict[str, Any]) -> None:
        match method:
            case "Page.loadEventFired":
                self._loaded = True
            case "Runtime.exceptionThrown":
                self.errors.append(str(about["exceptionDetails"].get("exception", about)))
            case "Runtime.consoleAPICalled" if about["type"] in {"error", "warning", "assert"}:
                self.errors.append(str([argument.get("value", argument) for argument in about["args"]]))
            case "Log.entryAdded" if about["entry"]["level"] in {"error", "warning"}:
                self.errors.append(f"{about['entry']['text']} {about['entry'].get('url', '')}")
            case "Network.loadingFailed":
                self.errors.append(str(about["errorText"]))
            case "Page.javascriptDialogOpening":
                self.errors.append(f"dialog: {about['message']}")


@contextmanager
def chromium() -> Iterator[Page]:
    """Run a browser with a new profile and no network. Raises BrowserError if no browser is installed."""
    program = next((path for name in _PROGRAMS if (path := shutil.which(name))), None)
    if program is None:
        raise BrowserError(f"none of {', '.join(_PROGRAMS)} is installed: apt-get install chromium")
    theirs, to_browser = os.pipe()
    browser_in = _move_up(theirs)
    from_browser, theirs = os.pipe()
    browser_out = _move_up(theirs)
    with _make_folder() as folder:
        # the protocol's pipes must be descriptors 3 and 4; dash knows no descriptors above 9
        start = ["bash", "-c", f'exec "$@" 3<&{browser_in} 4>&{browser_out}', "bash", program]
        options = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--remote-debugging-pipe",
            "--no-first-run",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--proxy-server=127.0.0.1:9",
            f"--user-data-dir={folder}/profile",
        ]
        process = subprocess.Popen(
            [*start, *options],
            pass_fds=(browser_in, browser_out),
            env={**os.environ, "TMPDIR": str(folder)},  # a browser that is killed leaves folders there
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            os.close(browser_in)
            os.close(browser_out)
            yield Page(to_browser, from_browser)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, 9)
            process.wait()
            os.close(to_browser)
            os.close(from_browser)


@contextmanager
def _make_folder() -> Iterator[Path]:
    """Make a folder for everything that the browser writes, and remove it when the last of its processes has ended."""
    folder = Path(tempfile.mkdtemp(prefix="browser-"))
    try:
        yield folder
    finally:
        end = time.monotonic() + _DEADLINE_S
        while folder.exists() and time.monotonic() < end:  # what is dying may still write
            shutil.rmtree(folder, ignore_errors=True)


def _move_up(descriptor: int) -> int:
    """Move a descriptor out of the way of 3 and 4."""
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(descriptor)
    return moved
