"""The rules themselves, what listens here, ufw, and the take-back of what nobody confirms."""
