#!/usr/bin/env bash
# Pillow cannot append a page to a TIFF if that very page was saved as PNG or JPEG before.
#
# One would guess: `first.save("all.tif", save_all=True, append_images=[second])` does not depend on
#   what was done with `second` earlier in the program; saving an image leaves it as it was.
# Seen: after `second.save("second.png")`, or .jpg, .jp2 or .pdf, it raises TypeError "function
#   takes at most 4 arguments": the settings of the earlier encoder (`encoderconfig`) stay with the
#   image and are handed to that of TIFF. After .gif or .tif, which set none, it works, and so it
#   does with a copy.
# Versions: Pillow 13.0.0; Python 3.11, Linux x86-64.
# For who reads digits: the crops of a sheet's digits are kept one by one as PNG and then as pages
#   of one TIFF, for a reader that takes several. The error names neither the page nor the reason.
#   `append_images=[page.copy() for page in pages]` works.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet pillow==13.0.0
cd "$folder"
env/bin/python - <<'PYTHON'
import sys

from PIL import Image


def bundle(saved_as, copy=False):
    """Save a page, then both as one TIFF; returns how many pages that has, or the error."""
    first, second = Image.new("L", (28, 28), 255), Image.new("L", (28, 28), 200)
    if saved_as:
        second.save(f"second.{saved_as}")
    try:
        pages = [second.copy() if copy else second]
        first.save("all.tif", save_all=True, append_images=pages)
        return Image.open("all.tif").n_frames
    except TypeError as error:
        return str(error).partition(" (")[0]


seen = {ending: bundle(ending) for ending in (None, "gif", "tif", "png", "jpg", "jp2", "pdf")}
seen["copied"] = bundle("png", copy=True)
print("\n".join(f"saved before as {ending}: {what}" for ending, what in seen.items()))
refused = [ending for ending, what in seen.items() if what == "function takes at most 4 arguments"]
works = [ending for ending, what in seen.items() if what == 2]
if (refused, works) != (["png", "jpg", "jp2", "pdf"], [None, "gif", "tif", "copied"]):
    sys.exit("this behaviour has changed")
PYTHON
