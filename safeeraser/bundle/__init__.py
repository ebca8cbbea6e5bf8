"""Runs that compare, as a folder that a browser opens from the disk: no server, no request."""
