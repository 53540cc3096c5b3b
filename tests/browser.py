"""A browser for tests, where Debian's Chromium and Selenium are to be had."""

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

# Where Debian puts them.
CHROMIUM, DRIVER = "chromium", "chromedriver"
# Of axe-core, from npm: `npm install axe-core`.
AXE = os.environ.get("GMVAE_AXE", "")
needs_axe = pytest.mark.skipif(
    not Path(AXE).is_file(), reason="GMVAE_AXE names no axe.min.js of axe-core"
)
# Seconds: a machine with other work is slow.
PATIENCE = 20


class Browser:
    """Chromium without a window.

    Attributes:
        driver: Selenium's.
        downloads: where files are saved.
    """

    def __init__(self, downloads: Path) -> None:
        from selenium import webdriver

        options = webdriver.ChromeOptions()
        options.binary_location = str(shutil.which(CHROMIUM))
        # As root, in a container, there is neither a sandbox nor much of /dev/shm.
        for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
            options.add_argument(argument)
        options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        service = webdriver.ChromeService(str(shutil.which(DRIVER)))
        self.driver = webdriver.Chrome(options=options, service=service)
        self.driver.set_script_timeout(PATIENCE)
        self.downloads = downloads

    def command(self, name: str, **parameters: Any) -> Any:
        """One of Chrome's own commands."""
        return self.driver.execute_cdp_cmd(name, parameters)

    def open(
        self, page: Path | str, width: int = 1200, height: int = 900, dark: bool = False
    ) -> None:
        """A file or an address, in a window of that size, on a telephone where it is narrow."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.command("Emulation.setEmulatedMedia", features=[scheme])
        narrow = width < 600
        size = {"width": width, "height": height, "deviceScaleFactor": 2 if narrow else 1}
        self.command("Emulation.setDeviceMetricsOverride", **size, mobile=narrow)
        self.command("Emulation.setTouchEmulationEnabled", enabled=narrow)
        for kind in ("browser", "performance"):
            self.driver.get_log(kind)
        self.driver.get(page if isinstance(page, str) else page.as_uri())
        self.frame()

    def run(self, script: str, *arguments: Any) -> Any:
        """What a script returns."""
        return self.driver.execute_script(script, *arguments)

    def frame(self) -> None:
        """Wait until what was asked for is drawn."""
        # The next frame draws it, and the one after that begins when it is drawn.
        wait = "requestAnimationFrame(() => requestAnimationFrame(done))"
        self.driver.execute_async_script(f"const done = arguments[0]; {wait}")

    def until(self, ready: Callable[[], Any]) -> Any:
        """What ``ready`` answers, once that is true."""
        end = time.monotonic() + PATIENCE
        while not (answer := ready()):
            assert time.monotonic() < end, "the browser took too long"
            time.sleep(0.05)
        return answer

    def cpu_seconds(self) -> float:
        """What the browser's processes have computed so far, on all cores together (Linux)."""
        parents, seconds = {}, {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # It has ended.
                continue
            process = int(folder.name)
            parents[process] = int(fields[1])
            seconds[process] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        family = {self.driver.service.process.pid}
        while more := {child for child in parents if parents[child] in family} - family:
            family |= more
        return sum(seconds.get(process, 0.0) for process in family)

    def errors(self) -> list[str]:
        """What the console shows."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def serious_faults(self) -> list[Any]:
        """What axe finds on the page that keeps some people from using it."""
        self.run(Path(AXE).read_text(encoding="utf-8"))
        faults = self.driver.execute_async_script("axe.run().then(arguments[0])")["violations"]
        serious = [fault for fault in faults if fault["impact"] in ("serious", "critical")]
        return [(fault["id"], [node["html"] for node in fault["nodes"]]) for fault in serious]

    def requests(self) -> list[str]:
        """The addresses that the page asked for."""
        events = [json.loads(e["message"])["message"] for e in self.driver.get_log("performance")]
        sent = [e["params"] for e in events if e["method"] == "Network.requestWillBeSent"]
        return [params["request"]["url"] for params in sent]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A browser; the test is skipped where there is none."""
    pytest.importorskip("selenium", reason="no selenium: the page is not tried in a browser")
    missing = [name for name in (CHROMIUM, DRIVER) if shutil.which(name) is None]
    if missing:
        pytest.skip(f"no {' and no '.join(missing)}: the page is not tried in a browser")
    started = Browser(tmp_path_factory.mktemp("downloads"))
    yield started
    started.driver.quit()
