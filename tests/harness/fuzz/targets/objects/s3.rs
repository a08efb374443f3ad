//! The S3 store, told anything by its server.
//!
//! ```text
//!   which call u8 (0 list, 1 get, 2 part, 3 head, 4 put, 5 put if absent, 6 delete) │ an HTTP/1.1 response
//! ```

use crate::fuzz::{Target, Verdict};
use bytes::Bytes;
use objects::{Error, Limits, Location, ObjectName, ObjectStore, Prefix, S3};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::runtime::Runtime;

pub(super) const TARGET: Target = Target::new("s3-answer", samples, decode).mended(mend).slow();

/// What is read at most, and as a part.
const BYTES_MAX: u64 = 64;
const PART_BYTES: u64 = 5;
/// Where a request has its body.
const HEAD_END: &[u8] = b"\r\n\r\n";
const LENGTH: &[u8] = b"content-length: ";

fn response(call: u8, status: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\n{headers}content-length: {length:06}\r\nconnection: close\r\n\r\n");
    [&[call][..], head.as_bytes(), body.as_bytes()].concat()
}

fn samples() -> Vec<Vec<u8>> {
    let listed = r#"<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>backups</Name><Prefix>p/</Prefix><KeyCount>2</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>true</IsTruncated><Contents><Key>p/chunks/a</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>&quot;e&quot;</ETag><Size>5</Size><StorageClass>STANDARD</StorageClass></Contents><Contents><Key>p/../b</Key><Size>-1</Size></Contents></ListBucketResult>"#;
    let tag = "etag: \"e\"\r\n";
    let part = "etag: \"e\"\r\ncontent-range: bytes 0-4/9\r\n";
    let dated = "etag: \"e\"\r\nlast-modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n";
    vec![
        response(0, "200 OK", "content-type: application/xml\r\n", listed),
        response(1, "200 OK", tag, "an object"),
        response(2, "206 Partial Content", part, "an ob"),
        response(3, "200 OK", dated, ""),
        response(4, "200 OK", tag, ""),
        response(5, "200 OK", tag, ""),
        response(6, "204 No Content", "", ""),
    ]
}

/// Makes the length that is announced that of the body.
fn mend(bytes: &mut [u8]) {
    let find = |what: &[u8]| bytes.windows(what.len()).position(|window| window == what).map(|at| at + what.len());
    let (Some(body), Some(at)) = (find(HEAD_END), find(LENGTH)) else { return };
    let length = format!("{:06}", bytes.len() - body);
    if let Some(place) = bytes.get_mut(at..at + length.len()) {
        place.copy_from_slice(length.as_bytes());
    }
}

fn decode(bytes: &[u8]) -> Verdict {
    static SCENE: OnceLock<Mutex<Scene>> = OnceLock::new();
    let scene = SCENE.get_or_init(|| Mutex::new(Scene::new())).lock().unwrap_or_else(PoisonError::into_inner);
    let Some((call, response)) = bytes.split_first() else { return Verdict::Refused };
    *scene.answer.lock().expect("nobody panics with it") = response.to_vec();
    scene.runtime.block_on(ask(&scene.store, *call))
}

/// What was answered may be an error. What was understood is what was asked for.
async fn ask(store: &S3, call: u8) -> Verdict {
    let name = ObjectName::new("chunks/a").expect("a name");
    let sent = Bytes::from_static(b"an object");
    let answered: Result<(), Error> = match call % 7 {
        0 => store.list(&Prefix::all(), None).await.map(|page| assert!(page.objects.len() < 1 << 16, "{page:?}")),
        1 => store.get(&name, BYTES_MAX).await.map(|body| assert!(body.len() as u64 <= BYTES_MAX, "{body:?}")),
        2 => store.get_range(&name, 0..PART_BYTES).await.map(|part| assert_eq!(part.len() as u64, PART_BYTES)),
        3 => store.head(&name).await.map(drop),
        4 => store.put(&name, sent).await,
        5 => store.put_if_absent(&name, sent).await,
        _ => store.delete(&name).await,
    };
    super::verdict(&answered)
}

/// A store, and a server that answers whatever it is given to answer.
struct Scene {
    runtime: Runtime,
    store: S3,
    answer: Arc<Mutex<Vec<u8>>>,
}

impl Scene {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        let answer = Arc::new(Mutex::new(Vec::new()));
        let given = Arc::clone(&answer);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let answer = given.lock().expect("nobody panics with it").clone();
                // Whoever asks may be gone.
                let _gone = respond(stream, &answer);
            }
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let store = runtime.block_on(open(&format!("http://{address}")));
        Self { runtime, store, answer }
    }
}

async fn open(endpoint: &str) -> S3 {
    let folder = tempfile::tempdir().expect("a directory");
    for (part, secret) in [("access-key-id", "key"), ("secret-access-key", "secret")] {
        std::fs::write(folder.path().join(part), secret).expect("room");
    }
    // It is read again every minute.
    let folder = folder.keep();
    let text = format!("s3://backups/p?endpoint={endpoint}&credentials-dir={}", folder.display());
    let minute = Duration::from_secs(60);
    let limits = Limits { connect: minute, answer: minute, bytes_per_second_min: 1 << 20 };
    match text.parse() {
        Ok(Location::S3(bucket)) => S3::open(&bucket, limits).await.expect("it opens"),
        other => panic!("{other:?} is no bucket"),
    }
}

/// Reads a request to its end, answers, and hangs up: no case waits for more.
fn respond(mut stream: TcpStream, answer: &[u8]) -> io::Result<()> {
    let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
    while !is_whole(&request) {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            read => request.extend_from_slice(&buffer[..read]),
        }
    }
    stream.write_all(answer)
}

fn is_whole(request: &[u8]) -> bool {
    let Some(head) = request.windows(HEAD_END.len()).position(|window| window == HEAD_END) else { return false };
    let text = String::from_utf8_lossy(&request[..head]).to_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok());
    request.len() - head - HEAD_END.len() >= length.unwrap_or(0)
}
