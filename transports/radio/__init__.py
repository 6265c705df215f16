"""Radios of this machine: what they can do, and one set up for us and put back as it was.

    kernel      questions and orders to the kernel over netlink
    nl80211     radios, interfaces, stations and the regulatory domain, read from bytes
    links       links and default routes, read from bytes; a link set up or down
    machine     all of that together, with what /sys and /proc add
    planning    which radio for what is wanted, and in which way; or why not
    changing    the plan carried out, and undone
    record      the file that says what was changed, and who stands for it
    guardian    a small process that undoes it when the one that did it is gone

nl80211 is spoken here with `struct`, as `transports.netlink` speaks rtnetlink. pyroute2 0.9.7 was
tried: it is alive and pure Python, but ships no types, costs 0.15 s and 23 MB to import and 5 MB
on the disk, and its `IW` knows neither joining a mesh, nor sockets that own what they made, nor
stations' rates: all that we need would be written here anyway, in its terms.

The regulatory domain is read and never changed.
"""
