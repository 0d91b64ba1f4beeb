//! How things are written for people: times, sizes, rates, ids. Pure functions of their arguments.

use jiff::Timestamp;
use muster_schemas::plan::Revision;
use muster_schemas::spec::Mbps;

/// How long ago `at` was, in words such as `3 min ago`. What lies ahead by less than the clocks may differ is `just now`.
pub fn ago(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second() - at.as_second();
    if (-4..5).contains(&seconds) {
        return "just now".to_owned();
    }
    let words = coarse(seconds.unsigned_abs());
    if seconds < 0 {
        format!("in {words}")
    } else {
        format!("{words} ago")
    }
}

/// A length of time in its largest unit: `42 s`, `3 min`, `5 h`, `12 d`.
pub fn coarse(seconds: u64) -> String {
    match seconds {
        0..=59 => format!("{seconds} s"),
        60..=3_599 => format!("{} min", seconds / 60),
        3_600..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A length of time in its two largest units: `1 min 12 s`, `830 ms`.
pub fn duration(millis: u64) -> String {
    let seconds = millis / 1000;
    match seconds {
        0 => format!("{millis} ms"),
        1..=9 => format!("{}.{} s", seconds, millis % 1000 / 100),
        10..=59 => format!("{seconds} s"),
        60..=3_599 => pair(seconds / 60, "min", seconds % 60, "s"),
        3_600..=86_399 => pair(seconds / 3_600, "h", seconds % 3_600 / 60, "min"),
        _ => pair(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    }
}

fn pair(large: u64, large_unit: &str, small: u64, small_unit: &str) -> String {
    if small == 0 {
        format!("{large} {large_unit}")
    } else {
        format!("{large} {large_unit} {small} {small_unit}")
    }
}

/// The time between two instants, as [`duration`]; nothing where they are in the wrong order.
pub fn between(from: Timestamp, to: Timestamp) -> String {
    u64::try_from(to.as_millisecond() - from.as_millisecond())
        .map_or_else(|_| "0 ms".to_owned(), duration)
}

/// An instant to the second in UTC, for the hover text: `2026-11-23 15:04:05 UTC`.
pub fn absolute(at: Timestamp) -> String {
    format!("{} UTC", at.strftime("%Y-%m-%d %H:%M:%S"))
}

/// An instant on a clock that is so many minutes ahead of UTC: `2026-11-23 15:04:05`.
pub fn on_clock(at: Timestamp, minutes_ahead: i32) -> String {
    let shifted = at + jiff::SignedDuration::from_mins(minutes_ahead.into());
    shifted.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// The time of day in UTC to the millisecond, for log lines: `15:04:05.123`.
pub fn clock(at: Timestamp) -> String {
    at.strftime("%H:%M:%S%.3f").to_string()
}

/// Bytes with a binary unit and at most one decimal: `512 MiB`, `1.5 GiB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut unit = 0;
    let mut scaled = count as f64;
    // 1023.95 and above would be written as 1024.0.
    while scaled >= 1023.95 && unit + 1 < UNITS.len() {
        scaled /= 1024.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{count} B")
    } else {
        format!("{} {}", decimal(scaled), UNITS[unit])
    }
}

/// A part of a number of bytes in the unit of the whole: `58 / 128 GiB`.
pub fn bytes_of(part: u64, whole: u64) -> String {
    let whole = bytes(whole);
    let unit = whole.rsplit_once(' ').map_or("B", |(_, unit)| unit);
    let size = match unit {
        "KiB" => 1_u64 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        "PiB" => 1 << 50,
        _ => 1,
    };
    format!("{} / {whole}", decimal(part as f64 / size as f64))
}

/// A rate in bytes a second: `1.2 MB/s`.
pub fn rate(bytes_per_second: u64) -> String {
    const UNITS: [&str; 4] = ["B/s", "KB/s", "MB/s", "GB/s"];
    let mut unit = 0;
    let mut scaled = bytes_per_second as f64;
    while scaled >= 999.95 && unit + 1 < UNITS.len() {
        scaled /= 1000.0;
        unit += 1;
    }
    format!("{} {}", decimal(scaled), UNITS[unit])
}

/// CPUs from thousandths: `0.25`, `32`.
pub fn cpus(millis: u32) -> String {
    format!("{}", f64::from(millis) / 1000.0)
}

/// A bandwidth: `100 Mbps`, `10 Gbps`.
pub fn bandwidth(Mbps(megabits): Mbps) -> String {
    if megabits >= 1000 {
        format!("{} Gbps", decimal(f64::from(megabits) / 1000.0))
    } else {
        format!("{megabits} Mbps")
    }
}

/// A number with at most one decimal, without a trailing `.0`.
pub fn decimal(number: f64) -> String {
    let text = format!("{number:.1}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

/// A count with thin separators: `12,480`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A noun with its number: `1 task`, `3 tasks`.
pub fn counted(number: u64, noun: &str) -> String {
    if number == 1 {
        format!("1 {noun}")
    } else {
        format!("{} {noun}s", count(number))
    }
}

/// The part in hundredths of the whole, from 0 to 100; 0 of nothing is 0.
pub fn percent(part: u64, whole: u64) -> u32 {
    if whole == 0 {
        return 0;
    }
    let hundredths = u128::from(part) * 100 / u128::from(whole);
    u32::try_from(hundredths.min(100)).unwrap_or(100)
}

/// The first 8 characters of a hash or an id: enough to tell apart what a person sees on one page.
pub fn short(id: &str) -> &str {
    id.get(..8).unwrap_or(id)
}

/// The last 8 characters of an attempt's id: its first ones are the time, and alike in neighbours.
pub fn short_attempt(id: &str) -> &str {
    let start = id.len().saturating_sub(8);
    id.get(start..).unwrap_or(id)
}

/// The digest of an image by digest, short: `sha256:0123abcd` becomes `0123abcd`. None without one.
pub fn short_digest(image: &str) -> Option<&str> {
    let (_, digest) = image.rsplit_once("@sha256:")?;
    digest.get(..digest.len().min(8))
}

/// What a person calls an image: its name without the registry, and its tag where it has one.
pub fn image_name(image: &str) -> &str {
    let image = image.split_once('@').map_or(image, |(name, _)| name);
    match image.split_once('/') {
        // A first part with a dot, a colon or `localhost` is a registry.
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => rest,
        _ => image,
    }
}

/// The name of `Name <address>`.
pub fn author(text: &str) -> &str {
    text.split_once('<')
        .map_or(text, |(name, _)| name.trim_end())
}

/// A revision in one line for hover texts.
pub fn revision_title(revision: &Revision) -> String {
    format!(
        "{}\n{}\nby {}, {}",
        revision.subject,
        revision.commit,
        revision.author,
        absolute(revision.committed_at)
    )
}

/// A word of the API for people: `crash_loop` becomes `crash loop`.
pub fn word(snake: &str) -> String {
    snake.replace('_', " ")
}

/// The first letter large: for sentences that the API writes as clauses.
pub fn sentence(clause: &str) -> String {
    let mut characters = clause.chars();
    characters
        .next()
        .map(|first| first.to_uppercase().chain(characters).collect())
        .unwrap_or_default()
}

/// A sentence in parts, each with whether it is code: what stands between backticks is. A backtick without its partner is kept as it
/// is.
pub fn marked(sentence: &str) -> Vec<(bool, &str)> {
    let parts: Vec<&str> = sentence.split('`').collect();
    if parts.len().is_multiple_of(2) {
        return vec![(false, sentence)];
    }
    let places = parts.into_iter().enumerate();
    places
        .map(|(place, part)| (place % 2 == 1, part))
        .filter(|(_, part)| !part.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_may_be_ahead_or_behind() {
        let at: Timestamp = "2026-11-23T23:30:05Z".parse().expect("a time");
        assert_eq!(on_clock(at, 0), "2026-11-23 23:30:05");
        assert_eq!(on_clock(at, 60), "2026-11-24 00:30:05");
        assert_eq!(on_clock(at, -210), "2026-11-23 20:00:05");
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).expect("in range")
    }

    #[test]
    fn times_are_told_by_their_largest_unit() {
        for (seconds, expected) in [
            (0, "just now"),
            (4, "just now"),
            (5, "5 s ago"),
            (59, "59 s ago"),
            (60, "1 min ago"),
            (3_599, "59 min ago"),
            (3_600, "1 h ago"),
            (172_799, "47 h ago"),
            (172_800, "2 d ago"),
            (-3, "just now"),
            (-90, "in 1 min"),
        ] {
            assert_eq!(ago(at(0), at(seconds)), expected, "{seconds}");
        }
    }

    #[test]
    fn durations_have_two_units_at_most() {
        for (millis, expected) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (2_110, "2.1 s"),
            (59_999, "59 s"),
            (60_000, "1 min"),
            (72_000, "1 min 12 s"),
            (5_400_000, "1 h 30 min"),
            (90_000_000, "1 d 1 h"),
        ] {
            assert_eq!(duration(millis), expected);
        }
        assert_eq!(between(at(1), at(0)), "0 ms");
    }

    #[test]
    fn sizes_and_rates_have_units() {
        for (count, expected) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (536_870_912, "512 MiB"),
            (1_073_741_823, "1 GiB"),
        ] {
            assert_eq!(bytes(count), expected);
        }
        assert_eq!(bytes(u64::MAX), "16384 PiB");
        assert_eq!(bytes_of(62_277_025_792, 137_438_953_472), "58 / 128 GiB");
        assert_eq!(bytes_of(0, 0), "0 / 0 B");
        assert_eq!(rate(0), "0 B/s");
        assert_eq!(rate(1_250_000), "1.2 MB/s");
        assert_eq!(rate(999_999), "1 MB/s");
        assert_eq!(cpus(250), "0.25");
        assert_eq!(cpus(32_000), "32");
        assert_eq!(bandwidth(Mbps(100)), "100 Mbps");
        assert_eq!(bandwidth(Mbps(2_500)), "2.5 Gbps");
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_000), "1,000");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(counted(1, "task"), "1 task");
        assert_eq!(counted(2_000, "task"), "2,000 tasks");
        assert_eq!(percent(1, 0), 0);
        assert_eq!(percent(u64::MAX, 1), 100);
        assert_eq!(percent(1, 3), 33);
    }

    #[test]
    fn images_are_called_by_name_and_digest() {
        let image = "registry.example.com:5000/shop/web@sha256:0123456789abcdef";
        assert_eq!(image_name(image), "shop/web");
        assert_eq!(short_digest(image), Some("01234567"));
        assert_eq!(image_name("localhost/web:1"), "web:1");
        assert_eq!(image_name("shop/web:1.2"), "shop/web:1.2");
        assert_eq!(image_name("busybox"), "busybox");
        assert_eq!(short_digest("busybox:1"), None);
        assert_eq!(short_digest("busybox@sha256:ab"), Some("ab"));
    }

    #[test]
    fn odd_texts_do_no_harm() {
        assert_eq!(short(""), "");
        assert_eq!(short("äöüäöü"), "äöüä");
        assert_eq!(short_attempt("é"), "é");
        assert_eq!(author("Ada Lovelace <ada@example.com>"), "Ada Lovelace");
        assert_eq!(author("ada"), "ada");
        assert_eq!(sentence("it runs"), "It runs");
        assert_eq!(sentence(""), "");
        assert_eq!(word("crash_loop"), "crash loop");
    }

    #[test]
    fn instants_are_told_in_utc() {
        assert_eq!(absolute(at(0)), "2023-11-14 22:13:20 UTC");
        assert_eq!(clock(at(0)), "22:13:20.000");
    }

    #[test]
    fn names_in_a_sentence_are_code() {
        for (text, parts) in [
            ("It runs", vec![(false, "It runs")]),
            ("", vec![]),
            (
                "The window `nights` is shut, `web` waits",
                vec![
                    (false, "The window "),
                    (true, "nights"),
                    (false, " is shut, "),
                    (true, "web"),
                    (false, " waits"),
                ],
            ),
            ("`web` waits", vec![(true, "web"), (false, " waits")]),
            ("one ` alone", vec![(false, "one ` alone")]),
            ("`web` and ` alone", vec![(false, "`web` and ` alone")]),
        ] {
            assert_eq!(marked(text), parts, "{text}");
        }
        let reason = muster_schemas::plan::HoldReason::OutOfTime {
            window: Some("nights".to_owned()),
            until: None,
        };
        let reason = reason.to_string();
        assert!(marked(&reason).contains(&(true, "nights")), "{reason}");
    }
}
