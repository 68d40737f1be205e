"""The service: recognition over HTTP, with a page for people (extra `serve`)."""
