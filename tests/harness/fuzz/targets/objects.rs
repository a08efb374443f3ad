//! Names of objects, where they are, and what an object store answers.

mod s3;

use super::{again, verdict};
use crate::fuzz::{Target, Verdict};
use objects::{Location, ObjectName, Prefix};
use quorate::snapshot::SnapshotName;

pub(super) const TARGETS: &[Target] = &[
    Target::new("object-name", name_samples, decode_name),
    Target::new("location", location_samples, decode_location),
    s3::TARGET,
];

fn name_samples() -> Vec<Vec<u8>> {
    let manifest = format!("manifests/{:016x}/{:020}-{}", 0xaa, 40, "ab".repeat(32));
    ["a", "chunks/00000000000000aa/ab/cd", &manifest].map(|name| name.as_bytes().to_vec()).to_vec()
}

fn decode_name(bytes: &[u8]) -> Verdict {
    let Ok(name) = ObjectName::new(String::from_utf8_lossy(bytes)) else { return Verdict::Refused };
    let parts: Vec<&str> = name.as_str().split('/').collect();
    assert!(parts.iter().all(|part| !part.is_empty() && !part.starts_with('.')), "there is no way up: {name}");
    assert!(!Prefix::under(name.clone()).contains(&name), "nothing lies under itself");
    if let Some(snapshot) = SnapshotName::of(&name) {
        assert_eq!(snapshot.object(), name, "there is one way to write it");
    }
    again(&name, name.as_str().parse())
}

fn location_samples() -> Vec<Vec<u8>> {
    let samples = [
        "dir:/var/lib/backups",
        "file:///var/lib/back%20ups",
        "s3://backups/prod/m?endpoint=https://minio:9000/&region=eu-1&path-style=true&create=check-first",
        "s3://backups?credentials-file=/c&profile=p&ca-file=/ca&sse=aws:kms&sse-key=k&checksums=when-supported",
        "s3://backups/?credentials-dir=/secret&sse=AES256",
    ];
    samples.map(|sample| sample.as_bytes().to_vec()).to_vec()
}

fn decode_location(bytes: &[u8]) -> Verdict {
    let location = String::from_utf8_lossy(bytes).parse::<Location>();
    if let Ok(Location::S3(bucket)) = &location {
        let folder = if bucket.prefix.is_empty() { Ok(()) } else { ObjectName::new(&*bucket.prefix).map(drop) };
        assert_eq!(folder, Ok(()), "objects have names within it");
    }
    verdict(&location)
}
