//! Recurring stretches of time, by days and times of day in a time zone. The time zones are the ones that this crate was built
//! with, so that the same window is the same stretch everywhere.

use jiff::civil::Weekday;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, ToSpan, Zoned};
use muster_schemas::spec::{Day, DisruptionWindow, TimeOfDay, Window, WindowEffect};
use std::sync::LazyLock;

static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// A window comes back within a week; one more day each way for those over midnight and for changes of the clock.
const DAYS_LOOKED_AT: i64 = 9;

/// The time zone of an IANA name, if there is one.
pub fn zone(name: &str) -> Option<TimeZone> {
    ZONES.get(name).ok()
}

/// Why plans may not go ahead by themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shut {
    /// The `deny` window, or none where no `allow` window is open.
    pub window: Option<String>,
    /// When they may, if that is within the next days.
    pub until: Option<Timestamp>,
}

/// Whether plans may go ahead by themselves at `now`.
///
/// # Errors
///
/// Which window is against it, and until when.
pub fn open_at(windows: &[Window], now: Timestamp) -> Result<(), Shut> {
    let Err(window) = judge(windows, now) else {
        return Ok(());
    };
    // Whether it is open changes only where a window begins or ends.
    let mut edges: Vec<Timestamp> = windows
        .iter()
        .flat_map(|window| stretches(window, now))
        .flat_map(|(begin, end)| [begin, end])
        .filter(|edge| *edge > now)
        .collect();
    edges.sort_unstable();
    let until = edges.into_iter().find(|edge| judge(windows, *edge).is_ok());
    Err(Shut { window, until })
}

/// Whether one of the windows of a disruption budget is open at `now`; true where there are none.
///
/// # Errors
///
/// When one opens, if that is within the next days.
pub fn open_within(windows: &[DisruptionWindow], now: Timestamp) -> Result<(), Option<Timestamp>> {
    if windows.is_empty() {
        return Ok(());
    }
    let allow: Vec<Window> = windows
        .iter()
        .map(|window| Window {
            name: String::new(),
            effect: WindowEffect::Allow,
            days: window.days.clone(),
            from: window.from,
            to: window.to,
            time_zone: window.time_zone.clone(),
        })
        .collect();
    open_at(&allow, now).map_err(|shut| shut.until)
}

/// The name of the window that is against it; none where no `allow` window is open.
fn judge(windows: &[Window], at: Timestamp) -> Result<(), Option<String>> {
    let open = |effect: WindowEffect| {
        windows
            .iter()
            .filter(move |window| window.effect == effect)
            .find(|window| {
                stretches(window, at)
                    .iter()
                    .any(|(begin, end)| *begin <= at && at < *end)
            })
    };
    if let Some(deny) = open(WindowEffect::Deny) {
        return Err(Some(deny.name.clone()));
    }
    let any_allow = windows
        .iter()
        .any(|window| window.effect == WindowEffect::Allow);
    if any_allow && open(WindowEffect::Allow).is_none() {
        return Err(None);
    }
    Ok(())
}

/// The window's stretches around `now`, as begin and end.
fn stretches(window: &Window, now: Timestamp) -> Vec<(Timestamp, Timestamp)> {
    // A name that is not known does not get past the checks; a window in no time zone is none.
    let Some(zone) = zone(&window.time_zone) else {
        return Vec::new();
    };
    let today = now.to_zoned(zone.clone()).date();
    let at = |date: jiff::civil::Date, time: TimeOfDay| -> Option<Zoned> {
        let minutes = i64::from(time.0);
        date.at(0, 0, 0, 0)
            .checked_add(minutes.minutes())
            .ok()?
            .to_zoned(zone.clone())
            .ok()
    };
    (-2..DAYS_LOOKED_AT)
        .filter_map(|offset| {
            let date = today.checked_add(offset.days()).ok()?;
            if !window.days.is_empty() && !window.days.contains(&day(date.weekday())) {
                return None;
            }
            let last = if window.to <= window.from {
                date.tomorrow().ok()?
            } else {
                date
            };
            let begin = at(date, window.from)?.timestamp();
            let end = at(last, window.to)?.timestamp();
            Some((begin, end))
        })
        .collect()
}

fn day(weekday: Weekday) -> Day {
    match weekday {
        Weekday::Monday => Day::Mon,
        Weekday::Tuesday => Day::Tue,
        Weekday::Wednesday => Day::Wed,
        Weekday::Thursday => Day::Thu,
        Weekday::Friday => Day::Fri,
        Weekday::Saturday => Day::Sat,
        Weekday::Sunday => Day::Sun,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn window(effect: WindowEffect, days: &[Day], from: &str, to: &str, zone: &str) -> Window {
        Window {
            name: format!("{effect:?}").to_lowercase(),
            effect,
            days: days.to_vec(),
            from: from.parse().unwrap(),
            to: to.parse().unwrap(),
            time_zone: zone.to_owned(),
        }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_window_over_midnight_begins_on_its_day() {
        // 2026-11-27 is a Friday; Vienna is an hour ahead of UTC then.
        let deny = [window(
            WindowEffect::Deny,
            &[Day::Fri],
            "22:00",
            "06:00",
            "Europe/Vienna",
        )];
        for (time, open) in [
            ("2026-11-27T20:59:59Z", true),
            ("2026-11-27T21:00:00Z", false),
            ("2026-11-28T04:59:59Z", false),
            ("2026-11-28T05:00:00Z", true),
            ("2026-11-28T22:00:00Z", true),
        ] {
            assert_eq!(open_at(&deny, at(time)).is_ok(), open, "{time}");
        }
        let shut = open_at(&deny, at("2026-11-27T23:00:00Z")).unwrap_err();
        assert_eq!(shut.until, Some(at("2026-11-28T05:00:00Z")));
    }

    #[test]
    fn outside_all_allow_windows_it_waits_for_the_next_one() {
        let days = [Day::Mon, Day::Tue, Day::Wed, Day::Thu];
        let mut windows = vec![window(
            WindowEffect::Allow,
            &days,
            "09:00",
            "16:00",
            "America/New_York",
        )];
        let friday = at("2026-11-27T15:00:00Z");
        let shut = open_at(&windows, friday).unwrap_err();
        assert_eq!(shut.window, None);
        // Monday at nine in New York.
        assert_eq!(shut.until, Some(at("2026-11-30T14:00:00Z")));
        // A deny window has the last word.
        windows.push(window(
            WindowEffect::Deny,
            &[Day::Mon],
            "00:00",
            "12:00",
            "America/New_York",
        ));
        let shut = open_at(&windows, friday).unwrap_err();
        assert_eq!(shut.until, Some(at("2026-11-30T17:00:00Z")));
    }

    #[test]
    fn one_that_never_opens_says_no_time() {
        let windows = [window(WindowEffect::Deny, &[], "00:00", "24:00", "UTC")];
        let shut = open_at(&windows, at("2026-11-27T15:00:00Z")).unwrap_err();
        assert_eq!(shut.until, None);
    }

    #[test]
    fn a_day_that_lacks_an_hour_or_has_it_twice_is_no_gap() {
        // Clocks in Vienna go forward on 2027-03-28 and back on 2026-10-25, between two and three.
        let nightly = [window(
            WindowEffect::Deny,
            &[],
            "02:30",
            "03:30",
            "Europe/Vienna",
        )];
        assert!(open_at(&nightly, at("2027-03-28T01:10:00Z")).is_ok());
        assert!(open_at(&nightly, at("2027-03-28T01:31:00Z")).is_ok());
        assert!(open_at(&nightly, at("2026-10-25T00:45:00Z")).is_err());
        assert!(open_at(&nightly, at("2026-10-25T02:15:00Z")).is_err());
    }

    proptest! {
        /// What is said of the end holds: shut until then, open at it.
        #[test]
        fn it_opens_when_it_says(
            from in 0u16..1440, to in 0u16..=1440, days in prop::collection::vec(0usize..7, 0..4),
            deny in any::<bool>(), second in 0i64..(3600 * 24 * 400), zone in 0usize..3,
        ) {
            let week = [Day::Mon, Day::Tue, Day::Wed, Day::Thu, Day::Fri, Day::Sat, Day::Sun];
            let windows = [Window {
                name: "w".into(),
                effect: if deny { WindowEffect::Deny } else { WindowEffect::Allow },
                days: days.into_iter().map(|day| week[day]).collect(),
                from: TimeOfDay(from),
                to: TimeOfDay(to),
                time_zone: ["UTC", "Europe/Vienna", "Asia/Kathmandu"][zone].to_owned(),
            }];
            let now = at("2026-01-01T00:00:00Z") + jiff::SignedDuration::from_secs(second);
            if let Err(shut) = open_at(&windows, now)
                && let Some(until) = shut.until
            {
                prop_assert!(until > now);
                prop_assert!(open_at(&windows, until).is_ok());
                let before = until - jiff::SignedDuration::from_secs(1);
                prop_assert!(before < now || open_at(&windows, before).is_err());
            }
        }
    }
}
