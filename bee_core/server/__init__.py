"""The server: it decides about requests, runs handlers and leaves in good order."""
