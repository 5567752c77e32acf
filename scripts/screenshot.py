"""A picture of a page, as Chromium shows it: `python scripts/screenshot.py ckpt/<run>/report/index.html --row 2`.

Needs selenium (requirements-dev.txt) and Debian's chromium and chromium-driver, or their like.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from utils.start import start_command

start_command(__name__)

import argparse
import io
import shutil
import time
from typing import TYPE_CHECKING

from PIL import Image

from utils.errors import InputError, run_command
from utils.files import fault_of_file, replacing
from utils.options import ArgumentParser, picture, whole

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

FLAGS = [
    *("--headless=new", "--no-sandbox", "--no-first-run", "--disable-sync", "--disable-background-networking"),
    *("--disable-component-update", "--disable-quic", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"),
    *("--force-device-scale-factor=1", "--hide-scrollbars"),
]
DRAWN = "return [...document.querySelectorAll('.view')].every(view => view.dataset.drawn)"


def start_browser(width: int = 1280, height: int = 1000) -> Chrome:
    """A headless Chromium of a window of so many pixels, whose console and network are logged.

    Raises:
        InputError: selenium, Chromium or its driver are not there.
    """
    try:
        from selenium import webdriver
    except ImportError as error:
        raise InputError("selenium is not installed: ./scripts/setup.sh --dev") from error
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        raise InputError("no browser here: sudo apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--window-size={width},{height}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))


def set_size(browser: Chrome, width: int, height: int) -> None:
    """Makes the page so many pixels large, as on a phone below 500: a window is never so narrow."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def wait(browser: Chrome, script: str, seconds: float = 20):
    """The value of a script once it is true; raises TimeoutError."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := browser.execute_script(script):
            return value
        time.sleep(0.05)
    raise TimeoutError(f"not within {seconds} s: {script}")


def main() -> None:
    options = parse_arguments()
    if fault := fault_of_file(options.page):
        raise InputError(f"{options.page}: cannot be read ({fault}); expected index.html of a page")
    browser = start_browser(options.width, options.height)
    try:
        set_size(browser, options.width, options.height)
        browser.get(options.page.resolve().as_uri())
        if options.row is not None:
            rows = browser.find_elements("css selector", f'tr.row.opens[data-index="{options.row}"]')
            if not rows:
                raise InputError(f"{options.page}: mixture {options.row} is not there, or was not drawn")
            rows[0].click()
            browser.execute_script("arguments[0].scrollIntoView()", rows[0])
        wait(browser, DRAWN)
        time.sleep(1)  # for the last frame of what was drawn
        picture = Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB")
    finally:
        browser.quit()
    with replacing(options.output) as temporary:
        picture.save(temporary, quality=72)
    print(f"wrote {options.output}: {picture.width} x {picture.height}")


def parse_arguments() -> argparse.Namespace:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("page", type=Path, help="index.html of a page")
    add("--row", type=whole(0), help="number of the mixture to open")
    add("--output", type=picture, default=Path("page.jpg"), help="picture to write (default: page.jpg)")
    add("--width", type=whole(200), default=1280, help="of the window, in pixels (default: 1280)")
    add("--height", type=whole(200), default=1000, help="of the window, in pixels (default: 1000)")
    return parser.parse_args()


if __name__ == "__main__":
    run_command(main)
