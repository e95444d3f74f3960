"""The server: what is listened on, what is wired to what, and how it starts and stops."""
