"""A release as the laptop makes it: configs, images, manifest; and how its content gets to the server."""
