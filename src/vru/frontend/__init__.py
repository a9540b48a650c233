"""The page: a FastAPI server for the built React application, whose source is in ``web``."""
