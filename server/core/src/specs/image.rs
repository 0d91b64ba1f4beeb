//! The syntax of image references: `[registry[:port]/]name[:tag][@sha256:digest]`.

use super::report::quoted;

/// What is wrong with a reference, and what to write.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadImage {
    pub message: String,
    pub help: String,
}

/// Registries refuse longer names.
const MAX_NAME_CHARS: usize = 255;

/// Checks a reference's syntax. Whether there is such an image is found out when the plan is made.
pub(super) fn check(image: &str) -> Result<(), BadImage> {
    let bad = |message: String, help: &str| {
        Err(BadImage {
            message,
            help: help.to_owned(),
        })
    };
    let shape = "write `registry/name:tag` or `registry/name@sha256:…`, such as registry.example.com/shop/web:1.4.2";
    if image.is_empty() {
        return bad("`image` is empty".to_owned(), shape);
    }
    if let Some(scheme) = ["https://", "http://", "docker://"]
        .iter()
        .find(|scheme| image.starts_with(**scheme))
    {
        return bad(
            format!("an image reference does not begin with `{scheme}`"),
            "leave it away",
        );
    }
    if image.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return bad(format!("{} holds white space", quoted(image)), shape);
    }
    let (rest, digest) = match image.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (image, None),
    };
    if let Some(digest) = digest {
        let hex = digest.strip_prefix("sha256:").unwrap_or_default();
        let good = hex.len() == 64
            && hex
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if !good {
            return bad(
                format!("{} is not a digest", quoted(digest)),
                "a digest is `sha256:` and 64 digits from 0 to f",
            );
        }
    }
    // The last colon after the last slash begins the tag; one before it belongs to the registry's port.
    let name_start = rest.rfind('/').map_or(0, |slash| slash + 1);
    let (name, tag) = match rest[name_start..].find(':') {
        Some(colon) => (
            &rest[..name_start + colon],
            Some(&rest[name_start + colon + 1..]),
        ),
        None => (rest, None),
    };
    if let Some(tag) = tag {
        let good = (1..=128).contains(&tag.len())
            && tag
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
            && !tag.starts_with(['.', '-']);
        if !good {
            return bad(
                format!("{} is not a tag", quoted(tag)),
                "a tag is made of letters, digits, `_`, `.` and `-`, at most 128, and begins with none of the last two",
            );
        }
    }
    check_name(name)?;
    if tag.is_none() && digest.is_none() {
        return bad(
            format!("{} names neither a tag nor a digest", quoted(image)),
            "add the tag that you mean, such as `:1.4.2`; a tag stays on its digest until a commit changes this field",
        );
    }
    Ok(())
}

/// Checks the registry and the repository's path.
fn check_name(name: &str) -> Result<(), BadImage> {
    let bad = |message: String, help: &str| {
        Err(BadImage {
            message,
            help: help.to_owned(),
        })
    };
    if name.len() > MAX_NAME_CHARS {
        return bad(
            "the image's name is too long".to_owned(),
            "it can have at most 255 characters",
        );
    }
    let (registry, path) = match name.split_once('/') {
        // As everywhere: the first part is a registry only if it looks like a host.
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => {
            (Some(first), rest)
        }
        Some(_) | None => (None, name),
    };
    if let Some(registry) = registry {
        let (host, port) = match registry.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (registry, None),
        };
        let good_host = host.split('.').all(|part| {
            !part.is_empty()
                && !part.starts_with('-')
                && !part.ends_with('-')
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        });
        if !good_host || port.is_some_and(|port| port.parse::<u16>().is_err()) {
            return bad(
                format!("{} is not a registry", quoted(registry)),
                "write its host name and, if need be, its port, such as registry.example.com:5000",
            );
        }
    }
    for part in path.split('/') {
        if !is_path_part(part) {
            let help = if part.bytes().any(|b| b.is_ascii_uppercase()) {
                "image names have no upper-case letters"
            } else {
                "each part is made of lower-case letters and digits, with `.`, `_`, `__` or `-` between them"
            };
            return bad(
                format!("{} cannot be part of an image's name", quoted(part)),
                help,
            );
        }
    }
    Ok(())
}

/// Lower-case letters and digits, with one `.`, one or two `_`, or any number of `-` between them.
fn is_path_part(part: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = part.as_bytes();
    let ends = [bytes.first(), bytes.last()];
    let known = bytes
        .iter()
        .all(|b| word(*b) || matches!(b, b'.' | b'_' | b'-'));
    let runs = part
        .split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        .all(|run| matches!(run, "" | "." | "_" | "__") || run.bytes().all(|b| b == b'-'));
    known && runs && ends.iter().all(|end| end.is_some_and(|b| word(*b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_told_from_slips() {
        let digest = "a".repeat(64);
        for good in [
            "busybox:1.36",
            "library/busybox:1",
            "127.0.0.1:5000/example/web:1",
            "localhost/web:dev",
            "registry.example.com/shop/web:1.4.2",
            "ghcr.io/a/b/c_d/e__f/g--h.i:V1_x",
            &format!("registry.example.com/web@sha256:{digest}"),
            &format!("web:1@sha256:{digest}"),
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "busybox",
            "https://registry.example.com/web:1",
            "Shop/web:1",
            "web:",
            "web:-1",
            "web:a b",
            "web@sha256:abc",
            &format!("web@sha512:{digest}"),
            "registry.example.com:port/web:1",
            "registry..com/web:1",
            "/web:1",
            "web//x:1",
            "web/:1",
            "a___b:1",
            "a._b:1",
            "a-:1",
            &format!("{}:1", "a".repeat(256)),
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
