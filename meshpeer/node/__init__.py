"""The shell: clock, sockets and disk meet the core."""
