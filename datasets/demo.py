"""The embedded data: films people tweeted ratings of in 2013 (MovieTweetings, 10-core)."""

from __future__ import annotations

from dataclasses import replace
from importlib import resources

from .read import LoadedLog, read_log


def load_demo() -> LoadedLog:
    """The 10-core of the MovieTweetings 100K snapshot: 2,059 users, 1,099 films, 44,613 ratings from 0 to 10.

    Films have title, year and genres; times are Unix seconds of 2013. MIT licence, see embedded/NOTICE.

    Source: S. Dooms, T. De Pessemier, L. Martens, MovieTweetings: a Movie Rating Dataset Collected From Twitter,
    CrowdRec at RecSys 2013.
    """
    with resources.as_file(resources.files(__package__) / "embedded") as folder:
        loaded = read_log(folder)
    return replace(loaded, layout="embedded MovieTweetings 2013, 10-core")
