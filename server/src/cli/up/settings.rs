//! Where an embedded stack keeps its things and listens.

use crate::cli::failure::Failure;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, clap::Args)]
pub(in crate::cli) struct StackArgs {
    /// Where the stack keeps everything
    #[arg(
        long,
        env = "MUSTER_HOME",
        hide_env_values = true,
        value_name = "DIR",
        default_value = ".muster"
    )]
    home: PathBuf,
    /// Where API and console listen
    #[arg(
        long,
        env = "MUSTER_LISTEN",
        hide_env_values = true,
        value_name = "ADDRESS",
        default_value = "127.0.0.1:7400"
    )]
    listen: SocketAddr,
    /// Where agents connect to; the next port, if not given
    #[arg(
        long,
        env = "MUSTER_AGENT_LISTEN",
        hide_env_values = true,
        value_name = "ADDRESS"
    )]
    agent_listen: Option<SocketAddr>,
    /// The image registry that the example's images are in
    #[arg(
        long,
        env = "MUSTER_REGISTRY",
        hide_env_values = true,
        value_name = "ADDRESS",
        default_value = super::repository::EXAMPLE_REGISTRY
    )]
    registry: String,
    /// The cell's name; it stands on every container
    #[arg(
        long,
        env = "MUSTER_CELL",
        hide_env_values = true,
        default_value = "local"
    )]
    cell: String,
    /// Whom to tell what happens, as for `muster serve --notify` (docs/notifications.md)
    #[arg(
        long,
        env = "MUSTER_NOTIFY",
        hide_env_values = true,
        value_name = "FILE"
    )]
    notify: Option<PathBuf>,
}

/// The same, resolved.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// Absolute.
    pub(super) home: PathBuf,
    pub(super) listen: SocketAddr,
    pub(super) agent_listen: SocketAddr,
    pub(super) registry: String,
    pub(super) cell: String,
    /// Absolute.
    pub(super) notify: Option<PathBuf>,
    /// What runs as control plane and agent: this program.
    pub(super) program: PathBuf,
}

impl StackArgs {
    pub(super) fn resolve(&self) -> anyhow::Result<Settings> {
        let agent_listen = match self.agent_listen {
            Some(address) => address,
            None => match self.listen.port().checked_add(1) {
                Some(port) if self.listen.port() != 0 => SocketAddr::new(self.listen.ip(), port),
                _ => {
                    return Err(Failure::untried(
                        format!("MUSTER_LISTEN={} leaves no port for agents", self.listen),
                        "Give a port from 1 to 65534: agents connect to the one after it.",
                    )
                    .into());
                }
            },
        };
        Ok(Settings {
            home: std::path::absolute(&self.home)?,
            listen: self.listen,
            agent_listen,
            registry: self.registry.clone(),
            cell: self.cell.clone(),
            notify: self.notify.as_ref().map(std::path::absolute).transpose()?,
            program: std::env::current_exe()?,
        })
    }
}

impl Settings {
    /// How the API is reached from this machine.
    pub(super) fn url(&self) -> String {
        format!("http://{}", reachable(self.listen))
    }

    /// How the agent of this stack reaches its control plane.
    pub(super) fn agent_url(&self) -> String {
        format!("https://{}", reachable(self.agent_listen))
    }

    pub(super) fn repository(&self) -> PathBuf {
        self.home.join("repo.git")
    }

    pub(super) fn env_file(&self) -> PathBuf {
        self.home.join("env")
    }

    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.home.join("log").join(format!("{name}.log"))
    }

    pub(super) fn serve_home(&self) -> PathBuf {
        self.home.join("serve")
    }

    pub(super) fn agent_home(&self) -> PathBuf {
        self.home.join("agent")
    }

    /// Makes the home's folders, readable by their owner alone: keys and tokens are in them.
    pub(super) fn make_folders(&self) -> anyhow::Result<()> {
        use std::os::unix::fs::DirBuilderExt;
        let make = |folder: &Path| {
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)
                .map_err(|error| {
                    Failure::untried(
                        format!("the folder {} cannot be made: {error}", folder.display()),
                        "Give another place: MUSTER_HOME=/some/folder",
                    )
                })
        };
        make(&self.home)?;
        for name in ["log", "serve", "agent"] {
            make(&self.home.join(name))?;
        }
        Ok(())
    }

    /// Fails where somebody else listens on one of the ports.
    pub(super) fn check_ports(&self) -> Result<(), Failure> {
        for (address, what, variable) in [
            (self.listen, "API and console", "MUSTER_LISTEN"),
            (self.agent_listen, "agents", "MUSTER_AGENT_LISTEN"),
        ] {
            let Err(error) = TcpListener::bind(address) else {
                continue;
            };
            let other = SocketAddr::new(address.ip(), address.port().wrapping_add(100).max(1024));
            return Err(if error.kind() == std::io::ErrorKind::AddrInUse {
                Failure::untried(
                    format!(
                        "port {} for {what} is taken: something else listens on {address}",
                        address.port()
                    ),
                    format!("End it, or take another port:  {variable}={other} make up"),
                )
            } else {
                Failure::untried(
                    format!("nothing can listen on {address} for {what}: {error}"),
                    format!("Take another address:  {variable}={other} make up"),
                )
            });
        }
        Ok(())
    }
}

/// An address that listens on all interfaces is reached on the loopback one.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::from(std::net::Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::from(std::net::Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(listen: &str, agent: Option<&str>) -> anyhow::Result<Settings> {
        StackArgs {
            home: PathBuf::from(".muster"),
            listen: listen.parse().unwrap(),
            agent_listen: agent.map(|address| address.parse().unwrap()),
            registry: "127.0.0.1:5000".to_owned(),
            cell: "local".to_owned(),
            notify: None,
        }
        .resolve()
    }

    #[test]
    fn agents_get_the_next_port() {
        let settings = settings("0.0.0.0:7400", None).unwrap();
        assert_eq!(settings.agent_listen, "0.0.0.0:7401".parse().unwrap());
        assert_eq!(settings.url(), "http://127.0.0.1:7400");
        assert_eq!(settings.agent_url(), "https://127.0.0.1:7401");
        assert!(settings.home.is_absolute());
    }

    #[test]
    fn the_last_port_leaves_none_for_agents() {
        for listen in ["127.0.0.1:65535", "127.0.0.1:0"] {
            assert!(settings(listen, None).is_err());
        }
        assert!(settings("127.0.0.1:65535", Some("127.0.0.1:7401")).is_ok());
    }

    #[test]
    fn a_taken_port_is_named_with_a_way_out() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let failure = settings(&address, Some("127.0.0.1:1"))
            .unwrap()
            .check_ports()
            .unwrap_err();
        assert!(failure.message.contains(&address), "{failure}");
        assert!(failure.hint.contains("MUSTER_LISTEN="), "{}", failure.hint);
    }
}
