//! The control plane's side of its agents: their certificates, connections, logs and usage.
