"""Draw a QR code as SVG that stands in the page itself: no image request carries a seed."""

from __future__ import annotations

from django.utils.safestring import SafeString, mark_safe
from qrcode import QRCode
from qrcode.constants import ERROR_CORRECT_M
from qrcode.image.svg import SvgPathImage

from keys.models import TotpDevice
from keys.people.factors import provisioning_of


def qr_of(device: TotpDevice) -> SafeString:
    """Return the code that an authenticator app scans; only in a POST answer that is not stored."""
    code = QRCode(error_correction=ERROR_CORRECT_M, border=2, image_factory=SvgPathImage)
    code.add_data(provisioning_of(device).reveal())
    code.make(fit=True)
    # Numbers and path commands only: nothing of what people typed is in the drawing's markup.
    drawing: str = code.make_image().to_string(encoding="unicode")
    return mark_safe(drawing)  # noqa: S308 - see above
