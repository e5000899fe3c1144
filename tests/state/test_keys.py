"""Keys: the seed's form, injective whatever is put into them, and quick."""

import timeit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from holdfast.contract.errors import (
    InvalidKey,
    InvalidScopeIdentifier,
    InvalidScopeKey,
    ScopeRequired,
    ServiceRequired,
)
from holdfast.state.keys import AREAS, ScopedKeys, ScopeOptions, escape_glob

HOSTILE = st.one_of(
    st.text(max_size=20),
    st.text(alphabet=":*?[]{}\\ab1-_kv\n\0", max_size=12),
    st.sampled_from(["kv", "1:ws:2", "org_1", "org_12", "{a}", "*", "", "a" * 300, "\ud800"]),
    st.integers(),
)
NAMES = st.one_of(st.sampled_from(["org", "ws", "kv", "counter", "o:w", "", "org*"]), HOSTILE)


@pytest.mark.row("D-021", "D-154")
def test_the_seeds_keys_byte_for_byte() -> None:
    keys = ScopedKeys("api-server", "igniter:store").scope("organization", "org_123")
    assert keys.build("kv", "settings:theme") == (
        "igniter:store:api-server:organization:org_123:kv:settings:theme"
    )
    assert ScopedKeys("service", "igniter:store").build("kv", "user:1") == (
        "igniter:store:service:kv:user:1"
    )
    assert ScopedKeys("api").build("counter", "hits") == "holdfast:state:api:counter:hits"


@pytest.mark.row("D-135")
def test_identifiers_become_text_and_the_stem_is_joined_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    joins: list[int] = []
    made = ScopedKeys.__post_init__

    def counted(self: ScopedKeys) -> None:
        joins.append(1)
        made(self)

    monkeypatch.setattr(ScopedKeys, "__post_init__", counted)
    keys = ScopedKeys("api").scope("org", 12)
    joins.clear()
    space = keys.area("kv")
    built = {space(f"k{n}") for n in range(1000)}
    assert len(built) == 1000
    assert all(":org:12:" in key for key in built)
    assert joins == []


def test_the_collision_of_the_reference_product() -> None:
    # scope("org", "1:ws:2") read what scope("org", "1").scope("ws", "2") had written.
    keys = ScopedKeys("api")
    with pytest.raises(InvalidScopeIdentifier):
        keys.scope("org", "1:ws:2")
    # The same by way of a scope that is called like an area.
    with pytest.raises(InvalidScopeKey):
        keys.scope("kv", "x")


@pytest.mark.row("D-020", "D-190")
@given(
    chains=st.lists(st.lists(st.tuples(NAMES, HOSTILE), max_size=3), min_size=2, max_size=2),
    areas=st.lists(st.sampled_from(AREAS), min_size=2, max_size=2),
    user=st.lists(st.text(min_size=1, max_size=20), min_size=2, max_size=2),
    services=st.lists(st.sampled_from(["a", "b", "a.b"]), min_size=2, max_size=2),
)
@example([[("org", "1")], []], ["kv", "kv"], ["y", "org:1:kv:y"], ["a", "a"])
def test_two_places_never_share_a_key(
    chains: list[list[tuple[str, str]]], areas: list[str], user: list[str], services: list[str]
) -> None:
    places, keys = [], []
    for chain, area, key, service in zip(chains, areas, user, services, strict=True):
        scoped = ScopedKeys(service)
        try:
            for name, identifier in chain:
                scoped = scoped.scope(name, identifier)
            keys.append(scoped.build(area, key))
        except (InvalidScopeKey, InvalidScopeIdentifier, InvalidKey):
            return  # Refused: it reaches nobody.
        places.append((service, scoped.chain, area, key))
    assert (places[0] == places[1]) == (keys[0] == keys[1])


@pytest.mark.row("D-158")
@pytest.mark.parametrize(
    "identifier", ["a:b", "*", "a\n", "a\0", "", "a[b", "a?", "{a", "a}", "\\", "x" * 257, "\ud800"]
)
def test_identifiers_that_could_reach_further_are_refused(identifier: str) -> None:
    with pytest.raises(InvalidScopeIdentifier) as caught:
        ScopedKeys("api").scope("org", identifier)
    assert caught.value.code == "INVALID_SCOPE_IDENTIFIER"
    assert len(identifier) < 3 or identifier not in str(caught.value)


@pytest.mark.row("D-061")
@pytest.mark.parametrize("identifier", ["", None, True, float("nan"), 1.5, b"a", object()])
def test_identifiers_are_texts_or_whole_numbers(identifier: object) -> None:
    with pytest.raises(InvalidScopeIdentifier):
        ScopedKeys("api").scope("org", identifier)  # type: ignore[arg-type]


@pytest.mark.row("D-061", "D-065")
def test_order_counts_and_numbers_are_their_text() -> None:
    keys = ScopedKeys("api")
    one = keys.scope("org", 1).scope("ws", 2).build("kv", "a")
    other = keys.scope("ws", 2).scope("org", 1).build("kv", "a")
    assert one != other
    assert keys.scope("org", 1).build("kv", "a") == keys.scope("org", "1").build("kv", "a")


@pytest.mark.row("D-105")
@pytest.mark.parametrize("service", ["", "a:b", "a b", "*", None, 5])
def test_services_have_plain_names(service: object) -> None:
    with pytest.raises(ServiceRequired):
        ScopedKeys(service)  # type: ignore[arg-type]


@pytest.mark.row("D-124")
def test_keys_have_a_limit() -> None:
    space = ScopedKeys("api").area("kv")
    assert space("k" * 60_000)
    for wrong in ("", "k" * 70_000, 5, "\ud800", None):
        with pytest.raises(InvalidKey):
            space(wrong)  # type: ignore[arg-type]


@pytest.mark.row("D-062", "D-107")
def test_scopes_that_were_not_declared() -> None:
    declared = ScopedKeys("api", declared={"org": ScopeOptions()})
    with pytest.raises(InvalidScopeKey) as caught:
        declared.scope("xyz", 1)
    assert caught.value.details["known"] == ["org"]
    assert ScopedKeys("api").scope("xyz", 1).chain == (("xyz", "1"),)


@pytest.mark.row("D-064")
def test_a_required_scope_is_asked_for_at_use() -> None:
    keys = ScopedKeys("api", declared={"org": ScopeOptions(required=True), "ws": ScopeOptions()})
    with pytest.raises(ScopeRequired) as caught:
        keys.build("kv", "a")
    assert caught.value.details["missing"] == ["org"]
    assert keys.scope("ws", 1).scope("org", 2).build("kv", "a")


@pytest.mark.row("D-164")
def test_two_hundred_scopes() -> None:
    keys = ScopedKeys("api")
    for number in range(200):
        keys = keys.scope(f"level{number}", number)
    assert keys.build("kv", "a").count(":level") == 200


def test_hash_tags_hold_what_a_scope_has_in_common() -> None:
    keys = ScopedKeys("api", hash_tags="scope").scope("org", 1)
    assert keys.build("kv", "a{b}") == "{holdfast:state:api:org:1}:kv:a{b}"


def test_patterns_never_read_the_stem_as_a_pattern() -> None:
    assert escape_glob("a*b?c[d]\\") == r"a\*b\?c\[d\]\\"
    assert ScopedKeys("api").area("kv").pattern("user:*") == "holdfast:state:api:kv:user:*"


@pytest.mark.row("D-022")
def test_a_key_costs_one_look_however_deep_it_is() -> None:
    # 0.16 µs on a quiet machine; joining two hundred scopes anew costs many times that.
    keys = ScopedKeys("api")
    for number in range(200):
        keys = keys.scope(f"level{number}", number)
    space = keys.area("kv")
    parts = [keys.prefix, keys.service, *(one for entry in keys.chain for one in entry), "kv", "k"]
    built = min(timeit.repeat(lambda: space("settings:theme"), number=2000, repeat=7))
    joined = min(timeit.repeat(lambda: ":".join(parts), number=2000, repeat=7))
    assert built < joined / 2, (built, joined)
