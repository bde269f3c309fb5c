"""Chromium, without a window: pictures of pages, and of SVG files as PNG to be looked at."""

import base64
from pathlib import Path
from typing import Any

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

SWITCHES = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--ignore-certificate-errors", "--hide-scrollbars", "--force-device-scale-factor=1",
)  # fmt: skip


class Browser:
    """Opens addresses, and says what they look like."""

    def __init__(self, folder: Path, chromium: str, driver: str) -> None:
        options = ChromeOptions()
        options.binary_location = chromium
        for switch in (*SWITCHES, f"--user-data-dir={folder}/chromium"):
            options.add_argument(switch)
        self.driver = Chrome(options, Service(driver))

    def __enter__(self) -> "Browser":  # noqa: PYI034  (Self came with Python 3.11)
        return self

    def __exit__(self, *_: object) -> None:
        self.driver.quit()

    def look_like(self, width: int, is_dark: bool, height: int = 800) -> None:
        """From now on: a window of this size, by day or by night."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._command("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
        self._command("Emulation.setEmulatedMedia", features=[scheme])

    def picture(self, path: Path) -> None:
        """Of the whole page, however long."""
        self._save(path, captureBeyondViewport=True)

    def svg_as_png(self, svg: Path, png: Path, width: int, height: int) -> None:
        self.look_like(width, is_dark=False, height=height)
        self.driver.get(svg.absolute().as_uri())
        self._save(png)

    def _save(self, path: Path, **how: Any) -> None:
        told = self._command("Page.captureScreenshot", format="png", **how)
        path.write_bytes(base64.b64decode(told["data"]))

    def _command(self, name: str, **arguments: Any) -> Any:
        return self.driver.execute_cdp_cmd(name, arguments)
