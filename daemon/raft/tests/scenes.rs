//! Scenes in plain words, each a file under `testdata/`: verbs, then `---`, then what was observed. A run compares;
//! `UPDATE=1` rewrites. The rules of safety are checked after every line, so a scene tells only its story.

mod scene;

use std::fs;
use std::path::{Path, PathBuf};

fn scenes() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let mut found: Vec<_> =
        fs::read_dir(folder).expect("there are scenes").map(|e| e.expect("readable").path()).collect();
    found.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    found.sort();
    assert!(!found.is_empty(), "there are scenes");
    found
}

#[test]
fn every_scene_is_observed_as_it_is_written() {
    let update = std::env::var_os("UPDATE").is_some();
    let mut wrong = Vec::new();
    for path in scenes() {
        let written = fs::read_to_string(&path).expect("readable");
        let observed = scene::play(&written, &path.display().to_string());
        if update {
            fs::write(&path, &observed).expect("writable");
        } else if observed != written {
            wrong.push(format!("{}\n{}", path.display(), first_difference(&written, &observed)));
        }
    }
    assert!(wrong.is_empty(), "{}\n(UPDATE=1 rewrites them)", wrong.join("\n"));
}

fn first_difference(written: &str, observed: &str) -> String {
    let lines = written.lines().map(Some).chain(std::iter::repeat(None));
    let differing = lines.zip(observed.lines().map(Some).chain([None])).enumerate().find(|(_, (a, b))| a != b);
    match differing {
        Some((number, (a, b))) => format!("  line {}\n  written:  {a:?}\n  observed: {b:?}", number + 1),
        None => "  the file goes on longer".to_owned(),
    }
}
