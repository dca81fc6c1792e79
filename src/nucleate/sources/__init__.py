"""Models of any maker, in memory or in files, as sources of parameters, one at a time. Nothing here measures them."""

__all__: list[str] = []
