"""The commands of `vru` that have to do with a server, one module a group. Each is imported when it is called."""
