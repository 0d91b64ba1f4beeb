//! Times as people read them.

use jiff::Timestamp;

/// How long ago, in its largest unit that says enough: `45s`, `12m`, `5h`, `3d`. What lies ahead (clocks differ a little)
/// counts as now.
pub fn age(now: Timestamp, then: Timestamp) -> String {
    let seconds = now.duration_since(then).as_secs().max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// How long until then: `in 12s`, or `now`.
pub fn ahead(now: Timestamp, then: Timestamp) -> String {
    if then <= now {
        "now".to_owned()
    } else {
        format!("in {}", age(then, now))
    }
}

/// A time with its age: `2026-11-22T10:00:00Z (5m ago)`.
pub fn with_age(now: Timestamp, then: Timestamp) -> String {
    format!("{} ({} ago)", seconds(then), age(now, then))
}

/// A time to the second, in UTC.
pub fn seconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_has_one_unit() {
        let now: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
        for (then, expect) in [
            ("2026-11-22T10:00:05Z", "0s"),
            ("2026-11-22T09:58:01Z", "119s"),
            ("2026-11-22T09:58:00Z", "2m"),
            ("2026-11-22T08:00:00Z", "2h"),
            ("2026-11-20T10:00:00Z", "2d"),
            ("1970-01-01T00:00:00Z", "20779d"),
        ] {
            assert_eq!(age(now, then.parse().unwrap()), expect, "{then}");
        }
        assert_eq!(
            ahead(now, "2026-11-22T10:00:12Z".parse().unwrap()),
            "in 12s"
        );
        assert_eq!(ahead(now, now), "now");
    }
}
