//! What a location may look like, and what is said of one that may not.

use super::*;

fn s3(text: &str) -> Bucket {
    match text.parse() {
        Ok(Location::S3(bucket)) => bucket,
        other => panic!("{text}: {other:?}"),
    }
}

/// The field that is blamed.
fn blamed(text: &str) -> &'static str {
    match text.parse::<Location>() {
        Err(Error::Config { field, .. }) => field,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn directories_are_absolute_paths() {
    for text in ["dir:/var/backups", "file:///var/backups", "dir:/var/back%75ps"] {
        assert_eq!(text.parse(), Ok(Location::Directory("/var/backups".into())), "{text}");
    }
    assert_eq!(blamed("dir:backups"), "path");
    assert_eq!(blamed("file:/var"), "location");
    assert_eq!(blamed("/var/backups"), "location");
}

#[test]
fn a_bucket_alone_is_aws() {
    let bucket = s3("s3://backups");
    assert_eq!((bucket.bucket.as_str(), bucket.prefix.as_str()), ("backups", ""));
    assert_eq!((bucket.addressing, bucket.checksums), (Addressing::Host, Checksums::WhenRequired));
    assert_eq!(bucket.creation, Creation::IfNoneMatch);
}

#[test]
fn an_endpoint_means_path_style_unless_it_is_said_otherwise() {
    let bucket = s3("s3://backups/a/b/?endpoint=http://minio:9000/&region=eu-1");
    assert_eq!(bucket.prefix, "a/b");
    assert_eq!(bucket.endpoint.as_deref(), Some("http://minio:9000"));
    assert_eq!(bucket.region.as_deref(), Some("eu-1"));
    assert_eq!(bucket.addressing, Addressing::Path);
    assert_eq!(s3("s3://backups?endpoint=http://ceph&path-style=false").addressing, Addressing::Host);
}

#[test]
fn every_key_is_taken() {
    let bucket = s3("s3://backups/p?credentials-file=/run/c&profile=q&ca-file=/run/ca.pem&sse=aws:kms&sse-key=k1\
                     &checksums=when-supported&create=check-first");
    assert_eq!(bucket.credentials_file, Some("/run/c".into()));
    assert_eq!(bucket.profile.as_deref(), Some("q"));
    assert_eq!(bucket.ca_file, Some("/run/ca.pem".into()));
    assert_eq!(bucket.encryption, Some(Encryption::Kms(Some("k1".into()))));
    assert_eq!((bucket.checksums, bucket.creation), (Checksums::WhenSupported, Creation::CheckFirst));
    assert_eq!(s3("s3://backups?credentials-dir=/run/key").credentials_dir, Some("/run/key".into()));
    assert_eq!(s3("s3://backups?sse=AES256").encryption, Some(Encryption::Aes256));
}

#[test]
fn what_is_wrong_is_named() {
    for (text, field) in [
        ("s3://a", "bucket"),
        ("s3://Upper", "bucket"),
        ("s3://key:secret@bucket", "bucket"),
        ("s3://bucket/../other", "prefix"),
        ("s3://bucket?endpoint=minio:9000", "endpoint"),
        ("s3://bucket?endpoint=http://", "endpoint"),
        ("s3://bucket?endpoint=http://u:p@minio", "endpoint"),
        ("s3://bucket?path-style=yes", "path-style"),
        ("s3://bucket?sse=DES", "sse"),
        ("s3://bucket?sse=AES256&sse-key=k", "sse-key"),
        ("s3://bucket?checksums=never", "checksums"),
        ("s3://bucket?create=hope", "create"),
        ("s3://bucket?region=", "region"),
        ("s3://bucket?credentials-dir=", "credentials-dir"),
        ("s3://bucket?credentials-dir=/a&credentials-file=/b", "credentials-dir"),
        ("s3://bucket?profile=p&credentials-dir=/a", "credentials-dir"),
        ("s3://bucket?colour=blue", "location"),
        ("s3://bucket?secret-access-key=x", "location"),
        ("gs://bucket", "location"),
        ("", "location"),
    ] {
        assert_eq!(blamed(text), field, "{text}");
    }
}

#[test]
fn a_location_prints_without_its_query() {
    let location: Location = "s3://backups/p?endpoint=http://minio:9000&profile=q".parse().expect("a location");
    assert_eq!(location.to_string(), "s3://backups/p at http://minio:9000");
}
