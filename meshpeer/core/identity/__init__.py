"""Keys, certificates, seals."""
