"""A browser for tests of pages: Chromium without a window, driven through its DevTools pipe.

    with Chromium() as browser:
        browser.open("file:///…", width=360)
        browser.press("a")
        browser.wait("document.title == 'Done'")

`needs_chromium` skips a test, with the reason, where none is installed (Debian: `chromium`).
"""

import base64
import fcntl
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--allow-pre-commit-input", "--remote-debugging-pipe",
)  # fmt: skip
KEYS = {"Enter": 13, "Escape": 27, "Tab": 9}
SECONDS = 30.0


class Navigated(Exception):
    """The page went away while it was asked."""


class Chromium:
    """One page of a headless browser; problems that the page reports are gathered in `problems`."""

    def __init__(self) -> None:
        assert CHROMIUM is not None
        self.folder = tempfile.mkdtemp(prefix="chromium-")
        low, self.write = os.pipe()
        self.read, lower = os.pipe()
        # Chromium reads its pipe from descriptor 3 and writes to 4, which only a shell can set;
        # ours lie above both.
        theirs, ours = (fcntl.fcntl(each, fcntl.F_DUPFD, 10) for each in (low, lower))
        command = f'exec "$0" "$@" 3<&{theirs} 4>&{ours}'
        self.process = subprocess.Popen(
            ["bash", "-c", command, CHROMIUM, *FLAGS, f"--user-data-dir={self.folder}"],
            pass_fds=(theirs, ours), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        for each in (low, lower, theirs, ours):
            os.close(each)
        self.buffer, self.number, self.session = b"", 0, ""
        self.problems: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> "Chromium":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(timeout=SECONDS)
        os.close(self.write)
        os.close(self.read)
        shutil.rmtree(self.folder, ignore_errors=True)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Ask the browser and wait for its answer."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.message()
            if answer.get("id") == self.number:
                said = answer.get("error", {}).get("message", "")
                if "navigated" in said or "context" in said:
                    raise Navigated(said)
                assert "error" not in answer, (method, answer)
                return answer["result"]
            self.note(answer)

    def message(self) -> dict[str, Any]:
        """The next message of the browser."""
        while b"\0" not in self.buffer:
            piece = os.read(self.read, 2**20)
            assert piece, "the browser ended"
            self.buffer += piece
        text, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(text)

    def note(self, event: dict[str, Any]) -> None:
        """Keep what went wrong in the page."""
        method, found = event.get("method", ""), event.get("params", {})
        if method == "Runtime.exceptionThrown":
            details = found["exceptionDetails"]
            self.problems.append(details.get("exception", {}).get("description", str(details)))
        elif method == "Log.entryAdded" and found["entry"]["level"] == "error":
            self.problems.append(found["entry"]["text"])

    def open(self, url: str, width: int = 1440, height: int = 900, scheme: str = "light") -> None:
        """Load a page at a width, in light or dark, and wait for it."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=features)
        self.js("window.isOld = true")
        self.call("Page.navigate", url=url)
        self.wait("!window.isOld && document.readyState == 'complete'")
        # Keys that come before the first frame are dropped.
        self.js("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def js(self, expression: str) -> Any:
        """Value of an expression in the page."""
        found = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait(self, condition: str) -> None:
        """Until an expression is true; an assertion fails after half a minute."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            try:
                if self.js(f"Boolean({condition})"):
                    return
            except Navigated:
                pass  # the next page will tell
            time.sleep(0.02)
        raise AssertionError(f"never true: {condition}; the page says: {self.text('body')[:2000]}")

    def text(self, selector: str) -> str:
        """What is seen of an element."""
        return self.js(f"document.querySelector({json.dumps(selector)}).innerText")

    def press(self, key: str, *, ctrl: bool = False) -> None:
        """Press and release a key where the focus is."""
        code = KEYS.get(key, ord(key.upper()) if len(key) == 1 else 0)
        event: dict[str, Any] = {
            "key": key, "windowsVirtualKeyCode": code, "modifiers": 2 if ctrl else 0,
        }  # fmt: skip
        if len(key) == 1 and not ctrl:
            event["text"] = key
        elif key == "Enter":
            event["text"] = "\r"
        self.call("Input.dispatchKeyEvent", type="keyDown", **event)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    def type(self, text: str) -> None:
        """Write text where the focus is."""
        self.call("Input.insertText", text=text)

    def click(self, selector: str) -> None:
        """Click into the middle of an element with the mouse."""
        name = json.dumps(selector)
        self.js(f"document.querySelector({name}).scrollIntoView({{block: 'nearest'}})")
        box = self.js(
            f"(() => {{ const r = document.querySelector({name}).getBoundingClientRect();"
            " return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call(
                "Input.dispatchMouseEvent",
                type=kind, x=box[0], y=box[1], button="left", clickCount=1,
            )  # fmt: skip

    def is_too_wide(self) -> bool:
        """Whether the page scrolls sideways."""
        return self.js("document.documentElement.scrollWidth > window.innerWidth")

    def picture(self, path: Path, *, whole: bool = True) -> None:
        """Save what the page looks like as PNG."""
        found = self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))
