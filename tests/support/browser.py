"""A real browser for tests: headless Chromium, driven by the WebDriver protocol.

Needs Debian's packages ``chromium`` and ``chromium-driver``, and ``npm`` to fetch axe-core once into the tests' cache.
A missing one is an error that names the package.
"""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import requests

AXE = "axe-core-4.10.3"
_TIMEOUT = 60.0  # seconds, for each step of the browser
_PACKAGES = {"chromium": "chromium", "chromedriver": "chromium-driver", "npm": "npm"}
_STARTED = re.compile(rb"started successfully on port (\d+)")


class BrowserFailed(RuntimeError):
    """The browser is missing, did not start, or could not take a step."""


class Browser:
    """A browser with one window, as a context manager."""

    def __init__(self) -> None:
        self._programs = {program: require(program) for program in ("chromium", "chromedriver")}
        self._http = requests.Session()
        self._http.trust_env = False  # loopback needs no proxy
        self._driver: subprocess.Popen[bytes] | None = None
        self._base = ""

    def __enter__(self) -> Browser:
        self._driver = subprocess.Popen(
            [self._programs["chromedriver"], "--port=0"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert self._driver.stdout is not None
        found = next(filter(None, map(_STARTED.search, self._driver.stdout)), None)
        if found is None:
            self.close()
            raise BrowserFailed("chromedriver ended without telling its port")
        self._base = f"http://127.0.0.1:{found[1].decode()}/session"
        arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
        ]  # root needs no-sandbox
        chrome = {"binary": self._programs["chromium"], "args": arguments}
        wanted = {"goog:chromeOptions": chrome, "goog:loggingPrefs": {"browser": "ALL"}}
        try:
            session = self._post("", {"capabilities": {"alwaysMatch": wanted}})
        except BaseException:
            self.close()
            raise
        assert isinstance(session, dict)
        self._base += f"/{session['sessionId']}"
        self._post("/timeouts", {"implicit": 10_000})  # milliseconds that a search for an element lasts at most
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._http.delete(self._base, timeout=_TIMEOUT)
        finally:
            self.close()

    def close(self) -> None:
        """End the driver, and with it the browser."""
        self._http.close()
        if self._driver is not None:
            self._driver.terminate()
            self._driver.communicate(timeout=_TIMEOUT)

    def show(self, *, width: int, dark: bool) -> None:
        """Set the width of the window in CSS pixels, and whether its user prefers dark colours."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self._devtools("Emulation.setDeviceMetricsOverride", size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._devtools("Emulation.setEmulatedMedia", {"features": [scheme]})

    def permit_scripts(self, permitted: bool) -> None:
        """Set whether the scripts of pages that are opened from now on run; :meth:`run` works in any case."""
        self._devtools("Emulation.setScriptExecutionDisabled", {"value": not permitted})

    def open(self, url: str) -> None:
        """Load a page, and wait for it."""
        self._post("/url", {"url": url})

    def run(self, script: str) -> object:
        """Run a function body in the page and return its result, that of a promise once it is kept."""
        return self._post("/execute/sync", {"script": script, "args": []})

    def type(self, selector: str, text: str) -> None:
        """Type into the element; ``\\ue007`` is Enter."""
        self._post(f"/element/{self._find(selector)}/value", {"text": text})

    def wait_for(self, selector: str) -> None:
        """Wait until a page has the element: a key or a click only begins to load the next page."""
        self._find(selector)

    def click(self, selector: str) -> None:
        """Click the element."""
        self._post(f"/element/{self._find(selector)}/click", {})

    def enter_frame(self, selector: str) -> None:
        """Let the next steps apply to the document of a frame."""
        self._post("/frame", {"id": {_ELEMENT: self._find(selector)}})

    def leave_frame(self) -> None:
        """Let the next steps apply to the page again."""
        self._post("/frame", {"id": None})

    def console(self) -> list[str]:
        """Return the messages of the console since the last call."""
        entries = self._post("/se/log", {"type": "browser"})
        assert isinstance(entries, list)
        return [entry["message"] for entry in entries]

    def violations(self) -> list[str]:
        """Return what axe-core finds wrong with the page, as ``rule: element``."""
        self.run(f"{axe_source()}; return null")
        found = self.run(
            "return axe.run(document, {iframes: false}).then(result => result.violations.flatMap("
            "violation => violation.nodes.map(node => `${violation.id}: ${node.html}`)))"
        )
        assert isinstance(found, list)
        return found

    def save_screenshot(self, path: Path) -> None:
        """Write a picture of the window as PNG."""
        picture = self._get("/screenshot")
        path.write_bytes(base64.b64decode(str(picture)))

    def count_printed_pages(self) -> int:
        """Print the page on A4 and return how many sheets of paper it takes."""
        paper = {"page": {"width": 21.0, "height": 29.7}}  # centimetres
        pdf = base64.b64decode(str(self._post("/print", paper)))
        return len(re.findall(rb"/Type\s*/Page\b(?!s)", pdf))

    def _find(self, selector: str) -> str:
        found = self._post("/element", {"using": "css selector", "value": selector})
        assert isinstance(found, dict)
        return str(found[_ELEMENT])

    def _devtools(self, command: str, parameters: Mapping[str, object]) -> None:
        self._post("/goog/cdp/execute", {"cmd": command, "params": parameters})

    def _get(self, path: str) -> object:
        return _value(self._http.get(self._base + path, timeout=_TIMEOUT))

    def _post(self, path: str, body: Mapping[str, object]) -> object:
        return _value(self._http.post(self._base + path, json=body, timeout=_TIMEOUT))


_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the key of an element's id, from the WebDriver specification


def _value(response: requests.Response) -> object:
    value = response.json()["value"]
    if response.status_code != 200:
        raise BrowserFailed(f"{value['error']}: {value['message']}")
    return value


def axe_source() -> str:
    """Return axe-core's script, fetched from npm when it is not in the cache yet."""
    cache = Path(os.environ.get("ZTRUST_MAIL_TEST_CACHE") or Path.home() / ".cache" / "ztrust-mail-tests")
    script = cache / f"{AXE}.min.js"
    if not script.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".new-", dir=cache) as folder:
            name, _, version = AXE.rpartition("-")
            fetch = [require("npm"), "pack", "--silent", f"{name}@{version}"]
            done = subprocess.run(fetch, cwd=folder, capture_output=True, encoding="utf-8", check=False)
            if done.returncode != 0:
                raise BrowserFailed(f"npm cannot fetch {AXE}\n{done.stderr}")
            new = Path(folder) / "axe.min.js"
            with tarfile.open(Path(folder) / f"{AXE}.tgz") as archive:
                content = archive.extractfile("package/axe.min.js")
                assert content is not None
                new.write_bytes(content.read())
            new.rename(script)
    return script.read_text(encoding="utf-8")


def require(program: str) -> str:
    """Return the path of a program. Raises BrowserFailed, which names its Debian package."""
    if (path := shutil.which(program)) is None:
        raise BrowserFailed(f"no {program}: it is in the Debian package {_PACKAGES[program]}")
    return path
