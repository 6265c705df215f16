"""What can be set of links, with the reasons for the values."""

from typing import NamedTuple


class LinkConfig(NamedTuple):
    """Limits and times of all links of one peer."""

    stream_window: int = 1 << 20
    """Bytes a stream may hold unread: 1 MiB fills 100 Mbit/s at 80 ms."""
    link_window: int = 2 << 20
    """Bytes that all streams of a link may hold unread."""
    keep_alive: float = 30.0
    """Seconds of silence after which the initiator asks whether the other is there: two packets a
    minute from each side of an idle link. The responder asks after half as long again."""
    silence_limit: float = 90.0
    """Seconds of silence after which a link is down."""
    answer_limit: float = 10.0
    """Seconds for which what was sent may stay unanswered before the link is down."""
    renew_packets: int = 1 << 20
    """Packets sealed with one key; 1.5 GB."""
    renew_time: float = 600.0
    """Seconds for which one key is used while anything is sent."""
    pending_limit: int = 256
    """Handshakes answered and not yet confirmed: 2 kB each."""
    free_rate: int = 50
    """First packets a second that are answered without a cookie: 1 % of a core."""
    cookie_rate: int = 400
    """First packets a second with a cookie that are answered beyond that: another 8 %."""
    links_limit: int = 1_024
    """Links up at a time."""
