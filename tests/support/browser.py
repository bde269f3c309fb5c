"""Chromium, driven as a person would: open, look, click, type."""

import json
import shutil
from typing import Any

from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select, WebDriverWait

from tests.support.processes import ROOT, World

AXE = ROOT / "tests/data/axe/axe.min.js"  # finds what keeps people out (MPL 2.0)
PATIENCE_SECONDS = 60
PHONE = (390, 844)
WIDE = (1400, 1000)

SWITCHES = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--ignore-certificate-errors", "--window-size=1400,1000",
)  # fmt: skip


def programs() -> tuple[str, str] | None:
    """Chromium and its driver, if both are here."""
    found = shutil.which("chromium"), shutil.which("chromedriver")
    return found if all(found) else None  # type: ignore[return-value]


class Browser:
    """A browser of its own, with nothing in it."""

    def __init__(self, world: World, name: str = "chromium") -> None:
        self._server = world.server_url
        chromium, driver = programs() or ("", "")
        options = ChromeOptions()
        options.binary_location = chromium
        for switch in (*SWITCHES, f"--user-data-dir={world.folder}/{name}"):
            options.add_argument(switch)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = Chrome(options, Service(driver))

    def __enter__(self) -> "Browser":  # noqa: PYI034  (Self came with Python 3.11)
        return self

    def __exit__(self, *_: object) -> None:
        self.driver.quit()

    def open(self, path: str) -> None:
        self.driver.get(self._server + path)

    def find(self, css: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, css)

    def text(self, css: str = "body") -> str:
        return self.find(css).text

    def press(self, css: str) -> None:
        """Presses what leads to another page, and returns once that page is there."""
        here = self.find("html")
        self.find(css).click()
        WebDriverWait(self.driver, 20).until(lambda _: self._is_gone(here))

    def _is_gone(self, element: WebElement) -> bool:
        try:
            element.is_enabled()
        except StaleElementReferenceException:
            return self.driver.execute_script("return document.readyState") == "complete"
        return False

    def follow(self, words: str) -> None:
        link = self.driver.find_element(By.LINK_TEXT, words).get_attribute("href")
        self.driver.get(link)

    def choose(self, action: str) -> None:
        """Ticks the first row of the admin's list and does `action` to it."""
        self.find("tbody .action-select").click()
        Select(self.find("select[name=action]")).select_by_visible_text(action)
        self.press("button[name=index]")

    def complaints(self) -> list[Any]:
        """What the browser could not load or run, but for an icon that there is not."""
        entries = self.driver.get_log("browser")
        return [e for e in entries if e["level"] == "SEVERE" and "favicon" not in e["message"]]

    # --- Looking closely ---

    def wait_for(self, css: str, words: str) -> None:
        """Until they stand there; what changes under the look is looked at again."""

        def is_there(_: Any) -> bool:
            try:
                return words in self.text(css)
            except (StaleElementReferenceException, NoSuchElementException):
                return False

        WebDriverWait(self.driver, PATIENCE_SECONDS, 0.05).until(is_there, f"{css}: {words}")

    def wait_for_title(self, words: str) -> None:
        WebDriverWait(self.driver, PATIENCE_SECONDS, 0.05).until(
            lambda driver: words in driver.title, f"title: {words}"
        )

    def show_as(self, size: tuple[int, int], colours: str) -> None:
        """A screen of that size, whose owner likes it "light" or "dark"."""
        width, height = size
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        scheme = [{"name": "prefers-color-scheme", "value": colours}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})

    def barriers(self) -> list[str]:
        """What axe finds that keeps people out: serious and critical."""
        self.driver.execute_cdp_cmd("Runtime.evaluate", {"expression": AXE.read_text()})
        found = self.driver.execute_async_script(
            "const done = arguments[arguments.length - 1]; axe.run(document).then(done)"
        )
        assert found["passes"]
        return [
            f"{one['id']}: {node['target']} {node['failureSummary']}"
            for one in found["violations"]
            if one["impact"] in ("serious", "critical")
            for node in one["nodes"]
        ]

    def requested(self) -> list[str]:
        """Every address that was asked for since this was called last."""
        events = [json.loads(e["message"])["message"] for e in self.driver.get_log("performance")]
        sent = [e["params"] for e in events if e["method"] == "Network.requestWillBeSent"]
        return [params["request"]["url"] for params in sent]
