"""Search over the API: what is held here, what neighbours hold, and what turns up later."""

import pytest

from meshpeer.cli.client import Api
from meshpeer.errors import NotFoundError, UsageError
from meshpeer.node.chain_facade import Post
from meshpeer.node.file_facade import Publication
from tests.api.running import running


@pytest.fixture
def peer(tmp_path):
    with running(tmp_path) as peer:
        yield peer


@pytest.fixture
def api(peer):
    return Api(peer.state)


def say(api, text, **more):
    return api.post("posts", body={"text": text, **more})


def look(api, words, **filters):
    return api.post("search", body={"query": {"words": words, **filters}})


def test_a_post_is_found_with_its_words_marked_and_counted(peer, api):
    posted = say(api, "The well on the hill has water again", tags=["water"], language="en")
    say(api, "Nothing to see")
    found = look(api, "watre hill")
    (hit,) = found["hits"]
    assert hit["record"]["id"] == posted["id"]
    assert "on the «hill» has" in hit["marked"]
    assert found["instead"] == {"watre": "water"}
    assert (found["total"], found["more"], found["cut"], found["next"]) == (
        1,
        False,
        False,
        None,
    )
    assert found["facets"]["tags"] == [{"value": "water", "count": 1}]
    assert found["facets"]["languages"] == [{"value": "en", "count": 1}]
    me = posted["author"]["id"]
    assert look(api, "", who=[me], kinds=["post"])["total"] == 2


def test_pages_follow_one_another_without_gap_or_repeat(api):
    for number in range(5):
        say(api, f"water {number}")
    body = {"query": {"words": "water"}, "limit": 2}
    pages = [api.post("search", body=body)]
    while pages[-1]["next"]:
        pages.append(api.post("search", body={**body, "after": pages[-1]["next"]}))
    texts = [hit["record"]["text"] for page in pages for hit in page["hits"]]
    assert texts == [f"water {number}" for number in range(4, -1, -1)]


def test_a_withdrawn_post_is_found_no_more(api):
    posted = say(api, "water")
    api.post("records", str(posted["number"]), "withdraw", body={})
    assert look(api, "water", kinds=["post"])["total"] == 0


def test_a_standing_search_tells_what_turns_up(peer, api):
    say(api, "water, long ago")
    api.post("searches", body={"name": "wells", "query": {"words": "water"}})
    (standing,) = api.get("searches")["items"]
    assert (standing["name"], standing["query"]["words"]) == ("wells", "water")
    posted = say(api, "water, now")
    peer.hears("found", name="wells", id=posted["id"])
    api.delete("searches", "wells")
    assert api.get("searches")["items"] == []
    with pytest.raises(NotFoundError):
        api.delete("searches", "wells")


@pytest.mark.parametrize(
    "query",
    [{"words": "x" * 600}, {"tags": [""]}, {"smallest": -1}, {"kinds": ["post"] * 17}],
)
def test_what_is_no_search_is_refused_with_a_reason(api, query):
    with pytest.raises(UsageError, match="search"):
        api.post("search", body={"query": query})


def test_a_cursor_that_never_was_is_refused(api):
    with pytest.raises(UsageError, match="page"):
        api.post("search", body={"query": {}, "after": "x"})


def test_neighbours_are_asked_and_what_they_tell_is_marked_so(peer, api):
    bob = peer.mesh.settle("bob")
    bob.wait(bob.service.post(Post("Water at the old mill")))
    say(api, "water here")
    with peer.meets(bob):
        found = api.post("search", body={"query": {"words": "water"}, "near": True})
    told = [(hit["record"]["text"], hit["near"]) for hit in found["hits"]]
    assert told == [("water here", False), ("Water at the old mill", True)]
    assert found["hits"][1]["record"]["author"]["id"] == bob.id
    assert found["hits"][1]["marked"] == "«Water» at the old mill"


def test_what_a_neighbour_holds_now_counts_as_held(peer, api, tmp_path):
    bob = peer.mesh.settle("bob")
    path = tmp_path / "well.txt"
    path.write_bytes(b"water\n" * 20_000)
    published = bob.wait(
        bob.service.publish(Publication(str(path), description="the old well"))
    )
    peer.knows(bob)
    bob.knows(peer)
    with peer.meets(bob):
        peer.hears("record", id=published.record.id)
        assert look(api, "well")["total"] == 1
        held = look(api, "well", held=True)
        assert [hit["record"]["name"] for hit in held["hits"]] == ["well.txt"]
    assert look(api, "well", held=True)["hits"] == []
