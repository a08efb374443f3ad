//! The two facts of an X.509 certificate that the TLS library does not tell: its subject's common name and the end of
//! its validity.
//!
//! ```text
//!   Certificate ::= SEQ { TBS ::= SEQ { [0] version?, serial INT, algorithm SEQ, issuer SEQ,
//!                                       validity SEQ { from, to }, subject SEQ { SET { SEQ { OID, text } } ... } ... } ... }
//! ```
//!
//! A walk over tags and lengths. Anything unexpected ends it with `None`; nothing here decides about trust.

use rustls::pki_types::CertificateDer;
use std::time::{Duration, SystemTime};

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const VERSION: u8 = 0xa0;
const OBJECT_ID: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// 2.5.4.3, id-at-commonName.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// The subject's common name: the user's name where certificates stand for users. The last one, if there are several.
#[must_use]
pub fn common_name(certificate: &CertificateDer<'_>) -> Option<String> {
    let mut names = Der(Fields::of(certificate)?.subject);
    let mut found = None;
    while let Some(set) = names.take(SET) {
        let mut attributes = Der(set);
        while let Some(attribute) = attributes.take(SEQUENCE) {
            let mut attribute = Der(attribute);
            if attribute.take(OBJECT_ID)? == COMMON_NAME {
                found = String::from_utf8(attribute.any()?.1.to_vec()).ok();
            }
        }
    }
    found
}

/// When the certificate ends.
#[must_use]
pub fn not_after(certificate: &CertificateDer<'_>) -> Option<SystemTime> {
    let mut validity = Der(Fields::of(certificate)?.validity);
    validity.any()?;
    let (tag, text) = validity.any()?;
    let text = std::str::from_utf8(text).ok()?;
    let text = match tag {
        // RFC 5280: years 50-99 are of the last century.
        UTC_TIME if text.get(..2)? >= "50" => format!("19{text}"),
        UTC_TIME => format!("20{text}"),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let moment = jiff::civil::DateTime::strptime("%Y%m%d%H%M%SZ", text).ok()?;
    let seconds = moment.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second();
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(seconds).ok()?))
}

struct Fields<'a> {
    validity: &'a [u8],
    subject: &'a [u8],
}

impl<'a> Fields<'a> {
    fn of(certificate: &'a CertificateDer<'_>) -> Option<Self> {
        let mut body = Der(Der(Der(certificate.as_ref()).take(SEQUENCE)?).take(SEQUENCE)?);
        let (first, _) = body.any()?;
        if first == VERSION {
            body.any()?; // serial
        }
        body.take(SEQUENCE)?; // algorithm
        body.take(SEQUENCE)?; // issuer
        Some(Self { validity: body.take(SEQUENCE)?, subject: body.take(SEQUENCE)? })
    }
}

/// What is left to read.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The contents of the next item, if it has this tag.
    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        if *self.0.first()? != tag {
            return None;
        }
        self.any().map(|(_, contents)| contents)
    }

    /// The next item: tag and contents.
    fn any(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&short, rest) = rest.split_first()?;
        let (bytes, rest) = match short {
            0..=0x7f => (usize::from(short), rest),
            0x81..=0x84 => {
                let (long, rest) = rest.split_at_checked(usize::from(short & 0x7f))?;
                (long.iter().fold(0, |bytes, &b| bytes << 8 | usize::from(b)), rest)
            }
            _ => return None,
        };
        let (contents, rest) = rest.split_at_checked(bytes)?;
        self.0 = rest;
        Some((tag, contents))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::test_authority::Authority;
    use proptest::prelude::*;

    #[test]
    fn the_common_name_and_the_end_are_those_the_certificate_was_made_with() {
        let leaf = Authority::new("ca").leaf("alice", &["localhost"]);
        let der = leaf.der();
        assert_eq!(common_name(&der).unwrap(), "alice");
        let end = not_after(&der).unwrap();
        let left = end.duration_since(SystemTime::now()).unwrap();
        let day = Duration::from_secs(24 * 3600);
        assert!(left > day / 2 && left < 2 * day, "a day from now: {left:?}");
    }

    #[test]
    fn a_certificate_cut_short_tells_nothing() {
        let whole = Authority::new("ca").leaf("bob", &["localhost"]).der().to_vec();
        for bytes in 0..whole.len() {
            let cut = CertificateDer::from(whole[..bytes].to_vec());
            assert_eq!((common_name(&cut), not_after(&cut)), (None, None), "cut at {bytes}");
        }
    }

    proptest! {
        #[test]
        fn any_damage_is_walked_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let damaged = CertificateDer::from(bytes);
            prop_assert!(common_name(&damaged).is_none_or(|name| name.len() < 300));
            prop_assert!(not_after(&damaged).is_none_or(|end| end >= SystemTime::UNIX_EPOCH));
        }
    }
}
