//! A GET or a POST over plain HTTP/1.1, enough for pages of our own on loopback.

use anyhow::{Context, Result, ensure};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A page on loopback that takes longer than this is an error, not slow.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// The body of `http://address/path`.
///
/// # Errors
/// When the page cannot be had or its status is not 200; the error has the status line and the body.
pub fn get(address: &str, path: &str) -> Result<String> {
    ask("GET", address, path, "")
}

/// What `http://address/path` answers to a POST without a body.
///
/// # Errors
/// As [`get`].
pub fn post(address: &str, path: &str) -> Result<String> {
    ask("POST", address, path, "")
}

/// What `http://address/path` answers to a POST of this.
///
/// # Errors
/// As [`get`].
pub fn post_json(address: &str, path: &str, body: &str) -> Result<String> {
    ask("POST", address, path, body)
}

fn ask(method: &str, address: &str, path: &str, body: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address).with_context(|| format!("connect to {address}"))?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").context("an HTTP answer has a head")?;
    let status = head.lines().next().unwrap_or_default();
    ensure!(status.split(' ').nth(1) == Some("200"), "{method} {address}{path}: {status}\n{body}");
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    Ok(if chunked { unchunked(body)? } else { body.to_owned() })
}

fn unchunked(mut rest: &str) -> Result<String> {
    let mut body = String::new();
    loop {
        let (size, after) = rest.split_once("\r\n").context("a chunk begins with its size")?;
        let size = usize::from_str_radix(size.trim(), 16)?;
        if size == 0 {
            return Ok(body);
        }
        body.push_str(after.get(..size).context("a chunk is as long as it says")?);
        rest = after.get(size + 2..).context("a chunk ends with a line break")?;
    }
}
