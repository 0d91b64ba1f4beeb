//! What a person reads when the stack is ready.

use super::settings::Settings;
use crate::cli::env_file::quote;
use crate::control::plain_http;
use std::path::Path;

pub(super) struct Facts<'a> {
    pub(super) settings: &'a Settings,
    pub(super) token: &'a str,
    pub(super) seconds: f64,
    /// Whether the repository holds the example, or what became of it.
    pub(super) example: bool,
    pub(super) agent_connected: bool,
}

pub(super) fn text(facts: &Facts) -> String {
    let Facts {
        settings, token, ..
    } = facts;
    let env_file = quote(&relative(&settings.env_file()));
    let repository = quote(&settings.repository().to_string_lossy());
    // Beside what the stack keeps: a clone in the checkout would be in git's way there.
    let clone = quote(&relative(&settings.home.join("specs")));
    let url = settings.url();
    let program = program();
    let agent = match facts.agent_connected {
        true => "",
        false => ", without its agent so far",
    };
    let mut text = format!(
        "\nMuster is ready ({:.1} s{agent}).\n\n  Console     {url}/#token={token}\n  Repository  {repository}\n  \
         Logs        {}\n\nThree things to try, in another terminal:\n\n",
        facts.seconds,
        relative(&settings.home.join("log"))
    );
    if facts.example {
        text.push_str(&format!(
            "  1. See what runs\n       {program} get tasks\n\n  \
             2. Scale a service by a commit\n       git clone {repository} {clone}\n       \
             sed -i 's/desired: .*/desired: 5/' {clone}/jobs/web.yaml\n       \
             git -C {clone} commit -am 'Scale web to 5' && git -C {clone} push\n\n  \
             3. Kill a container and see it replaced\n       \
             docker kill \"$(docker ps -q --filter label=muster.job=web --filter label=muster.cell={} | head -n 1)\"\n       \
             {program} get tasks --job web --watch\n",
            quote(&settings.cell)
        ));
    } else {
        text.push_str(&format!(
            "  1. See the cell\n       {program} status\n\n  \
             2. Clone the repository, and push a spec to it (docs/specs.md)\n       git clone {repository} {clone}\n\n  \
             3. See what happens\n       {program} get events --watch\n"
        ));
    }
    if let Some(warning) = plain_http(settings.listen) {
        text.push_str(&format!("\nWarning: {warning}.\n"));
    }
    text.push_str(&format!(
        "\nScripts and other folders first need:  . {env_file}\n\
         Ctrl-C ends Muster; the containers go on, and the next `make up` finds them. `make down` stops them.\n"
    ));
    text
}

/// What a person reads when the stack has ended; `down` says that the cell was taken down before.
pub(super) fn farewell(down: bool) -> &'static str {
    if down {
        "Muster has ended; the cell is down.\n"
    } else {
        "Muster has ended; the containers run on. `make up` takes them up again, `make down` stops them.\n"
    }
}

/// The path from the working directory, where that is shorter to read.
fn relative(path: &Path) -> String {
    let here = std::env::current_dir().ok();
    let path = here
        .as_deref()
        .and_then(|here| path.strip_prefix(here).ok())
        .unwrap_or(path);
    path.to_string_lossy().into_owned()
}

/// This program as a person types it.
fn program() -> String {
    match std::env::current_exe() {
        Ok(path) => match relative(&path) {
            // A bare name would be looked for on the PATH.
            name if !name.contains('/') => quote(&format!("./{name}")),
            path => quote(&path),
        },
        Err(_) => "muster".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn settings(listen: &str) -> Settings {
        Settings {
            home: PathBuf::from("/srv/muster"),
            listen: listen.parse().unwrap(),
            agent_listen: "127.0.0.1:7401".parse().unwrap(),
            registry: "127.0.0.1:5000".to_owned(),
            cell: "local".to_owned(),
            notify: None,
            program: PathBuf::from("/usr/bin/muster"),
        }
    }

    fn welcome(listen: &str) -> String {
        text(&Facts {
            settings: &settings(listen),
            token: "secret",
            seconds: 1.2,
            example: true,
            agent_connected: true,
        })
    }

    #[test]
    fn who_listens_on_more_than_this_machine_is_warned_where_they_look() {
        assert!(welcome("0.0.0.0:7400").contains("\nWarning: API and console speak plain HTTP"));
        assert!(!welcome("127.0.0.1:7400").contains("Warning"));
    }

    #[test]
    fn what_is_killed_is_a_container_of_this_cell() {
        let line = "docker kill \"$(docker ps -q --filter label=muster.job=web --filter label=muster.cell=local | head -n 1)\"\n";
        assert!(welcome("127.0.0.1:7400").contains(line));
    }

    #[test]
    fn the_farewell_says_that_containers_run_on_only_where_they_do() {
        assert!(farewell(false).contains("run on. `make up`"));
        assert!(!farewell(true).contains("run on"));
    }
}
