"""A project: the folder that is deployed. Its files are in the repository's root, and in the wheel."""
