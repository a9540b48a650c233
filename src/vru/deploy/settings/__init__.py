"""``.env.production``: its variables, what they may hold, and what follows from them."""
