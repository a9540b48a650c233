"""Who may use the platform: users, passwords, sessions."""
