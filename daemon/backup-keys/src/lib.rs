//! The file with the keys that backups are encrypted with: one on a line, 32 bytes in hexadecimal or base64. The first
//! one encrypts, all of them decrypt. Empty lines, and what follows a `#`, mean nothing.
//!
//! Members use the file, and the operator looks whether a Secret holds one before people find out by missing backups:
//! both have to mean the same by it. Nothing that is said here repeats what is in the file.

/// The bytes of a secret.
pub const SECRET_BYTES: usize = 32;

/// More than anybody rotates through while snapshots live; beyond it the file is another one.
pub const KEYS_MAX: usize = 64;

/// The secret that a key is.
pub type Secret = [u8; SECRET_BYTES];

/// Why a text is no such file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// There is no key in it.
    #[error("holds no key: 32 bytes in hexadecimal or base64 on a line, as from openssl rand -hex 32")]
    Empty,
    /// This line, from 1, is something else.
    #[error("line {0} is no key: 32 bytes in hexadecimal or base64, as from openssl rand -hex 32")]
    Line(usize),
    /// This line has a key that was there before: somebody who wanted to rotate did not.
    #[error("line {0} is a key that an earlier line has")]
    Twice(usize),
    /// There are more than [`KEYS_MAX`].
    #[error("has more than {KEYS_MAX} keys")]
    TooMany,
}

/// The secrets of a file, the one that encrypts first; at least one.
///
/// # Errors
/// [`Problem`], the first one.
pub fn secrets(text: &str) -> Result<Vec<Secret>, Problem> {
    let mut secrets = Vec::new();
    for (at, line) in (1..).zip(text.lines()) {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let secret = secret(line).ok_or(Problem::Line(at))?;
        if secrets.contains(&secret) {
            return Err(Problem::Twice(at));
        }
        if secrets.len() == KEYS_MAX {
            return Err(Problem::TooMany);
        }
        secrets.push(secret);
    }
    if secrets.is_empty() { Err(Problem::Empty) } else { Ok(secrets) }
}

fn secret(text: &str) -> Option<Secret> {
    let bytes = if text.len() == 2 * SECRET_BYTES { hexadecimal(text) } else { base64(text) };
    bytes?.try_into().ok()
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().map(|digit| u8::try_from(digit.to_digit(16)?).ok()).collect();
    Some(digits?.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

/// The usual alphabet, with or without the padding of one group that is not full. Bits left over must be 0.
fn base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    if text.len() - digits.len() > 2 {
        return None;
    }
    let (mut bytes, mut group, mut bits) = (Vec::new(), 0_u32, 0);
    for digit in digits.bytes() {
        group = group << 6 | u32::from(sextet(digit)?);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(group >> bits).ok()?);
            group &= (1 << bits) - 1;
        }
    }
    (group == 0 && bits < 6).then_some(bytes)
}

fn sextet(digit: u8) -> Option<u8> {
    match digit {
        b'A'..=b'Z' => Some(digit - b'A'),
        b'a'..=b'z' => Some(digit - b'a' + 26),
        b'0'..=b'9' => Some(digit - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    const BASE64: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const OTHER: &str = "//////////////////////////////////////////8=";

    #[test]
    fn a_key_is_the_same_in_both_spellings_and_the_first_one_comes_first() {
        let counting: Secret = std::array::from_fn(|at| u8::try_from(at).expect("32 are few"));
        let one = Ok(vec![counting]);
        assert_eq!(secrets(HEX), one);
        assert_eq!(secrets(&format!("# ours\n\n  {BASE64}  # since November\n")), one);
        assert_eq!(secrets(BASE64.trim_end_matches('=')), one);
        assert_eq!(secrets(&HEX.to_uppercase()), one);
        assert_eq!(secrets(&format!("{OTHER}\r\n{HEX}")), Ok(vec![[0xff; SECRET_BYTES], counting]));
    }

    #[test]
    fn what_is_no_key_is_refused_by_its_line_and_not_repeated() {
        let short = &HEX[2..];
        for (text, says) in [
            ("", "holds no key"),
            ("# only words\n", "holds no key"),
            (short, "line 1 is no key"),
            (&format!("{HEX}\n{HEX}00"), "line 2 is no key"),
            (&format!("{HEX}\n{BASE64}"), "line 2 is a key that an earlier line has"),
            (&HEX.replace('a', "x"), "line 1 is no key"),
            (&BASE64.replace("8=", "9="), "line 1 is no key"),
            (&format!("{BASE64}=="), "line 1 is no key"),
            ("passphrase", "line 1 is no key"),
        ] {
            let refused = secrets(text).expect_err(text).to_string();
            assert!(refused.starts_with(says) && !refused.contains("0405") && !refused.contains("phrase"), "{refused}");
        }
        let line = |number: usize| format!("{number:064x}\n");
        assert_eq!(secrets(&(0..KEYS_MAX).map(line).collect::<String>()).map(|all| all.len()), Ok(KEYS_MAX));
        assert_eq!(secrets(&(0..=KEYS_MAX).map(line).collect::<String>()), Err(Problem::TooMany));
    }
}
