//! A value of a flag's kind, read from text.

use super::address::Address;
use super::flag::Kind;
use std::time::Duration;

/// A value that is of its flag's kind and within its bounds.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Text(String),
    Bool(bool),
    Number(i128),
    Duration(Duration),
    Urls(Vec<Address>),
    List(Vec<String>),
}

/// Reads a flag's or an environment variable's text.
///
/// # Errors
/// A phrase that completes "this value ..." and says what is allowed.
pub(super) fn parse(kind: Kind, text: &str) -> Result<Value, String> {
    match kind {
        Kind::Text => Ok(Value::Text(text.to_owned())),
        Kind::Choice(words) if words.contains(&text) => Ok(Value::Text(text.to_owned())),
        Kind::Choice(words) => Err(format!("must be one of {}", quoted(words))),
        Kind::Bool => boolean(text).map(Value::Bool).ok_or_else(|| "must be true or false".to_owned()),
        Kind::Number { min, max } => number(text.parse().ok(), min, max),
        Kind::Duration { min } => duration(parse_duration(text), min),
        Kind::Urls => urls(text).map(Value::Urls),
        Kind::List => list(text.split(',').map(str::trim).filter(|word| !word.is_empty())).map(Value::List),
    }
}

fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", ")
}

/// The spellings Go's flag package takes.
fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// A number within its bounds; none is not a number at all.
pub(super) fn number(number: Option<i128>, min: i128, max: i128) -> Result<Value, String> {
    match number {
        Some(number) if (min..=max).contains(&number) => Ok(Value::Number(number)),
        Some(_) | None => Err(format!("must be a whole number from {min} to {max}")),
    }
}

/// A length of time within its bounds; none is not one at all.
pub(super) fn duration(duration: Option<Duration>, min: Duration) -> Result<Value, String> {
    let above = if min.is_zero() { "not negative" } else { "more than 0" };
    match duration {
        Some(duration) if duration >= min => Ok(Value::Duration(duration)),
        Some(_) | None => Err(format!("must be a duration such as 100ms, 5s or 1h30m, {above} and below 292 years")),
    }
}

/// URLs, each once.
pub(super) fn urls(text: &str) -> Result<Vec<Address>, String> {
    let mut urls = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let url: Address = part.parse().map_err(|error| {
            if part == text { format!("{error}") } else { format!("holds {part:?}, which {error}") }
        })?;
        if urls.contains(&url) {
            return Err(format!("names {url} twice"));
        }
        urls.push(url);
    }
    Ok(urls)
}

/// Words, each once.
pub(super) fn list<'a>(words: impl Iterator<Item = &'a str>) -> Result<Vec<String>, String> {
    let mut seen: Vec<String> = Vec::new();
    for word in words {
        if seen.iter().any(|one| one == word) {
            return Err(format!("names {word:?} twice"));
        }
        seen.push(word.to_owned());
    }
    Ok(seen)
}

/// Go's durations: numbers with units, one after the other, `1h30m`, `1.5s`, `0`. Not negative, below 2^63 ns.
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut total_ns: f64 = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        let unit_bytes = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_bytes);
        total_ns += number.parse::<f64>().ok()? * unit_ns(unit)?;
        rest = tail;
    }
    (!text.is_empty() && total_ns < i64::MAX as f64).then(|| Duration::from_nanos(total_ns as u64))
}

fn unit_ns(unit: &str) -> Option<f64> {
    match unit {
        "ns" => Some(1.0),
        "us" | "µs" | "μs" => Some(1e3),
        "ms" => Some(1e6),
        "s" => Some(1e9),
        "m" => Some(60e9),
        "h" => Some(3600e9),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_go_reads_them() {
        let ms = |text: &str| parse_duration(text).map(|duration| duration.as_micros());
        assert_eq!(ms("100ms"), Some(100_000));
        assert_eq!(ms("1h30m"), Some(5_400_000_000));
        assert_eq!(ms("1.5s"), Some(1_500_000));
        assert_eq!(ms("2us"), Some(2));
        assert_eq!(ms("0"), Some(0));
        assert_eq!(ms("0s"), Some(0));
        for bad in ["", "5", "s", "1x", "-1s", "1s2", "1..5s", "300000000h", "1e9s", "NaNs", "∞"] {
            assert_eq!(ms(bad), None, "{bad}");
        }
    }

    #[test]
    fn each_kind_says_what_it_allows() {
        let refused = |kind, text| parse(kind, text).unwrap_err();
        assert_eq!(refused(Kind::Bool, "yes"), "must be true or false");
        assert_eq!(refused(Kind::Choice(&["new", "existing"]), "old"), r#"must be one of "new", "existing""#);
        let u32 = Kind::Number { min: 0, max: 4_294_967_295 };
        for bad in ["-1", "4294967296", "99999999999999999999999999999999999999999", "1.5", "", "0x10", "ten"] {
            assert_eq!(refused(u32, bad), "must be a whole number from 0 to 4294967295", "{bad}");
        }
        assert_eq!(refused(Kind::Urls, "http://a:1,http://A:1"), "names http://a:1 twice");
        assert_eq!(
            refused(Kind::Urls, "http://a:1,b"),
            "holds \"b\", which must start with http://, https://, unix:// or unixs://"
        );
        assert_eq!(refused(Kind::List, "a,b,a"), "names \"a\" twice");
    }
}
