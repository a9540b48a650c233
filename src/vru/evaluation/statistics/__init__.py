"""From independent units to bounds."""
