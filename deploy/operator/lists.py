"""What viewers may read of recordings, page by page: /api/recordings of an edge, or of an origin's HTTP port."""
import http.client
import json
import urllib.error
import urllib.request
from urllib.parse import urlsplit

import nodes as net

PAGE_MAX = 2 << 20  # bytes
FIRST = "/api/recordings"


def is_base(url):
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and not (parts.query or parts.fragment or " " in url)
    except ValueError:
        return False


def where(url, finder):
    """The URL that pages are put behind."""
    if url is None:
        url = finder.settings.get("watch") or next((a.public for a in finder.find()[0] if a.public), None)
    if not url:
        raise net.Usage("there is no telling where viewers watch: say it with --at https://live.example, or \"watch\" of the configuration")
    if not is_base(url):
        raise net.Usage(f"--at: given '{url}', allowed is an http or https URL, e.g. https://live.example")
    return url.rstrip("/")


def read_page(url, timeout):
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:
            text = answer.read(PAGE_MAX + 1)
    except urllib.error.HTTPError as error:
        raise net.Failure(f"{url}: status {error.code}") from None
    except (OSError, http.client.HTTPException) as error:
        raise net.Failure(f"{url}: {getattr(error, 'reason', error)}") from None
    try:
        page = json.loads(text) if len(text) <= PAGE_MAX else None
    except ValueError:
        page = None
    if not isinstance(page, dict) or not isinstance(page.get("recordings"), list):
        raise net.Failure(f"{url}: that is no list of recordings")
    return page


def recordings(base, limit, timeout):
    """Each as it comes; limit 0: all. A page may have none, and a next one all the same."""
    path, told = FIRST, 0
    while path:
        page = read_page(base + path, timeout)
        for one in page["recordings"]:
            if isinstance(one, dict):
                yield one
                told += 1
                if told == limit:
                    return
        following = page.get("next")
        if following is not None and (not isinstance(following, str) or not following.startswith(FIRST + "/") or following == path):
            raise net.Failure(f"{base}{path}: its next page is none")
        path = following
