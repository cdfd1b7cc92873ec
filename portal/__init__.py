"""The doors: browser, REST and verification, with the wiring that holds them."""
