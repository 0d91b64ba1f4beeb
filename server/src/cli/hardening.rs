//! What is in force on a container, in words.

use muster_schemas::state::Hardening;

/// All but the bounds on CPU and memory, in one line.
pub(super) fn in_force(hardening: &Hardening) -> String {
    let yes = |flag: bool, yes: &str, no: &str| (if flag { yes } else { no }).to_owned();
    let capabilities = match hardening.capabilities.is_empty() {
        true => "no capabilities".to_owned(),
        false => format!("capabilities {}", hardening.capabilities.join(" ")),
    };
    let user = match hardening.user.is_empty() {
        true => "root".to_owned(),
        false => hardening.user.clone(),
    };
    let parts = [
        format!("user {user}"),
        capabilities,
        yes(
            hardening.no_new_privileges,
            "no new privileges",
            "NEW PRIVILEGES POSSIBLE",
        ),
        yes(hardening.read_only_root, "read-only root", "writable root"),
        format!("seccomp {}", hardening.seccomp),
        format!("AppArmor {}", hardening.apparmor),
        yes(
            hardening.user_namespace,
            "user namespace",
            "no user namespace",
        ),
        hardening
            .pids_limit
            .map_or("no limit on processes".to_owned(), |count| {
                format!("{count} processes")
            }),
    ];
    parts.join(", ")
}
