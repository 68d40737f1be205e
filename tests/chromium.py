"""A headless Chromium, driven over its DevTools protocol."""

import base64
import itertools
import json
import re
import subprocess
import time
from pathlib import Path

import websocket

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--remote-debugging-port=0",
    "--remote-allow-origins=*",
)

_HELD_AT_START = {"autoAttach": True, "waitForDebuggerOnStart": True, "flatten": True}


class Browser:
    """One page; `events` holds everything that the browser told about it and its threads."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            ["chromium", *FLAGS, f"--user-data-dir={folder}", "about:blank"],
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stderr is not None
        browser = next(
            match[1]
            for line in self._process.stderr
            if (match := re.search(r"listening on (ws://\S+)", line))
        )
        self._numbers = itertools.count(1)
        self._socket = websocket.create_connection(browser, timeout=60)
        self._session: str | None = None
        self.events: list[dict] = []
        self.threads: dict[str, str] = {}
        """The page's threads that run, and theirs: session -> address."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "DOM"):
            self.call(f"{domain}.enable")
        self.call("Target.setAutoAttach", **_HELD_AT_START)

    def call(self, method: str, *, thread: str | None = None, **params) -> dict:
        """Ask the browser for something of the page, or of a thread, and wait for its answer."""
        number = self._send(thread or self._session, method, params)
        while True:
            got = json.loads(self._socket.recv())
            if got.get("id") == number:
                assert "error" not in got, f"{method}: {got['error']}"
                return got["result"]
            if "method" in got:
                self.events.append(got)
                self._follow_threads(got["method"], got["params"])

    def _send(self, session: str | None, method: str, params: dict) -> int:
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        self._socket.send(json.dumps(message))
        return number

    def _follow_threads(self, method: str, params: dict) -> None:
        """Listen to a thread from its start, for which the browser holds it, and to its own."""
        if method == "Target.detachedFromTarget":
            self.threads.pop(params["sessionId"], None)
        if method == "Target.attachedToTarget" and params["waitingForDebugger"]:
            session = params["sessionId"]
            self.threads[session] = params["targetInfo"]["url"]
            for domain in ("Runtime", "Network"):
                self._send(session, f"{domain}.enable", {})
            self._send(session, "Target.setAutoAttach", _HELD_AT_START)
            self._send(session, "Runtime.runIfWaitingForDebugger", {})

    def run(self, script: str, *, thread: str | None = None):
        """The value of an expression in the page, or a thread; promises are waited for."""
        answer = self.call(
            "Runtime.evaluate",
            thread=thread,
            expression=script,
            returnByValue=True,
            awaitPromise=True,
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def open(self, address: str, *, width: int = 1200, height: int = 900, dark: bool = False):
        """Go to an address in a window of this size."""
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", features=scheme)
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        self.call("Page.navigate", url=address)

    def wait(self, condition: str, *, seconds: float = 30):
        """The value of an expression as soon as it is true."""
        end = time.monotonic() + seconds
        while not (value := self.run(condition)):
            assert time.monotonic() < end, f"waited {seconds} s for {condition}"
            time.sleep(0.1)
        return value

    def choose_file(self, selector: str, path: Path) -> None:
        """Put a file into a file input."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", files=[str(path)], nodeId=node)

    def screenshot(self, path: Path) -> None:
        """The whole page as a PNG file."""
        picture = self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(picture))

    def requests(self) -> list[str]:
        """Addresses that the page and its threads asked for."""
        return [
            each["params"]["request"]["url"]
            if "request" in each["params"]
            else each["params"]["url"]
            for each in self.events
            if each["method"] in ("Network.requestWillBeSent", "Network.webSocketCreated")
        ]

    def complaints(self) -> list[str]:
        """What stands in the console: errors and warnings."""
        bad = []
        for each in self.events:
            params = each.get("params", {})
            if each["method"] == "Runtime.exceptionThrown":
                bad.append(str(params["exceptionDetails"]))
            elif each["method"] == "Runtime.consoleAPICalled" and params["type"] in (
                "error",
                "warning",
                "assert",
            ):
                bad.append(" ".join(str(arg.get("value")) for arg in params["args"]))
            elif each["method"] == "Log.entryAdded" and params["entry"]["level"] in (
                "error",
                "warning",
            ):
                bad.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
        return bad

    def close(self) -> None:
        """End the browser and all of its processes."""
        session, self._session = self._session, None
        if session is not None:
            self._socket.send(json.dumps({"id": 0, "method": "Browser.close", "params": {}}))
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._socket.close()
