"""The drivers that come with the platform, one module each. They are found by their entry points, not imported here."""
