"""What keeps a platform running: status, logs, the watchdog, maintenance, restore, verification."""
