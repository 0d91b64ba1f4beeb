//! Git remotes: the only room that names `git2`.
