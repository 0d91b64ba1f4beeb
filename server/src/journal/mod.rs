//! The journal: the only room with SQL.
