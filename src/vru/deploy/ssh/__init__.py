"""One SSH connection to the server: host keys, login, jump hosts, sudo, channels."""
