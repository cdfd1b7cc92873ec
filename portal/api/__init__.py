"""Offer programs and CI what people do in the browser, as REST under /api/v1/."""
