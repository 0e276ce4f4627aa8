"""The web: turns requests into calls of services and their answers into responses."""
