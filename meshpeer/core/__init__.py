"""The protocol, sans-IO: bytes, events and a time in; bytes, events and timers out."""
