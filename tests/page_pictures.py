"""Pictures of pages in a headless Chromium, for `docs/pictures`: small, and looked at by people.

    python tests/page_pictures.py docs/pictures sample=runs/sample/report.html models=...

Each page gives four files: the top on a desktop, a card, the resistance on a phone, and the dark
scheme. Colours are cut to a palette, so that a file stays below `MOST_BYTES`.
"""

import argparse
import io
import shutil
import sys
from pathlib import Path

from browser import PROGRAMS
from PIL import Image
from playwright.sync_api import sync_playwright

MOST_BYTES = 150_000
DESKTOP, PHONE = (1280, 860), (390, 844)
VIEWS = {
    "top": (DESKTOP, "light", "#short"),
    "card": (DESKTOP, "light", "card"),
    "phone": (PHONE, "light", "#resistance"),
    "dark": (DESKTOP, "dark", "#associations"),
}


def palette(png: bytes) -> bytes:
    """The same picture with as many colours as fit."""
    for colours in (128, 64, 32, 16):
        found = io.BytesIO()
        image = Image.open(io.BytesIO(png)).convert("RGB")
        image.quantize(colours, dither=Image.Dither.NONE).save(found, "PNG", optimize=True)
        if found.tell() <= MOST_BYTES:
            break
    return found.getvalue()


def main() -> None:
    """Write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("pages", nargs="+", help="NAME=FILE")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    program = next(filter(None, map(shutil.which, PROGRAMS)))
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for name, path in (page.split("=", 1) for page in asked.pages):
            for view, ((width, height), scheme, place) in VIEWS.items():
                size = {"width": width, "height": height}
                page = chromium.new_page(viewport=size, color_scheme=scheme)
                page.goto(Path(path).resolve().as_uri())
                if place == "card":
                    link = page.locator("#values table.values th a").first
                    link.click()
                    page.wait_for_selector("#card[open]")
                else:
                    page.evaluate("place => { location.hash = place; }", place)
                page.wait_for_timeout(200)
                written = asked.folder / f"{name}-{view}.png"
                written.write_bytes(palette(page.screenshot()))
                sys.stdout.write(f"{written}: {written.stat().st_size:,} bytes\n")
                page.close()
        chromium.close()


if __name__ == "__main__":
    main()
