"""The peers: each server as its own documentation starts it, in an environment of its own."""
