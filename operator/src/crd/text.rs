//! Durations and sizes as people write them.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::time::Duration;

/// A text that does not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Not a duration.
    #[error("{0:?} is not a duration like 100ms, 10s, 5m or 1h30m")]
    Duration(String),
    /// Not a size.
    #[error("{0:?} is not a size like 10Gi or 500M")]
    Size(String),
    /// Not a number of voters.
    #[error("{0} is not a number of voters from 1 to {max}", max = plan::PLACES_MAX)]
    Voters(u32),
}

/// A duration like `100ms` or `1h30m`. The API server has checked its form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DurationText(String);

/// The units of a duration, in milliseconds. `ms` before `m`: the longer one is tried first.
const TIME_UNITS: &[(&str, u64)] = &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
/// The units of a size, in bytes.
const SIZE_UNITS: &[(&str, u64)] = &[
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
];

impl DurationText {
    /// For defaults.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// As a length of time.
    ///
    /// # Errors
    /// It is not of the form; an object stored before the rule was may hold such a text.
    pub fn get(&self) -> Result<Duration, TextError> {
        let wrong = || TextError::Duration(self.0.clone());
        let mut rest = self.0.as_str();
        let mut total: u64 = 0;
        while !rest.is_empty() {
            let digits = rest.find(|letter: char| !letter.is_ascii_digit()).ok_or_else(wrong)?;
            let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
            let (unit, scale) =
                TIME_UNITS.iter().find(|(unit, _)| rest[digits..].starts_with(unit)).ok_or_else(wrong)?;
            total = number.checked_mul(*scale).and_then(|part| total.checked_add(part)).ok_or_else(wrong)?;
            rest = &rest[digits + unit.len()..];
        }
        if self.0.is_empty() { Err(wrong()) } else { Ok(Duration::from_millis(total)) }
    }
}

impl JsonSchema for DurationText {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "maxLength": 16, "pattern": "^([0-9]+(ms|s|m|h))+$" })
    }
}

/// A size like `10Gi`. The API server has checked its form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Size(String);

impl Size {
    /// For defaults.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// As people wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As bytes.
    ///
    /// # Errors
    /// It is not of the form.
    pub fn bytes(&self) -> Result<u64, TextError> {
        let wrong = || TextError::Size(self.0.clone());
        let digits = self.0.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(self.0.len());
        let number: u64 = self.0[..digits].parse().map_err(|_| wrong())?;
        let scale = match &self.0[digits..] {
            "" => 1,
            text => SIZE_UNITS.iter().find(|(unit, _)| *unit == text).ok_or_else(wrong)?.1,
        };
        number.checked_mul(scale).ok_or_else(wrong)
    }
}

impl JsonSchema for Size {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "maxLength": 16, "pattern": "^[1-9][0-9]*(Ki|Mi|Gi|Ti|k|M|G|T)?$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_write_them() {
        for (text, millis) in [("100ms", 100), ("2s", 2_000), ("10m", 600_000), ("1h30m", 5_400_000)] {
            assert_eq!(DurationText::of(text).get(), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "10", "ms", "1d", "-1s", "1.5s", "99999999999999999999s", "18446744073709551615h"] {
            assert_eq!(DurationText::of(text).get(), Err(TextError::Duration(text.into())));
        }
    }

    #[test]
    fn sizes_read_as_kubernetes_quantities() {
        for (text, bytes) in [("1024", 1024), ("10Gi", 10 << 30), ("500M", 500_000_000), ("1Ti", 1 << 40)] {
            assert_eq!(Size::of(text).bytes(), Ok(bytes), "{text}");
        }
        for text in ["", "Gi", "10 Gi", "1Pi", "99999999Ti"] {
            assert_eq!(Size::of(text).bytes(), Err(TextError::Size(text.into())));
        }
    }
}
