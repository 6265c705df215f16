"""One peer, sans-IO: links, sync and mail wired together."""
