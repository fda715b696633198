#!/usr/bin/env bash
# Pillow calls the second image of a camera's MPO truncated, once the first was made smaller.
#
# One would guess: `for frame in range(image.n_frames): image.seek(frame); image.thumbnail(size)`
#   gives small copies of all images of an MPO, the JPEG of 3D cameras and of some phones.
# Seen: the first copy is right, the second raises OSError "image file is truncated (0 bytes not
#   processed)" though the file is whole: thumbnail had the first JPEG decoded at a fraction of its
#   size (`draft`), and seek keeps that fraction with the full size of the next one. Images that
#   are loaded in full are read, in either order, and so are a TIFF's pages treated alike.
# Versions: Pillow 13.0.0; Python 3.11, Linux x86-64.
# For who reads digits: large photos are made smaller before a network sees them, so a reader that
#   takes the other views of a photo as well reports a sound file as damaged. Open the file anew
#   for each image, or call `image.load()` before `thumbnail`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet pillow==13.0.0
cd "$folder"
env/bin/python - <<'PYTHON'
import sys

from PIL import Image, ImageDraw


def views(path, load_first):
    """Try to make a small copy of each image; returns their sizes, or the error."""
    image, found = Image.open(path), []
    for frame in range(image.n_frames):
        try:
            image.seek(frame)
            if load_first:
                image.load()
            image.thumbnail((200, 200))
            found.append(image.size)
        except OSError as error:
            found.append(str(error))
    return found


left = Image.new("RGB", (1200, 1600), "white")
ImageDraw.Draw(left).line((600, 300, 600, 1300), "black", 90)  # a 1
right = left.rotate(5, fillcolor="white")
left.save("one.tif", save_all=True, append_images=[right])
left.save("one.mpo", save_all=True, append_images=[right])
seen = [views("one.mpo", False), views("one.mpo", True), views("one.tif", False)]
print("MPO:", seen[0], "\nMPO, loaded first:", seen[1], "\nTIFF:", seen[2])
both = [(150, 200), (150, 200)]
if seen != [[(150, 200), "image file is truncated (0 bytes not processed)"], both, both]:
    sys.exit("this behaviour has changed")
PYTHON
