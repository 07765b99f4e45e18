"""An adapter becomes the champion, and is withdrawn: decision, adapter → one commit, two tags.

Each act is a commit whose message says in trailers what it did; tags in GTO's format follow from it. The commit is
made in a working tree of its own, so that a crash before it is on the branch leaves no trace, and a crash after it is
mended by the next run, which does what the commit says and is not done yet.
"""
