"""Handshake, packets, loss recovery, congestion, streams."""
