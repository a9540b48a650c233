"""What is done on the server through its host program: setup, orchestration, integration, verification."""
