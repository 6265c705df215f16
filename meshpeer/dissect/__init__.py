"""Our frames and packets as scapy layers, for whoever looks at the air."""
