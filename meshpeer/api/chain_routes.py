"""The API's operations on chains."""

from typing import Annotated, Final

from msgspec import Meta

from meshpeer.api.route import Call, Checked, Done, Listing, Route
from meshpeer.node.chain_facade import (
    Followed,
    NewLabel,
    NewProfile,
    Post,
    Profile,
    Record,
)
from meshpeer.node.facade_types import Page


class TimelineListing(Listing, frozen=True):
    """A part of a timeline."""

    who: Annotated[str | None, Meta(description="only of this person")] = None
    kinds: Annotated[str, Meta(description="`post,file`: only these; all if empty")] = ""


class WhoseProfile(Checked, frozen=True):
    """Whose profile."""

    who: Annotated[str | None, Meta(description="a person; one's own if left out")] = None


class Quietly(Checked, frozen=True):
    """Whether to keep it to oneself."""

    quietly: Annotated[bool, Meta(description="publish no record of it")] = False


async def post(call: Call) -> Record:
    """Publish a post."""
    return await call.facade.post(call.body)


async def timeline(call: Call) -> Page[Record]:
    """List what those one follows published, newest first."""
    kinds = [kind for kind in call.query.kinds.split(",") if kind]
    return await call.facade.timeline(
        call.query.after, call.query.limit, who=call.query.who, kinds=kinds
    )


async def get_record(call: Call) -> Record:
    """Give one record."""
    return await call.facade.record(call.path["which"])


async def withdraw_record(call: Call) -> Record:
    """Take a record of one's own back; followers drop what it said."""
    return await call.facade.withdraw(call.path["which"])


async def list_follows(call: Call) -> Page[Followed]:
    """List whose chains are kept here, and why."""
    return await call.facade.follows(call.query.after, call.query.limit)


async def follow(call: Call) -> Followed:
    """Keep a person's chain here."""
    return await call.facade.follow(call.path["who"], quietly=call.body.quietly)


async def unfollow(call: Call) -> Done:
    """Keep a person's chain no more."""
    await call.facade.unfollow(call.path["who"], quietly=call.query.quietly)
    return Done()


async def get_profile(call: Call) -> Profile:
    """Give what a person says of itself and what is known of its chain."""
    return await call.facade.profile(call.query.who)


async def set_profile(call: Call) -> Profile:
    """Publish what is said of oneself."""
    return await call.facade.set_profile(call.body)


async def add_label(call: Call) -> Record:
    """Publish an opinion of a record, a person or a file."""
    return await call.facade.label(call.body)


CHAIN_ROUTES: Final = (
    Route("POST", "/posts", post, Record, body=Post),
    Route("GET", "/timeline", timeline, Page[Record], query=TimelineListing),
    Route("GET", "/records/{which}", get_record, Record),
    Route("POST", "/records/{which}/withdraw", withdraw_record, Record, body=Checked),
    Route("GET", "/follows", list_follows, Page[Followed], query=Listing),
    Route("PUT", "/follows/{who}", follow, Followed, body=Quietly),
    Route("DELETE", "/follows/{who}", unfollow, Done, query=Quietly),
    Route("GET", "/profile", get_profile, Profile, query=WhoseProfile),
    Route("PUT", "/profile", set_profile, Profile, body=NewProfile),
    Route("POST", "/labels", add_label, Record, body=NewLabel),
)
