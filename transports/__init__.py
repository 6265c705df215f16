"""Datagrams in and out of the machine; each way is a small plug-in behind one interface."""

OWNER = "meshpeer"
