"""What is around every page: the address, the header, consent, security, style."""
