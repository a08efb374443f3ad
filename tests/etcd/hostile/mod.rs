//! Bytes that no client and no peer of ours would send: the connection ends, the member does not.

mod flood;
mod raw;

use crate::ctl;
use anyhow::{Result, ensure};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use tests::cluster::{Cluster, Flavor};

/// Half-finished handshakes and headers are given up after ten seconds.
const GIVEN_UP_WITHIN: Duration = Duration::from_secs(15);

/// Sends the bytes and reads until the other side closes; how long that took.
fn closed_after(address: &str, bytes: &[u8]) -> Result<Duration> {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(GIVEN_UP_WITHIN))?;
    // The other side may close while we still write: that is an answer too.
    let _ = stream.write_all(bytes);
    let mut sink = [0; 4096];
    loop {
        match stream.read(&mut sink) {
            Ok(0) => return Ok(begun.elapsed()),
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
                return Ok(begun.elapsed());
            }
            Err(error) => return Err(error.into()),
        }
        ensure!(begun.elapsed() < GIVEN_UP_WITHIN, "the connection stays open");
    }
}

#[test]
fn garbage_on_either_port_ends_the_connection_and_nothing_else() -> Result<()> {
    let mut cluster = Cluster::start(Flavor::Quorate, 3, &[])?;
    let noise: Vec<u8> = (0..40_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let huge_frame = [[0xff; 16].as_slice(), &noise].concat();
    let bad_http2 = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &[0xff; 64]].concat();
    let member = cluster.members[0].client.clone();
    for bytes in [noise.as_slice(), &huge_frame, &bad_http2, b"GET / HTTP/1.1\r\nbroken header\r\n\r\n"] {
        closed_after(&member, bytes)?;
    }
    let peer = cluster.members[0].peer.clone();
    for bytes in [noise.as_slice(), &huge_frame, b"GET / HTTP/1.1\r\n\r\n", &[0; 64]] {
        closed_after(&peer, bytes)?;
    }
    for member in &mut cluster.members {
        ensure!(member.ended()?.is_none(), "{} ended", member.name);
    }
    assert_eq!(ctl(&cluster, &["put", "k", "v"])?, "OK\n");
    Ok(())
}

#[test]
fn a_client_that_never_finishes_its_request_is_given_up() -> Result<()> {
    let cluster = Cluster::start(Flavor::Quorate, 1, &[])?;
    let took = closed_after(&cluster.members[0].client, b"GET /health HTTP/1.1\r\nhost: x\r\n")?;
    ensure!(took > Duration::from_secs(1), "it had time to finish: {took:?}");
    Ok(())
}

#[test]
fn hundreds_of_silent_connections_keep_nobody_out() -> Result<()> {
    let cluster = Cluster::start(Flavor::Quorate, 1, &[])?;
    let silent =
        (0..500).map(|_| TcpStream::connect(&cluster.members[0].client)).collect::<std::io::Result<Vec<_>>>()?;
    let begun = Instant::now();
    ctl(&cluster, &["put", "k", "v"])?;
    ensure!(begun.elapsed() < Duration::from_secs(3), "a client waited {:?}", begun.elapsed());
    drop(silent);
    Ok(())
}

fn refused_at_start(flags: &[&str], words: &[&str]) -> Result<()> {
    let mut cluster = Cluster::planned(Flavor::Quorate, 1, flags)?;
    let member = &mut cluster.members[0];
    member.spawn()?;
    let status = member.wait_end(Duration::from_secs(5))?;
    ensure!(!status.success(), "{flags:?} was accepted");
    for word in words {
        ensure!(member.log().contains(word), "{flags:?}: no {word:?} in:\n{}", member.log());
    }
    Ok(())
}

#[test]
fn a_wrong_flag_is_named_with_its_value_and_what_is_allowed() -> Result<()> {
    refused_at_start(&["--no-such-flag=1"], &["no-such-flag"])?;
    refused_at_start(&["--heartbeat-interval=-5"], &["heartbeat-interval", "-5"])?;
    refused_at_start(&["--election-timeout=abc"], &["election-timeout", "abc"])?;
    refused_at_start(
        &["--heartbeat-interval=1000", "--election-timeout=1000"],
        &["election-timeout", "heartbeat-interval"],
    )?;
    refused_at_start(&["--listen-client-urls=ftp://127.0.0.1:1"], &["listen-client-urls", "ftp"])?;
    refused_at_start(&["--initial-cluster=other=http://127.0.0.1:1"], &["initial-cluster"])?;
    refused_at_start(&["--initial-cluster-state=maybe"], &["initial-cluster-state", "maybe", "new", "existing"])?;
    Ok(())
}

#[test]
fn an_unknown_field_of_the_configuration_file_is_named() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("quorate.yaml");
    std::fs::write(&file, "name: m1\nelection-timeot: 1000\n")?;
    refused_at_start(&[&format!("--config-file={}", file.display())], &["election-timeot"])
}
