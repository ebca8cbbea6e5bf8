"""What one page each draws; the scripts in `pages/` put it together."""
