"""Make pictures of pages small: 256 colours are enough for a flat design. Chromium decodes, Python writes."""

from __future__ import annotations

import base64
import struct
import zlib
from pathlib import Path

from playwright.sync_api import Page

# Count colours, keep the 256 most frequent, and give every pixel the nearest of them.
_REDUCE = """
async (encoded) => {
  const bytes = Uint8Array.from(atob(encoded), (each) => each.charCodeAt(0));
  const picture = await createImageBitmap(new Blob([bytes], {type: "image/png"}));
  const canvas = new OffscreenCanvas(picture.width, picture.height);
  const context = canvas.getContext("2d");
  context.drawImage(picture, 0, 0);
  const pixels = context.getImageData(0, 0, picture.width, picture.height).data;
  const counts = new Map();
  for (let at = 0; at < pixels.length; at += 4) {
    const colour = (pixels[at] << 16) | (pixels[at + 1] << 8) | pixels[at + 2];
    counts.set(colour, (counts.get(colour) || 0) + 1);
  }
  const palette = [...counts].sort((one, other) => other[1] - one[1]).slice(0, 256).map(([colour]) => colour);
  const places = new Map(palette.map((colour, place) => [colour, place]));
  const nearest = (colour) => {
    let best = 0, least = Infinity;
    for (let place = 0; place < palette.length; place++) {
      const red = ((palette[place] >> 16) & 255) - ((colour >> 16) & 255);
      const green = ((palette[place] >> 8) & 255) - ((colour >> 8) & 255);
      const blue = (palette[place] & 255) - (colour & 255);
      const far = red * red + green * green + blue * blue;
      if (far < least) { least = far; best = place; }
    }
    places.set(colour, best);
    return best;
  };
  const indices = new Uint8Array(picture.width * picture.height);
  for (let at = 0, to = 0; at < pixels.length; at += 4, to++) {
    const colour = (pixels[at] << 16) | (pixels[at + 1] << 8) | pixels[at + 2];
    indices[to] = places.has(colour) ? places.get(colour) : nearest(colour);
  }
  let text = "";
  for (let at = 0; at < indices.length; at += 32768) text += String.fromCharCode(...indices.subarray(at, at + 32768));
  return {width: picture.width, height: picture.height, palette, indices: btoa(text)};
}
"""


def write_small(png: bytes, file: Path, *, workshop: Page) -> None:
    """Write `png` with a palette; `workshop` is an empty page to compute in."""
    made = workshop.evaluate(_REDUCE, base64.b64encode(png).decode())
    width, height = int(made["width"]), int(made["height"])
    indices = base64.b64decode(made["indices"])
    rows = b"".join(b"\0" + indices[start : start + width] for start in range(0, width * height, width))
    palette = b"".join(struct.pack(">I", colour)[1:] for colour in made["palette"])
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0))
        + _chunk(b"PLTE", palette)
        + _chunk(b"IDAT", zlib.compress(rows, 9))
        + _chunk(b"IEND", b"")
    )


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
