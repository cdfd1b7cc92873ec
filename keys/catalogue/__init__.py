"""Keep the catalogue: services, scopes, environments, templates and the rules that hold for them."""
