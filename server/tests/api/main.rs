//! The API over a cell in memory: routes, auth, errors, the watch, logs, metrics, and the server around them.

mod access;
mod cell;
mod commands;
mod hooks;
mod http;
mod logs;
mod past;
mod routes;
mod sessions;
mod watch;
