"""What every service shares: settings, app factory, health, metrics, errors, logging, database, HTTP clients."""
