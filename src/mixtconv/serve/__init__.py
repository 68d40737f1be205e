"""The service: recognition over HTTP, with a page for people (extra `serve`; Linux and macOS).

Start and parts: `settings` (flags), `server` (uvicorn, sockets, signals), `connections` (limits for
clients that are slow, do not read or flood), `app` (the ASGI application), `service` (what is open
while it runs, temporary files), `metrics` (Prometheus).

A request passes `guard` (token and limits), `routes` (addresses), `requests` and `answers`
(schemas, uploads) or `sources` (allowed files and URLs), and `recognition`, which has the video
decoded (`decoder_pool` here, `decoder_process` in another process) and batches it with others
(`batching`); `events` finds events in its frames or windows. `errors` has the codes of all errors.

`live` recognizes streams over WebSockets; `page` serves the page and the description of the API
from `static/` and `templates/`.
"""
