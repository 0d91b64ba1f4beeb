//! Container runtimes: the only room that names `bollard`.
