"""Docker and Compose: their containers as facts, whether they are healthy, and the logs that outlive them."""
