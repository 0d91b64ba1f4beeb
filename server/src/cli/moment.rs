//! Moments of the past as people type them, and as they read them.

use crate::cli::failure::Failure;
use crate::cli::time::age;
use jiff::civil::{DateTime, Time};
use jiff::{Span, Timestamp, Zoned};
use muster_schemas::past::{AsOf, Moment};

/// What a moment looks like, for the help texts.
pub(super) const FORMS: &str = "`2026-11-20 14:00` and `14:00` (today) in your time zone, `2h ago`, `2026-11-20T14:00:00Z`, or the number of \
     a record";

/// The moment that a text names at `now`, in the time zone of `now`.
pub(super) fn moment(text: &str, now: &Zoned) -> Result<Moment, Failure> {
    let text = text.trim();
    if let Ok(seq) = text.parse::<u64>() {
        return Ok(Moment::Seq(seq));
    }
    let at = time(text, now).ok_or_else(|| {
        Failure::untried(format!("`{text}` is no time"), format!("Write {FORMS}."))
    })?;
    if at > now.timestamp() {
        return Err(Failure::untried(
            format!("{} has not come yet", local(at, now)),
            "The past can be asked about. A time without a day is one of today: write the day, too, for another.",
        ));
    }
    Ok(Moment::At(at))
}

fn time(text: &str, now: &Zoned) -> Option<Timestamp> {
    if text.ends_with("ago") {
        let back: Span = text.parse().ok()?;
        return now.checked_add(back).ok().map(|then| then.timestamp());
    }
    // Before a plain date and time: that would be read from one with an offset, too, and the offset be lost.
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at);
    }
    if let Ok(at) = text.parse::<Zoned>() {
        return Some(at.timestamp());
    }
    let civil = text
        .parse::<DateTime>()
        .or_else(|_| {
            text.parse::<Time>()
                .map(|time| now.date().to_datetime(time))
        })
        .ok()?;
    // Where the clocks were set back a time is there twice: the first is meant. One that was skipped means the one after.
    civil
        .to_zoned(now.time_zone().clone())
        .ok()
        .map(|then| then.timestamp())
}

/// A time in the reader's zone.
pub(super) fn local(at: Timestamp, now: &Zoned) -> String {
    at.to_zoned(now.time_zone().clone())
        .strftime("%Y-%m-%d %H:%M:%S %Z")
        .to_string()
}

/// Which fleet an answer is of: `as of 2026-11-20 14:00:00 CET (2h ago), record 1234`.
pub(super) fn as_of(as_of: AsOf, now: &Zoned) -> String {
    format!(
        "as of {} ({} ago), record {}",
        local(as_of.at, now),
        age(now.timestamp(), as_of.at),
        as_of.seq
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An afternoon in a zone that is two hours ahead.
    fn now() -> Zoned {
        "2026-08-20T15:30:00+02:00[Europe/Berlin]".parse().unwrap()
    }

    #[test]
    fn a_moment_can_be_written_in_several_ways() {
        let check = |text: &str, expect: &str| {
            let expect: Timestamp = expect.parse().unwrap();
            assert_eq!(moment(text, &now()).unwrap(), Moment::At(expect), "{text}");
        };
        check("2026-08-20 14:00", "2026-08-20T12:00:00Z");
        check(" 2026-08-20 14:00:03 ", "2026-08-20T12:00:03Z");
        check("2026-08-20T14:00", "2026-08-20T12:00:00Z");
        check("2026-08-20", "2026-08-19T22:00:00Z");
        check("2026-01-20 14:00", "2026-01-20T13:00:00Z");
        check("14:00", "2026-08-20T12:00:00Z");
        check("14:00:03", "2026-08-20T12:00:03Z");
        check("2h ago", "2026-08-20T11:30:00Z");
        check("90 minutes ago", "2026-08-20T12:00:00Z");
        check("1d 2h ago", "2026-08-19T11:30:00Z");
        check("2026-08-20T12:00:00Z", "2026-08-20T12:00:00Z");
        check("2026-08-20T12:00:00-01:00", "2026-08-20T13:00:00Z");
        check("2026-08-20 12:00+02", "2026-08-20T10:00:00Z");
        assert_eq!(moment("1234", &now()).unwrap(), Moment::Seq(1234));
    }

    #[test]
    fn a_time_that_is_there_twice_is_the_first_and_one_that_is_not_the_next() {
        let now: Zoned = "2026-11-20T12:00:00+01:00[Europe/Berlin]".parse().unwrap();
        let at = |text: &str| moment(text, &now).unwrap();
        assert_eq!(
            at("2026-10-25 02:30"),
            Moment::At("2026-10-25T00:30:00Z".parse().unwrap())
        );
        assert_eq!(
            at("2026-03-29 02:30"),
            Moment::At("2026-03-29T01:30:00Z".parse().unwrap())
        );
    }

    #[test]
    fn what_is_no_moment_of_the_past_is_told_with_what_to_write() {
        let told = |text: &str| {
            let failure = moment(text, &now()).unwrap_err();
            assert_eq!(failure.code, 2, "{text}");
            (failure.message, failure.hint)
        };
        for text in ["", "yesterday", "25:00", "2h", "2026-13-01", "ago", "-5"] {
            let (message, hint) = told(text);
            assert_eq!(message, format!("`{text}` is no time"));
            assert!(hint.contains("2h ago"), "{hint}");
        }
        let (message, hint) = told("16:00");
        assert_eq!(message, "2026-08-20 16:00:00 CEST has not come yet");
        assert!(hint.contains("write the day"), "{hint}");
        told("2026-08-20T13:30:01Z");
    }

    #[test]
    fn the_header_says_time_age_and_record() {
        let at = "2026-08-20T11:30:00Z".parse().unwrap();
        assert_eq!(
            as_of(AsOf { seq: 1234, at }, &now()),
            "as of 2026-08-20 13:30:00 CEST (2h ago), record 1234"
        );
    }
}
