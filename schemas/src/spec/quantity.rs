//! Amounts with their units: what people write (`256MiB`, `1h30m`, `0.5`) and what the code counts in.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::str::FromStr;

/// Why a text is not an amount; the text says what was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadQuantity(pub String);

impl fmt::Display for BadQuantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl std::error::Error for BadQuantity {}

/// Takes a text and nothing else, and says what it expects: a bare `256` is told what is missing.
macro_rules! as_text {
    ($name:ident, $expected:literal) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct AsText;
                impl de::Visitor<'_> for AsText {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expected)
                    }
                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(de::Error::custom)
                    }
                }
                deserializer.deserialize_str(AsText)
            }
        }
    };
}

/// Bytes, written with a unit: `64MiB`, `2GiB`, `500MB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Bytes(pub u64);
as_text!(Bytes, "a size with its unit, such as 256MiB");

const BYTE_UNITS: [(&str, u64); 9] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("B", 1),
];

impl Bytes {
    /// So many mebibytes.
    pub const fn mib(count: u64) -> Self {
        Self(count << 20)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, size) in [
            ("TiB", 1u64 << 40),
            ("GiB", 1 << 30),
            ("MiB", 1 << 20),
            ("KiB", 1 << 10),
        ] {
            if self.0 != 0 && self.0.is_multiple_of(size) {
                return write!(f, "{}{unit}", self.0 / size);
            }
        }
        write!(f, "{}B", self.0)
    }
}

impl FromStr for Bytes {
    type Err = BadQuantity;
    fn from_str(text: &str) -> Result<Self, BadQuantity> {
        let bad = || {
            BadQuantity(format!(
                "`{text}` is not a size: write a whole number and a unit, such as 256MiB or 2GiB"
            ))
        };
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| bad())?;
        let unit = unit.trim();
        let (_, size) = BYTE_UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(bad)?;
        number.checked_mul(*size).map(Bytes).ok_or_else(bad)
    }
}

/// Thousandths of a CPU, written in CPUs: `0.5`, `2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct CpuMillis(pub u32);

impl fmt::Display for CpuMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", f64::from(self.0) / 1000.0)
    }
}

impl Serialize for CpuMillis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_multiple_of(1000) {
            serializer.serialize_u32(self.0 / 1000)
        } else {
            serializer.serialize_f64(f64::from(self.0) / 1000.0)
        }
    }
}

impl<'de> Deserialize<'de> for CpuMillis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Cpus;
        impl de::Visitor<'_> for Cpus {
            type Value = CpuMillis;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of CPUs, such as 0.5")
            }
            #[expect(
                clippy::cast_precision_loss,
                reason = "what lies beyond f64's whole numbers is refused anyway"
            )]
            fn visit_u64<E: de::Error>(self, cpus: u64) -> Result<CpuMillis, E> {
                self.visit_f64(cpus as f64)
            }
            #[expect(
                clippy::cast_precision_loss,
                reason = "negative numbers are refused anyway"
            )]
            fn visit_i64<E: de::Error>(self, cpus: i64) -> Result<CpuMillis, E> {
                self.visit_f64(cpus as f64)
            }
            fn visit_f64<E: de::Error>(self, cpus: f64) -> Result<CpuMillis, E> {
                let millis = (cpus * 1000.0).round();
                // 1,024 CPUs is more than any host that Docker runs on has today.
                if !(0.0..=1_024_000.0).contains(&millis) {
                    return Err(E::custom(format!(
                        "`{cpus}` is not a number of CPUs: write one from 0.01 to 1024, such as 0.5"
                    )));
                }
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "checked to lie in 0..=1,024,000"
                )]
                Ok(CpuMillis(millis as u32))
            }
        }
        deserializer.deserialize_f64(Cpus)
    }
}

/// A length of time in milliseconds, written `500ms`, `10s`, `5m`, `1h30m`, `2d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Millis(pub u64);
as_text!(Millis, "a length of time with its unit, such as 30s");

impl Millis {
    /// So many seconds.
    pub const fn secs(count: u64) -> Self {
        Self(count * 1000)
    }
    /// As the time library counts it.
    pub fn signed(self) -> jiff::SignedDuration {
        jiff::SignedDuration::from_millis(i64::try_from(self.0).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let mut rest = self.0;
        for (unit, size) in [
            ("d", 86_400_000),
            ("h", 3_600_000),
            ("m", 60_000),
            ("s", 1000),
            ("ms", 1),
        ] {
            let count = rest / size;
            if count > 0 {
                write!(f, "{count}{unit}")?;
                rest %= size;
            }
        }
        Ok(())
    }
}

impl FromStr for Millis {
    type Err = BadQuantity;
    fn from_str(text: &str) -> Result<Self, BadQuantity> {
        let bad = || {
            BadQuantity(format!(
                "`{text}` is not a length of time: write whole numbers and units, such as 30s, 5m or 1h30m"
            ))
        };
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err(bad());
        }
        let mut total: u64 = 0;
        let mut last = u64::MAX;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
            let number: u64 = rest[..digits].parse().map_err(|_| bad())?;
            rest = &rest[digits..];
            let end = rest
                .find(|c: char| c.is_ascii_digit())
                .unwrap_or(rest.len());
            let size = match &rest[..end] {
                "ms" => 1,
                "s" => 1000,
                "m" => 60_000,
                "h" => 3_600_000,
                "d" => 86_400_000,
                _ => return Err(bad()),
            };
            // Units go from large to small, each once, so that a slip such as `5m1h` is told.
            if size >= last {
                return Err(bad());
            }
            last = size;
            rest = &rest[end..];
            total = number
                .checked_mul(size)
                .and_then(|part| total.checked_add(part))
                .ok_or_else(bad)?;
        }
        Ok(Self(total))
    }
}

/// Network bandwidth in megabits a second, written `100Mbps` or `2Gbps`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Mbps(pub u32);
as_text!(Mbps, "a bandwidth with its unit, such as 100Mbps");

impl fmt::Display for Mbps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}Mbps", self.0)
    }
}

impl FromStr for Mbps {
    type Err = BadQuantity;
    fn from_str(text: &str) -> Result<Self, BadQuantity> {
        let bad = || {
            BadQuantity(format!(
                "`{text}` is not a bandwidth: write a whole number and a unit, such as 100Mbps or 2Gbps"
            ))
        };
        let text = text.trim();
        let (number, factor) = if let Some(number) = text.strip_suffix("Mbps") {
            (number, 1)
        } else if let Some(number) = text.strip_suffix("Gbps") {
            (number, 1000)
        } else {
            return Err(bad());
        };
        let number: u32 = number.trim().parse().map_err(|_| bad())?;
        number.checked_mul(factor).map(Mbps).ok_or_else(bad)
    }
}

/// A time of day in minutes from midnight, written `09:30`; `24:00` is the end of the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TimeOfDay(pub u16);
as_text!(TimeOfDay, "a time of day, such as 09:30");

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

impl FromStr for TimeOfDay {
    type Err = BadQuantity;
    fn from_str(text: &str) -> Result<Self, BadQuantity> {
        let bad = || {
            BadQuantity(format!(
                "`{text}` is not a time of day: write hours and minutes with two digits each, such as 09:30 or 24:00"
            ))
        };
        let two_digits = |part: &str| -> Option<u16> {
            (part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit()))
                .then(|| part.parse().ok())?
        };
        let (hours, minutes) = text.trim().split_once(':').ok_or_else(bad)?;
        let hours = two_digits(hours).ok_or_else(bad)?;
        let minutes = two_digits(minutes).ok_or_else(bad)?;
        let total = hours * 60 + minutes;
        if minutes > 59 || total > 24 * 60 {
            return Err(bad());
        }
        Ok(Self(total))
    }
}

#[cfg(feature = "describe")]
mod describe {
    use super::*;
    use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
    use std::borrow::Cow;

    macro_rules! text_schema {
        ($name:ident, $title:literal, $pattern:literal, $what:literal, [$($example:literal),+]) => {
            impl JsonSchema for $name {
                fn schema_name() -> Cow<'static, str> {
                    $title.into()
                }
                fn json_schema(_: &mut SchemaGenerator) -> Schema {
                    json_schema!({ "title": $title, "type": "string", "pattern": $pattern, "description": $what, "examples": [$($example),+] })
                }
            }
        };
    }
    text_schema!(
        Bytes,
        "Size",
        "^[0-9]+ ?(B|KB|MB|GB|TB|KiB|MiB|GiB|TiB)$",
        "A size: a whole number and a unit.",
        ["256MiB", "2GiB"]
    );
    text_schema!(
        Millis,
        "Duration",
        "^([0-9]+(ms|s|m|h|d))+$",
        "A length of time: whole numbers and units, from large to small.",
        ["500ms", "30s", "1h30m"]
    );
    text_schema!(
        Mbps,
        "Bandwidth",
        "^[0-9]+ ?(Mbps|Gbps)$",
        "A bandwidth: a whole number and a unit.",
        ["100Mbps", "2Gbps"]
    );

    text_schema!(
        TimeOfDay,
        "Time of day",
        "^([01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$",
        "A time of day: hours and minutes.",
        ["09:30", "24:00"]
    );

    impl JsonSchema for CpuMillis {
        fn schema_name() -> Cow<'static, str> {
            "Cpus".into()
        }
        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            json_schema!({ "title": "CPUs", "type": "number", "minimum": 0.01, "maximum": 1024, "description": "A number of CPUs; fractions are allowed.", "examples": [0.25, 2] })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_back_as_written() {
        for text in ["0s", "500ms", "10s", "1m30s", "1h", "2d3h"] {
            assert_eq!(text.parse::<Millis>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "10",
            "s",
            "5m1h",
            "1s1s",
            "-1s",
            "1 s",
            "99999999999999999999d",
        ] {
            assert!(text.parse::<Millis>().is_err(), "{text}");
        }
    }

    #[test]
    fn times_of_day_read_back_as_written() {
        for text in ["00:00", "09:30", "23:59", "24:00"] {
            assert_eq!(text.parse::<TimeOfDay>().unwrap().to_string(), text);
        }
        for text in [
            "", "9:30", "24:01", "12:60", "12", "-1:00", "+1:00", "12:0é",
        ] {
            assert!(text.parse::<TimeOfDay>().is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_need_a_unit() {
        assert_eq!("256MiB".parse::<Bytes>().unwrap(), Bytes::mib(256));
        assert_eq!("1GB".parse::<Bytes>().unwrap(), Bytes(1_000_000_000));
        for text in ["256", "1.5GiB", "MiB", "1 mib", "99999999999TiB"] {
            assert!(text.parse::<Bytes>().is_err(), "{text}");
        }
    }
}
