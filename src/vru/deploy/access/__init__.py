"""Getting into the running platform: a command in a container, a tunnel to a port."""
