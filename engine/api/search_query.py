"""What is searched for: the form of a search, checked in full before anything is looked at."""

import json
import re

from engine.api.filters import filter_invalid, search_filter
from engine.api.forms import Form
from engine.errors import ApiError, invalid
from engine.store.where import Where
from engine.work.budget import tokens_in
from engine.work.search import OPTIONS, WAYS, Query

MAX_TEXT_TOKENS = 500
MAX_IMAGES = 10
_ENTITY = re.compile(r"<@([^<>]*)>")


def read_query(form: Form) -> Query:
    """Check a search's parameters.

    Raises:
        ApiError: with the code and the parameter's name.
    """
    form.needed("index_id")
    options = tuple(dict.fromkeys(form.texts("search_options")))
    if not options:
        form.needed("search_options")
    for option in options:
        if option not in OPTIONS:
            raise ApiError("search_option_not_supported", f"The search_options parameter takes {', '.join(OPTIONS)}.")
    text = form.text("query_text") or ""
    urls, files = tuple(form.texts("query_media_url")), form.files.get("query_media_file", [])
    if not text.strip() and not urls and not files:
        raise ApiError("parameter_not_provided", "One of query_text, query_media_url and query_media_file is required.")
    if tokens_in(text) > MAX_TEXT_TOKENS:
        raise ApiError("token_limit_exceeded", f"The query_text parameter has more than {MAX_TEXT_TOKENS} tokens.")
    if urls or files:
        if _choice(form, "query_media_type", ("image",), "") != "image":
            form.needed("query_media_type")
        if len(urls) + len(files) > MAX_IMAGES:
            raise invalid(f"At most {MAX_IMAGES} images can be searched for.")
        if not all(one.incoming.size for one in files):
            raise invalid("The query_media_file parameter is empty.")
        if "visual" not in options:
            raise ApiError("search_option_combination_not_supported", "Images are searched with the visual option.")
    return Query(
        options,
        _ways(form, options),
        _ENTITY.sub(" ", text).strip(),
        tuple(match.strip() for match in _ENTITY.findall(text)),
        urls,
        _choice(form, "group_by", ("clip", "video"), "clip"),
        _choice(form, "operator", ("or", "and"), "or"),
        _page_limit(form),
        _filter(form),
        form.flag("include_user_metadata", False),
    )


def _choice(form: Form, name: str, allowed: tuple[str, ...], default: str) -> str:
    value = form.text(name) or default
    if value and value not in allowed:
        raise invalid(f"The {name} parameter must be one of {', '.join(allowed)}.")
    return value


def _ways(form: Form, options: tuple[str, ...]) -> tuple[str, ...]:
    ways = tuple(dict.fromkeys(form.texts("transcription_options")))
    if any(way not in WAYS for way in ways):
        raise invalid(f"The transcription_options parameter takes {', '.join(WAYS)}.")
    if ways and "transcription" not in options:
        raise ApiError(
            "search_option_combination_not_supported", "transcription_options needs the search option transcription."
        )
    return ways or WAYS


def _page_limit(form: Form) -> int:
    text = form.text("page_limit") or "10"
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    if not 1 <= number <= 50:
        raise invalid("The page_limit parameter must be a whole number from 1 to 50.")
    return number


def _filter(form: Form) -> Where:
    text = form.text("filter")
    if text is None:
        return Where()
    try:
        wanted = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise filter_invalid("it must be a JSON object") from exc
    if not isinstance(wanted, dict):
        raise filter_invalid("it must be a JSON object")
    return search_filter(wanted)
