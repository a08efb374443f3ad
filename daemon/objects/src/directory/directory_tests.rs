//! The directory keeps the promises of the door, and what a crash or a stranger leaves in it harms nobody.

use super::*;
use std::fs;
use std::time::SystemTime;
use tempfile::TempDir;

fn name(text: &str) -> ObjectName {
    ObjectName::new(text).expect("a name")
}

async fn store() -> (TempDir, Directory) {
    let folder = tempfile::tempdir().expect("a directory");
    let store = Directory::open(&folder.path().join("store")).await.expect("it opens");
    (folder, store)
}

#[tokio::test]
async fn an_object_is_read_as_it_was_put() {
    let (_folder, store) = store().await;
    let object = name("chunks/ab/cd");
    store.put(&object, Bytes::from_static(b"hello")).await.expect("put");
    assert_eq!(store.get(&object, 5).await.expect("get"), "hello");
    assert_eq!(store.get_range(&object, 1..3).await.expect("range"), "el");
    assert_eq!(store.head(&object).await.expect("head").bytes, 5);
    store.put(&object, Bytes::from_static(b"again")).await.expect("put over it");
    assert_eq!(store.get(&object, 5).await.expect("get"), "again");
    store.delete(&object).await.expect("delete");
    store.delete(&object).await.expect("delete what is gone");
    assert_eq!(store.get(&object, 5).await, Err(Error::NotFound { object: object.clone() }));
    assert_eq!(store.head(&object).await, Err(Error::NotFound { object }));
}

#[tokio::test]
async fn a_folder_is_no_object() {
    let (_folder, store) = store().await;
    store.put(&name("a/b"), Bytes::new()).await.expect("put");
    assert!(matches!(store.head(&name("a")).await, Err(Error::NotFound { .. })));
    assert!(matches!(store.get(&name("a/b/c"), 1).await, Err(Error::NotFound { .. })));
    assert!(matches!(store.put(&name("a"), Bytes::new()).await, Err(Error::Protocol { .. })));
}

#[tokio::test]
async fn larger_or_shorter_than_expected_is_corrupt() {
    let (_folder, store) = store().await;
    let object = name("a");
    store.put(&object, Bytes::from_static(b"hello")).await.expect("put");
    assert!(matches!(store.get(&object, 4).await, Err(Error::Corrupt { .. })));
    assert!(matches!(store.get_range(&object, 3..6).await, Err(Error::Corrupt { .. })));
}

#[tokio::test]
async fn one_of_many_writers_is_first() {
    let (_folder, store) = store().await;
    let object = name("manifests/1");
    let writers = (0..8u8).map(|writer| {
        let (store, object) = (store.clone(), object.clone());
        tokio::spawn(async move { (writer, store.put_if_absent(&object, Bytes::from(vec![writer])).await) })
    });
    let mut first = Vec::new();
    for writer in writers.collect::<Vec<_>>() {
        match writer.await.expect("no panic") {
            (writer, Ok(())) => first.push(writer),
            (_, outcome) => assert_eq!(outcome, Err(Error::Exists { object: object.clone() })),
        }
    }
    assert_eq!(first.len(), 1);
    assert_eq!(store.get(&object, 1).await.expect("get"), first);
}

#[tokio::test]
async fn names_are_listed_in_their_order_and_in_pages() {
    let (_folder, store) = store().await;
    let mut names: Vec<String> = (0..1_100).map(|n| format!("c/{:02}/{n:04}", n % 7)).collect();
    names.extend(["c.d".to_owned(), "c-".to_owned(), "c/0.0".to_owned(), "b".to_owned()]);
    for object in &names {
        // Files are made beside the store: 1,100 synced puts would test the disk.
        let path = store.root.join(object);
        fs::create_dir_all(path.parent().expect("a folder")).expect("mkdir");
        fs::write(path, b"x").expect("write");
    }
    names.sort();
    assert_eq!(all(&store, &Prefix::all()).await, names);
    let under: Vec<_> = names.iter().filter(|name| name.starts_with("c/")).cloned().collect();
    assert_eq!(all(&store, &Prefix::under(name("c"))).await, under);
    assert!(all(&store, &Prefix::under(name("nothing"))).await.is_empty());
}

async fn all(store: &Directory, prefix: &Prefix) -> Vec<String> {
    let (mut names, mut after) = (Vec::new(), None);
    loop {
        let page = store.list(prefix, after.as_ref()).await.expect("list");
        assert!(page.objects.len() <= crate::LIST_PAGE_OBJECTS_MAX);
        names.extend(page.objects.iter().map(|listed| listed.name.to_string()));
        after = match page.next {
            Some(next) => Some(next),
            None => return names,
        };
    }
}

#[tokio::test]
async fn what_is_being_written_is_not_seen_and_leftovers_go_after_a_day() {
    let (_folder, store) = store().await;
    let (old, young) = (store.root.join(".partial/old"), store.root.join(".partial/young"));
    fs::write(&old, b"half").expect("write");
    fs::write(&young, b"half").expect("write");
    let yesterday = SystemTime::now() - Duration::from_secs(25 * 60 * 60);
    fs::File::options().write(true).open(&old).expect("open").set_modified(yesterday).expect("set the time");
    assert!(all(&store, &Prefix::all()).await.is_empty());
    Directory::open(&store.root).await.expect("it opens again");
    assert!(!old.exists() && young.exists());
}

#[tokio::test]
async fn a_put_leaves_nothing_half_written_behind() {
    let (_folder, store) = store().await;
    store.put_if_absent(&name("a"), Bytes::from_static(b"1")).await.expect("put");
    store.put_if_absent(&name("a"), Bytes::from_static(b"2")).await.expect_err("it exists");
    store.put(&name("a"), Bytes::from_static(b"3")).await.expect("put");
    assert_eq!(fs::read_dir(store.root.join(".partial")).expect("list").count(), 0);
}
