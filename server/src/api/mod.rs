//! The public API: queries, commands, watch, metrics and the console's files.
