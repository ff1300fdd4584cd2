"""Tickets: what is one, and all that is none."""

import base64
import json
from collections.abc import Callable

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import Refusal
from service.access import tickets
from service.access.caller import Caller, Grant
from service.access.tickets import SigningKey, bearer, issue, signing_key, signing_keys

NOW = 1_800_000_000.0
SECRET = base64.urlsafe_b64encode(bytes(range(32))).decode().rstrip("=")
SEED = base64.urlsafe_b64encode(bytes(range(1, 33))).decode()
HS, ED = signing_keys(f"old:{SECRET},new:ed25519:{SEED}")
KEYS = {key.kid: key for key in (HS, ED)}
CLAIMS = {
    "aud": "fanlight", "iat": NOW, "exp": NOW + 300, "jti": "tk_" + "a" * 22, "tenant": "acme", "key": "web",
    "scopes": ["read"], "stream": "st_1",
}  # fmt: skip


def granted(**members) -> Grant:
    return Grant(**{"jti": "tk_" + "a" * 22, "expires": NOW + 300, "stream": "st_1", **members})


def signed(claims: dict | None = None, *, key: SigningKey = HS, header: dict | None = None, **changed) -> str:
    told = {name: value for name, value in {**(claims or CLAIMS), **changed}.items() if value is not ...}
    return jwt.encode(told, key.private, algorithm=key.algorithm, headers={"kid": key.kid, **(header or {})})


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def public_as_secret() -> str:
    """Key confusion: the public key, which everybody may know, used as a secret for HS256."""
    raw = ED.public.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return jwt.encode(CLAIMS, raw, algorithm="HS256", headers={"kid": "new"})


def with_header(header: dict) -> str:
    _, body, signature = signed().split(".")
    return ".".join([part(header), body, signature])


def bent(place: int) -> str:
    parts = signed().split(".")
    parts[place] = ("A" if parts[place][3] != "A" else "B").join([parts[place][:3], parts[place][4:]])
    return ".".join(parts)


@pytest.mark.parametrize("key", [HS, ED])
def test_a_ticket_says_what_its_bearer_may_do(key: SigningKey):
    origins = frozenset(["https://app.example"])
    ticket = issue(key, Caller("acme", key="web", origins=origins), granted(), ["read"], NOW)
    caller = bearer(ticket, KEYS, NOW)
    assert (caller.tenant, caller.key, caller.scopes, caller.origins) == ("acme", "web", {"read"}, origins)
    assert caller.grant is not None
    assert (caller.grant.stream, caller.expires, caller.grant.replay) == ("st_1", NOW + 300, "full")


FORGED: dict[str, Callable[[], str]] = {
    "no signature": lambda: ".".join([*signed().split(".")[:2], ""]),
    "alg none": lambda: f"{part({'alg': 'none', 'kid': 'old', 'typ': 'JWT'})}.{part(CLAIMS)}.",
    "alg None, in other letters": lambda: f"{part({'alg': 'nOnE', 'kid': 'old'})}.{part(CLAIMS)}.",
    "alg none, with a signature": lambda: with_header({"alg": "none", "kid": "old"}),
    "another secret": lambda: signed(key=signing_key("old", base64.urlsafe_b64encode(b"x" * 32).decode())),
    "an empty secret": lambda: jwt.encode(CLAIMS, b"\0" * 32, algorithm="HS256", headers={"kid": "old"}),
    "another algorithm with the same secret": lambda: jwt.encode(
        CLAIMS, bytes(range(32)) * 2, algorithm="HS512", headers={"kid": "old"}
    ),
    "HS384": lambda: jwt.encode(CLAIMS, bytes(range(32)) * 2, algorithm="HS384", headers={"kid": "old"}),
    "a public key as the secret": public_as_secret,
    "another private key": lambda: signed(
        key=SigningKey("new", "EdDSA", Ed25519PrivateKey.generate(), ED.public)
    ),
    "the other key's kid": lambda: signed(header={"kid": "new"}),
    "an unknown kid": lambda: signed(header={"kid": "nobody"}),
    "a kid that climbs": lambda: signed(header={"kid": "../../dev/null"}),
    "a kid that is no text": lambda: with_header({"alg": "HS256", "kid": ["old"]}),
    "no kid": lambda: with_header({"alg": "HS256"}),
    "an embedded key": lambda: signed(key=signing_key("old", SEED), header={"jwk": {"kty": "oct", "k": SEED}}),
    "a critical header": lambda: signed(header={"crit": ["b64"], "b64": False}),
    "bent header": lambda: bent(0),
    "bent claims": lambda: bent(1),
    "bent signature": lambda: bent(2),
    "truncated": lambda: signed()[:-10],
    "two parts": lambda: ".".join(signed().split(".")[:2]),
    "four parts": lambda: signed() + ".x",
    "a fifth of JWE": lambda: signed() + ".x.y",
    "over-long": lambda: signed(session="s" * 4096),
    "wrong audience": lambda: signed(aud="other"),
    "one of two audiences": lambda: signed(aud=["fanlight", "other"]),
    "no audience": lambda: signed(aud=...),
    "no expiry": lambda: signed(exp=...),
    "no iat": lambda: signed(iat=...),
    "no jti": lambda: signed(jti=...),
    "a jti of another form": lambda: signed(jti="1"),
    "issued in the future": lambda: signed(iat=NOW + 31),
    "not yet": lambda: signed(nbf=NOW + 31),
    "for longer than a day": lambda: signed(iat=NOW - 10, exp=NOW + 86_400),
    "for ever": lambda: signed(exp=float("1e300")),
    "expiry as a text": lambda: signed(exp="4000000000"),
    "expiry that is no number": lambda: signed(exp=None),
    "no tenant": lambda: signed(tenant=...),
    "a scope that is none": lambda: signed(scopes=["everything"]),
    "a claim that is none of ours": lambda: signed(admin=True),
    "not JSON": lambda: "eyJ.eyJ.x",
    "empty": lambda: "",
}  # fmt: skip


@pytest.mark.parametrize("name", FORGED)
def test_what_was_not_signed_here_for_this_is_no_ticket(name: str):
    with pytest.raises(Refusal) as caught:
        bearer(FORGED[name](), KEYS, NOW)
    assert caught.value.code == "unauthenticated"


@pytest.mark.parametrize(("late", "code"), [(299.9, None), (300.0, "ticket_expired"), (1e9, "ticket_expired")])
def test_a_ticket_ends_exactly_when_it_says(late: float, code: str | None):
    if code is None:
        assert bearer(signed(), KEYS, NOW + late).tenant == "acme"
        return
    with pytest.raises(Refusal) as caught:
        bearer(signed(), KEYS, NOW + late)
    assert caught.value.code == code


def test_a_clock_that_is_half_a_minute_ahead_is_put_up_with():
    assert bearer(signed(iat=NOW + 29, nbf=NOW + 29), KEYS, NOW).tenant == "acme"


@given(st.text(max_size=200) | st.lists(st.text("eyJabc_-.=", max_size=40), min_size=3, max_size=3).map(".".join))
def test_no_text_does_anything_but_be_refused(text: str):
    with pytest.raises(Refusal):
        bearer(text, KEYS, NOW)


@given(st.integers(0, len(signed()) - 1))
def test_a_ticket_cut_anywhere_is_none(place: int):
    with pytest.raises(Refusal):
        bearer(signed()[:place], KEYS, NOW)


@pytest.mark.parametrize(
    "told",
    ["a", "a:b", f"a:{SECRET},a:{SECRET}", "a:rsa:xx", f"a:ed25519:{SECRET[:-6]}", f"a b:{SECRET}", "a:!!!!", "a:b:c:d"],
)  # fmt: skip
def test_keys_for_tickets_that_are_none_are_refused(told: str):
    with pytest.raises(ValueError):
        tickets.signing_keys(told)
